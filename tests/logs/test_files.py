"""Log files: what is in them, how they are rotated, and that their trouble is nobody else's."""

import errno
import gzip
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import harness
import pytest
from logs.relaying import NOON, app, stage

from runtime.ecosystem.spec import AppSpec
from runtime.logs.dates import date_formatter
from runtime.logs.files import LogFile
from runtime.logs.rotation import rotation


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


class Rotated:
    """A log file with a hand-turned wall clock."""

    def __init__(self, folder: Path, size: int | None, retain: str, *, compress: bool = False) -> None:
        self.now = NOON
        self.errors: list[OSError] = []
        self.path = folder / "x.log"
        self.file = LogFile(
            self.path,
            rotation(size, retain, compress=compress),
            clock=lambda: self.now,
            on_failure=lambda _path, error: self.errors.append(error),
        )

    def aside(self) -> list[str]:
        return sorted(p.read_text() for p in self.path.parent.iterdir() if p != self.path)


def test_a_file_is_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    """The newest files stay, under the time they were put aside."""
    it = Rotated(tmp_path, 10, "2")
    for number in range(5):
        it.file.write(b"0123456 %d\n" % number)
        it.now += 1
    it.file.close()
    assert not it.errors
    assert it.aside() == ["0123456 2\n", "0123456 3\n"]
    assert it.path.read_text() == "0123456 4\n"


def test_changed_rules_hold_from_the_next_incarnation_on(tmp_path: Path) -> None:
    """After a re-read file with another log_max_size the file that is open follows it."""
    path = tmp_path / "out.log"
    with stage() as it:
        for size in (None, 4):
            outlet = it.open(app(out_file=str(path), log_max_size=size))
            it.say(outlet, b"one\n")
            outlet.spawned(7)
            outlet.finish()
        assert path.read_text() == "one\n"
        assert len(list(tmp_path.iterdir())) == 2


def test_an_age_to_keep_means_a_file_a_day(tmp_path: Path) -> None:
    """A quiet file is put aside when the UTC day is over, and removed when it is too old."""
    it = Rotated(tmp_path, None, "2d")
    for day in range(4):
        it.file.write(b"%d\n" % day)
        os.utime(it.path, (it.now, it.now))
        it.now += 86_400
    it.file.close()
    assert it.aside() == ["1\n", "2\n"]


def test_rotated_files_are_packed_in_a_child(tmp_path: Path) -> None:
    """The pack is complete before the plain file goes, and the child belongs to the reaper."""
    it = Rotated(tmp_path, 10, "all", compress=True)
    it.file.write(b"first content\n")
    it.file.write(b"second\n")
    it.file.close()
    packed = harness.eventually(lambda: list(tmp_path.glob("*.gz")), "the packed file")[0]
    for pid in harness.children(os.getpid()):
        os.waitpid(pid, 0)
    assert gzip.decompress(packed.read_bytes()) == b"first content\n"
    assert {p.name for p in tmp_path.iterdir()} == {"x.log", packed.name}


def test_a_failed_file_is_tried_again_when_asked(tmp_path: Path) -> None:
    """reopen() also serves logrotate: a moved file is left alone and a new one begun."""
    it = Rotated(tmp_path, None, "1")
    it.path.mkdir()
    it.file.write(b"lost\n")
    it.path.rmdir()
    it.file.write(b"still lost\n")
    assert len(it.errors) == 1
    it.file.reopen()
    it.file.write(b"found\n")
    it.path.rename(tmp_path / "moved")
    it.file.reopen()
    it.file.write(b"new\n")
    it.file.close()
    assert ((tmp_path / "moved").read_text(), it.path.read_text()) == ("found\n", "new\n")
