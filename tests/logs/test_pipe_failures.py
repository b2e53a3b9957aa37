"""A kernel that watches no more descriptors, or lets one not be read, costs no line and nobody else's."""

import errno
import fcntl
import os

import pytest
from logs.relaying import Stage, app, stage


def unwatched(it: Stage, monkeypatch: pytest.MonkeyPatch, *fds: int) -> list[int]:
    """Let epoll_ctl refuse; returns what was asked for."""
    asked: list[int] = []
    add = it.loop.add_reader

    def add_reader(fd: int, *rest: object) -> object:
        if fds and fd not in fds:
            return add(fd, *rest)  # type: ignore[arg-type]
        asked.append(fd)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(it.loop, "add_reader", add_reader)
    return asked


def test_a_pipe_that_is_not_watched_is_read_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines arrive, one record tells, and once there is room the kernel watches again."""
    with stage() as it:
        asked = unwatched(it, monkeypatch)
        it.spawn(app(), ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"])
        it.turn(lambda: it.relay.counts()[("default", "api"), "stdout"].lines >= 2)
        assert len(asked) > 2
        monkeypatch.undo()
        it.run()
        it.turn(lambda: not it.relay._readers)
        found = it.records()
    assert [record["message"] for record in found if "event" not in record] == ["1", "2", "3"]
    (told,) = [record for record in found if record.get("event") == "log.pipe_failed"]
    assert (told["app"], told["level"]) == ("api", "warning")


def test_a_pipe_that_cannot_be_read_ends_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO is an outcome of that pipe."""
    with stage() as it:
        outlets = [it.open(app(name)) for name in ("bad", "good")]
        for outlet in outlets:
            it.say(outlet, b"line\n")
        bad = outlets[0]._reads[0]  # type: ignore[attr-defined]
        read = os.read

        def failing(fd: int, size: int) -> bytes:
            if fd == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return read(fd, size)

        for outlet in outlets:
            outlet.spawned(7)
        monkeypatch.setattr(os, "read", failing)
        it.turn(lambda: not it.relay._readers)
        monkeypatch.undo()
        found = it.records()
    assert [record["app"] for record in found if "event" not in record] == ["good"]
    assert [record["app"] for record in found if record.get("event") == "log.pipe_failed"] == ["bad"]


def test_the_last_words_come_though_the_kernel_does_not_say_how_much_a_pipe_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a process that has ended, all that it has left in its pipe."""
    real = fcntl.fcntl

    def refusing(fd: int, what: int, *more: int) -> int:
        if what == fcntl.F_GETPIPE_SZ:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(fd, what, *more)

    with stage() as it:
        monkeypatch.setattr(fcntl, "fcntl", refusing)
        outlet = it.open(app())
        it.say(outlet, b"line\n" * 1000)
        outlet.spawned(7)
        outlet.finish()
        monkeypatch.undo()
        it.turn(lambda: not it.relay._readers)
        found = it.records()
    assert [record["message"] for record in found if "event" not in record] == ["line"] * 1000


def test_a_pipe_is_read_where_memory_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small parts: a program that waits for us could not end, and each turn would be told."""
    read, text = os.read, "many words " * 100

    def lacking(fd: int, size: int) -> bytes:
        if size > 1000:
            raise MemoryError
        return read(fd, size)

    with stage() as it:
        outlet = it.open(app())
        it.say(outlet, text.encode() + b"\n")
        outlet.spawned(7)
        monkeypatch.setattr(os, "read", lacking)
        it.turn(lambda: not it.relay._readers)
        monkeypatch.undo()
        (record,) = it.records()
    assert record["message"] == text
