"""Log files: what is in them, how they are rotated, and that their trouble is nobody else's."""

import contextlib
import errno
import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logs.relaying import NOON, app, stage

from pidone.ecosystem.spec import AppSpec
from pidone.logs.files.dates import date_formatter


def run(
    spec: AppSpec, out: bytes = b"one\ntwo\n", err: bytes = b"oops\n", index: int = 0
) -> list[dict[str, Any]]:
    with stage() as it:
        outlet = it.open(spec, index)
        it.say(outlet, out)
        it.say(outlet, err, stream="stderr")
        outlet.spawned(7)
        outlet.finish()
        return it.records()


def test_lines_go_to_files_as_they_were_written_and_to_stdout_too(tmp_path: Path) -> None:
    """out_file and error_file get their stream, log_file both; folders are made."""
    spec = app(
        out_file=str(tmp_path / "new/out.log"),
        error_file=str(tmp_path / "err.log"),
        log_file=str(tmp_path / "all.log"),
    )
    assert len(run(spec)) == 3
    assert (tmp_path / "new/out.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "err.log").read_text() == "oops\n"
    assert (tmp_path / "all.log").read_text() == "one\ntwo\noops\n"


@pytest.mark.parametrize("name", ["/dev/null", "NULL", "/proc/1/fd/1", "/dev/stdout"])
def test_some_names_mean_no_file(name: str) -> None:
    """A line that is told to go to stdout is there once."""
    assert len(run(app(out_file=name, error_file=name), err=b"x\n")) == 3


def test_instances_have_files_of_their_own_unless_merged(tmp_path: Path) -> None:
    """PM2's naming: `-<index>` before the suffix."""
    run(app(out_file=str(tmp_path / "a.log"), instances=2), index=1)
    run(app(out_file=str(tmp_path / "b.log"), instances=2, merge_logs=True), index=1)
    assert {path.name for path in tmp_path.iterdir()} == {"a-1.log", "b.log"}


def test_disabled_logs_go_nowhere(tmp_path: Path) -> None:
    """disable_logs silences stdout and files."""
    assert run(app(disable_logs=True, out_file=str(tmp_path / "x"))) == []
    assert not list(tmp_path.iterdir())


def test_dates_and_pm2_json_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """log_date_format prefixes lines, log_type json wraps them."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    run(app(out_file=str(tmp_path / "a"), log_date_format="YYYY-MM-DD HH:mm:ss.SSS Z"))
    assert (tmp_path / "a").read_text() == (
        "2026-11-19 12:04:43.697 +00:00: one\n2026-11-19 12:04:43.697 +00:00: two\n"
    )
    run(app(out_file=str(tmp_path / "b"), log_type="json"), out=b"one\n")
    assert (tmp_path / "b").read_text() == (
        '{"message":"one","timestamp":"2026-11-19T12:04:43.697Z","type":"out","process_id":0,'
        '"app_name":"api"}\n'
    )


def test_the_letters_of_dayjs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, literals and what is neither."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert date_formatter("YY/M/D h:m:s A [at] ddd x?")(NOON) == "26/11/19 12:4:43 PM at Thu 1795089883697?"


def test_a_full_disk_costs_one_warning_and_the_file() -> None:
    """The lines still reach stdout, and the app never knows."""
    found = run(app(out_file="/dev/full"))
    assert [r["message"] for r in found if r.get("stream") == "stdout"] == ["one", "two"]
    (warning,) = [r for r in found if r.get("event") == "log.file_failed"]
    assert (warning["path"], warning["app"], warning["level"]) == ("/dev/full", "api", "warning")


def test_a_file_that_fails_is_tried_again_and_told_once_a_minute(tmp_path: Path) -> None:
    """A disk that is full for three minutes: three records with a count, and what is missing in the end."""
    disk, now = tmp_path / "disk", [NOON]
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], check=True)
    try:
        with stage(clock=lambda: now[0]) as it:
            outlet = it.open(app(out_file=str(disk / "out.log")))
            outlet_fd = os.dup(outlet.stdout)
            outlet.spawned(7)

            def say(text: bytes) -> None:
                os.write(outlet_fd, text)
                lines = it.relay.counts()[("default", "api"), "stdout"]
                wanted = lines.lines + text.count(b"\n")
                it.turn(lambda: lines.lines >= wanted)

            (disk / "ballast").write_bytes(b"x" * 4096)
            say(b"kept\n")
            say(b"y" * 5000 + b"\n")
            for _ in range(36):
                say(b"lost\n")
                now[0] += 5
            (disk / "ballast").unlink()
            say(b"back\n")
            os.close(outlet_fd)
            found = it.records()
        text = (disk / "out.log").read_text()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    failed = [record for record in found if record.get("event") == "log.file_failed"]
    assert [record["count"] for record in failed] == [1, 6, 6]
    (restored,) = [record for record in found if record.get("event") == "log.file_restored"]
    assert restored["lines"] == 37
    assert (text[:6], text[-7:]) == ("kept\ny", "y\nback\n")
    assert sum(record.get("message") == "lost" for record in found) == 36


def test_no_descriptor_for_a_file_costs_only_the_file(tmp_path: Path) -> None:
    """EMFILE is told; the file is written as soon as there is one."""
    now = [NOON]
    with stage(clock=lambda: now[0]) as it:
        outlet = it.open(app(out_file=str(tmp_path / "out.log")))
        it.say(outlet, b"one\n")
        copy = os.dup(outlet.stdout)
        outlet.spawned(7)
        held: list[int] = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            outlet.finish()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)
        now[0] += 20
        os.write(copy, b"two\n")
        os.close(copy)
        it.turn(lambda: not it.relay._readers)
        found = it.records()
    assert [record["message"] for record in found if "event" not in record] == ["one", "two"]
    (warning,) = [record for record in found if record.get("event") == "log.file_failed"]
    assert os.strerror(errno.EMFILE) in warning["message"]
    assert (tmp_path / "out.log").read_text() == "two\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_file_that_cannot_be_rotated_grows_on(tmp_path: Path) -> None:
    """A folder that became read-only: all lines are there, one record tells why it is one file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    path = disk / "out.log"
    path.touch()
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True)  # EBUSY for a rename
    try:
        with stage() as it:
            spec = app(out_file=str(path), log_max_size=1000, log_retain="2")
            it.spawn(spec, ["seq", "100000"])
            it.run()
            found = it.records()
        lines = path.read_text().split()
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
    assert lines == [str(n) for n in range(1, 100_001)]
    (warning,) = [record for record in found if record.get("event") == "log.file_failed"]
    assert "is not rotated" in warning["message"]


