"""stdout may be anything: nothing is lost on it, nobody waits for it, and its end is an orderly one."""

import contextlib
import errno
import json
import os
import pty
import socket
import subprocess
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import PIDONE, PYTHON, Running
from logs.relaying import Stage, app, stage

from pidone.init.exitcodes import ExitCode

COUNT = 15_000
FLOOD = ("seq", "-f", "%0100.0f", str(COUNT))
"""More than an app's pipe takes, and as records more than stdout's queue and any pipe take."""
EXPECTED = [f"{n:0100}" for n in range(1, COUNT + 1)]
NOBODY = 65_534


@dataclass
class Ends:
    """A stdout, and where it is read."""

    read: int
    write: int

    def hang_up(self) -> None:
        os.close(self.read)
        self.read = -1


def pipe() -> Ends:
    return Ends(*os.pipe())


def stream_socket() -> Ends:
    ours, theirs = socket.socketpair()
    return Ends(ours.detach(), theirs.detach())


def terminal() -> Ends:
    master, slave = pty.openpty()
    tty.setraw(slave)  # no \r before \n
    return Ends(master, slave)


@contextlib.contextmanager
def as_is() -> Iterator[None]:
    yield


@contextlib.contextmanager
def as_another_user() -> Iterator[None]:
    """What belongs to somebody else cannot be opened anew (`docker run --user`)."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


KINDS = {"pipe": pipe, "socket": stream_socket, "terminal": terminal}
CASES = [
    ("pipe", as_is, ()),
    ("pipe", as_another_user, ()),
    ("pipe", as_another_user, ("pwritev",)),
    ("socket", as_is, ()),
    ("terminal", as_is, ()),
    ("terminal", as_another_user, ()),
]


@pytest.fixture(params=CASES, ids=lambda case: " ".join((case[0], case[1].__name__, *case[2])))
def staged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stage, Ends]]:
    """A relay on each kind of stdout, in each way of writing to it."""
    kind, privilege, unknown_calls = request.param
    for call in unknown_calls:  # an old kernel, that does not know RWF_NOWAIT for pipes
        monkeypatch.setattr(os, call, unsupported)
    ends = KINDS[kind]()
    with contextlib.ExitStack() as stack:
        with privilege():
            it = stack.enter_context(stage(stdout_fd=ends.write, log_format="json"))
        yield it, ends
    for fd in (ends.read, ends.write):
        if fd >= 0:
            os.close(fd)


def unsupported(*_: object) -> int:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


class Taker:
    """Reads so many lines in a thread."""

    def __init__(self, fd: int, lines: int) -> None:
        self.data = b""
        self._thread = threading.Thread(target=self._take, args=(fd, lines), daemon=True)
        self._thread.start()

    def _take(self, fd: int, lines: int) -> None:
        parts: list[bytes] = []
        while lines > 0:
            parts.append(os.read(fd, 1 << 16))
            lines -= parts[-1].count(b"\n")
        self.data = b"".join(parts)

    def messages(self) -> list[str]:
        self._thread.join(20)
        return [record["message"] for record in map(json.loads, self.data.splitlines()) if "pid" in record]


def test_a_stalled_stdout_of_any_kind_holds_up_the_writer_and_not_the_loop(
    staged: tuple[Stage, Ends],
) -> None:
    """While nobody reads the loop turns; when somebody does, all lines come; the flags stay as they are."""
    it, ends = staged
    it.spawn(app(), FLOOD)
    it.turn(lambda: it.relay._output.full)
    turns = iter(range(50))
    it.turn(lambda: next(turns) == 49)
    assert it.children
    taker = Taker(ends.read, COUNT + 1)
    it.run()
    it.turn(lambda: not it.relay._output._queue)
    messages = taker.messages()
    assert messages[:COUNT] == EXPECTED  # and then the exit
    assert os.get_blocking(ends.write)


def test_a_stdout_of_any_kind_that_is_hung_up_is_told_once(staged: tuple[Stage, Ends]) -> None:
    """The error says so once, and writers are not held up by what cannot be written any more."""
    it, ends = staged
    it.spawn(app(), FLOOD)
    it.turn(lambda: it.relay._output.full)
    ends.hang_up()
    it.run()
    it.turn(lambda: it.lost)
    assert [error.errno in (errno.EPIPE, errno.EIO, errno.ECONNRESET) for error in it.lost] == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_stdout_is_an_orderly_stop_with_an_exit_code_of_its_own(kind: str, tmp_path: Path) -> None:
    """The apps are stopped by their signal and may tidy up; pidone exits with 74, and no traceback."""
    script = tmp_path / "app.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "def tidy(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'tidied')!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, tidy)\n"
        "while True:\n"
        "    print('tick', flush=True)\n"
        "    time.sleep(0.02)\n"
    )
    ends = KINDS[kind]()
    try:
        words = (PIDONE, "start", "--log-format", "json", "--", PYTHON, str(script))
        with Running(words, stdout=ends.write) as run:
            seen = b""
            while b"tick" not in seen:
                seen += os.read(ends.read, 1 << 16)
            ends.hang_up()
            assert run.wait() == ExitCode.STDOUT_LOST
            assert run.err is not None
            assert len(run.err) == 1
            assert "stdout is lost" in run.err.text()
        assert (tmp_path / "tidied").exists()
    finally:
        for fd in (ends.read, ends.write):
            if fd >= 0:
                os.close(fd)


@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_APPEND])
def test_stdout_may_be_a_regular_file(tmp_path: Path, flags: int) -> None:
    """Appending or not, all lines are in it."""
    fd = os.open(tmp_path / "out", flags)
    with stage(stdout_fd=fd, log_format="json") as it:
        it.spawn(app(), FLOOD)
        it.run()
        it.close()
    os.close(fd)
    assert len((tmp_path / "out").read_bytes().splitlines()) == COUNT + 1


def test_stdout_may_be_a_named_pipe_or_nothing(tmp_path: Path) -> None:
    """A FIFO is a pipe, and /dev/null takes all."""
    os.mkfifo(tmp_path / "fifo")
    read = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    write = os.open(tmp_path / "fifo", os.O_WRONLY)
    os.set_blocking(read, True)
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in (write, null):
        with stage(stdout_fd=fd, log_format="json") as it:
            taker = Taker(read, COUNT + 1) if fd == write else None
            it.spawn(app(), FLOOD)
            it.run()
            assert it.close()
            if taker:
                assert len(taker.messages()) == COUNT + 1
    for fd in (read, write, null):
        os.close(fd)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_stdout_on_a_full_disk_goes_on_when_there_is_room(small_disk: Path) -> None:
    """A file on a full disk is no lost stdout: the writers wait, and nothing is missing in the end."""
    with (small_disk / "out").open("ab") as out, stage(stdout_fd=out.fileno(), log_format="json") as it:
        it.spawn(app(), FLOOD)
        it.turn(lambda: it.relay._output.full)
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        it.run()
        assert it.close()
        assert not it.lost
        records = [json.loads(line) for line in (small_disk / "out").read_bytes().splitlines()]
        assert [r["message"] for r in records if "event" not in r] == EXPECTED