@pytest.mark.parametrize(("size", "error"), [("4k", errno.ENOSPC), ("64k,ro", errno.EROFS)])
def test_a_disk_without_room_or_rights_costs_no_line_on_stdout(tmp_path: Path, size: str, error: int) -> None:
    """A small and a read-only file system: one warning, and the app and stdout go on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    try:
        with stage() as it:
            it.spawn(app(out_file=str(disk / "logs/out.log")), ["seq", "100000"])
            it.run()
            found = it.records()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert [r["message"] for r in found if "event" not in r] == [str(n) for n in range(1, 100_001)]
    (warning,) = [r for r in found if r.get("event") == "log.file_failed"]
    assert os.strerror(error) in warning["message"]


@pytest.mark.parametrize("fd", [1, 2])
def test_a_link_to_stdout_is_no_file(tmp_path: Path, fd: int) -> None:
    """As images have it for web servers: every line is on stdout once, as a record."""
    link = tmp_path / "access.log"
    link.symlink_to(f"/proc/self/fd/{fd}")
    read, write = os.pipe()
    kept = os.dup(fd)
    os.dup2(write, fd)
    try:
        with stage(stdout_fd=fd, log_format="json") as it:
            outlet = it.open(app(out_file=str(link)))
            it.say(outlet, b"one\ntwo\n")
            outlet.spawned(7)
            outlet.finish()
            it.close()
    finally:
        os.dup2(kept, fd)
        for each in (kept, write):
            os.close(each)
    with os.fdopen(read, "rb") as out:
        assert [json.loads(line)["message"] for line in out] == ["one", "two"]


def fifo_without_reader(path: Path) -> contextlib.AbstractContextManager[object]:
    os.mkfifo(path)
    return contextlib.nullcontext()


def fifo_of_a_slow_reader(path: Path) -> contextlib.AbstractContextManager[object]:
    os.mkfifo(path)
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def a_socket(path: Path) -> contextlib.AbstractContextManager[object]:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock


def a_folder(path: Path) -> contextlib.AbstractContextManager[object]:
    path.mkdir()
    return contextlib.nullcontext()


@pytest.mark.parametrize("make", [fifo_without_reader, fifo_of_a_slow_reader, a_socket, a_folder])
def test_what_is_no_ordinary_file_holds_up_nobody(
    tmp_path: Path, make: Callable[[Path], contextlib.AbstractContextManager[object]]
) -> None:
    """A pipe that nobody reads, or too slowly, and what cannot be written at all: one warning, all lines."""
    path = tmp_path / "out"
    with make(path), stage() as it:
        it.spawn(app(out_file=str(path), log_max_size=1000, log_retain="1"), ["seq", "50000"])
        it.run()
        found = it.records()
    assert [r["message"] for r in found if "event" not in r] == [str(n) for n in range(1, 50_001)]
    (warning,) = [r for r in found if r.get("event") == "log.file_failed"]
    assert (warning["path"], warning["level"]) == (str(path), "warning")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_pipe_that_is_read_gets_the_lines_and_is_not_rotated(tmp_path: Path) -> None:
    """A FIFO has no size that matters."""
    path = tmp_path / "out"
    os.mkfifo(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        run(app(out_file=str(path), log_max_size=1, log_retain="1h"), out=b"one\ntwo\n")
        assert reader.read() == b"one\ntwo\n"
    assert path.is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_is_one_file_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    """Two apps, two working directories, and a link on the way: rotated once, and nothing is missing."""
    for name in ("a", "b", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("logs")
    keys = {"log_max_size": 2000, "log_retain": "all"}
    with stage() as it:
        it.spawn(app("a", cwd=tmp_path / "a", out_file="../logs/x", **keys), ["seq", "5000"])
        it.spawn(app("b", cwd=tmp_path / "b", out_file="../link/x", **keys), ["seq", "5001", "10000"])
        it.run()
    found = [line for path in (tmp_path / "logs").iterdir() for line in path.read_text().splitlines()]
    assert sorted(map(int, found)) == list(range(1, 10_001))
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert max(sizes) < 2000 + 64 * 1024


def test_instances_that_merge_their_logs_keep_their_lines_whole(tmp_path: Path) -> None:
    """Four writers at once, one file, one sequence per writer."""
    path = tmp_path / "all.log"
    spec = app(out_file=str(path), instances=4, merge_logs=True)
    with stage() as it:
        for index in range(4):
            it.spawn(spec, ["seq", "-f", f"{index} %.0f", "20000"], index)
        it.run()
    said: dict[str, list[int]] = {str(index): [] for index in range(4)}
    for line in path.read_text().splitlines():
        who, number = line.split()
        said[who].append(int(number))
    assert said == {str(index): list(range(1, 20_001)) for index in range(4)}
