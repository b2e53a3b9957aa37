"""Log files are put aside by size and age, kept as long as they shall be, packed, and opened anew."""

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import harness
import pytest
from logs.relaying import NOON, app, stage

from pidone.logs.files.logfile import LogFile
from pidone.logs.files.rotation import rotation

HOUR = 3600


class NoLoop:
    """Hears of nothing: what a packer leaves is looked at when the next file comes."""

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None: ...

    def remove_reader(self, fd: int) -> None: ...


class Rotated:
    """A log file with a hand-turned wall clock."""

    def __init__(self, folder: Path, size: int | None, retain: str, *, compress: bool = False) -> None:
        self.now = NOON
        self.errors: list[OSError] = []
        self.restored_without = -1
        self.path = folder / "x.log"
        self.file = LogFile(
            self.path,
            rotation(size, retain, compress=compress),
            clock=lambda: self.now,
            news=self,
            loop=NoLoop(),
        )

    def failed(self, path: Path, what: str, error: OSError, count: int) -> None:
        del path, what, count
        self.errors.append(error)

    def restored(self, path: Path, lost: int) -> None:
        del path
        self.restored_without = lost

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
    assert it.restored_without == 2
    it.path.rename(tmp_path / "moved")
    it.file.reopen()
    it.file.write(b"new\n")
    it.file.close()
    assert ((tmp_path / "moved").read_text(), it.path.read_text()) == ("found\n", "new\n")


@pytest.mark.parametrize(
    ("retain", "step", "kept"),
    [
        ("12h", 6, ["2 3"]),
        ("36h", 12, ["1 2", "3 4"]),
        ("7d", 24, ["2", "3", "4", "5", "6", "7", "8"]),
        ("1w", 24, ["2", "3", "4", "5", "6", "7", "8"]),
        ("2w", 7 * 24, ["7", "8"]),
    ],
)
def test_old_files_go_when_they_are_older_than_that(
    tmp_path: Path, retain: str, step: int, kept: list[str]
) -> None:
    """Hours, days and weeks; a file is as old as its last line, and no file covers more than a day."""
    it = Rotated(tmp_path, None, retain)
    for number in range(10 if step >= 24 else 7 if step == 12 else 6):
        it.file.write(b"%d " % number)
        os.utime(it.path, (it.now, it.now))
        it.now += step * HOUR
    it.file.close()
    assert not it.errors
    assert [text.strip() for text in it.aside()] == kept


def test_a_file_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What an earlier run wrote counts: by its size, and by the day on which it was written last."""
    before = Rotated(tmp_path, 20, "2d")
    before.file.write(b"0123456789\n")
    before.file.close()
    os.utime(before.path, (before.now, before.now))
    after = Rotated(tmp_path, 20, "2d")
    after.file.write(b"9876543210\n")
    assert after.aside() == []
    after.file.write(b"new\n")
    after.file.close()
    assert (after.aside(), after.path.read_text()) == (["0123456789\n9876543210\n"], "new\n")
    os.utime(after.path, (after.now, after.now))
    tomorrow = Rotated(tmp_path, 20, "2d")
    tomorrow.now += 24 * HOUR
    tomorrow.file.write(b"next day\n")
    tomorrow.file.close()
    assert tomorrow.path.read_text() == "next day\n"
    assert tomorrow.aside() == ["0123456789\n9876543210\n", "new\n"]


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_file_that_somebody_removed_is_begun_anew_when_it_is_due(tmp_path: Path, how: str) -> None:
    """There is nothing to put aside then, and that is no failure."""
    folder = tmp_path / "logs"
    it = Rotated(folder, 4, "3")
    it.file.write(b"gone\n")
    it.path.unlink()
    if how == "folder":
        folder.rmdir()
    it.file.write(b"here\n")
    it.file.close()
    assert not it.errors
    assert (it.aside(), it.path.read_text()) == ([], "here\n")


def test_files_of_one_moment_are_kept_in_their_order(tmp_path: Path) -> None:
    """More than ten within a millisecond; what a killed packer left goes with its file."""
    it = Rotated(tmp_path, 1, "all")
    for number in range(13):
        it.file.write(b"%02d" % number)
    for left in ("Z", "Z-9", "Z-11"):
        (aside,) = tmp_path.glob(f"*{left}")
        aside.with_name(aside.name + ".part").write_text("torn")
    it.file.rules = rotation(1, "3", compress=False)
    it.file.write(b"13")
    it.file.close()
    assert it.aside() == ["10", "11", "12", "torn"]


def test_a_flood_is_rotated_and_packed_by_one_process_at_a_time(tmp_path: Path) -> None:
    """However fast the files fill up, all lines are there in the end, and nothing is half packed."""
    spec = app(out_file=str(tmp_path / "x.log"), log_max_size=100_000, log_retain="all", log_compress=True)
    most = 0
    with stage(clock=time.time) as it:
        it.spawn(spec, ["seq", "400000"])

        def done() -> bool:
            nonlocal most
            most = max(most, len(list(tmp_path.glob("*.part"))))  # one that has ended is not buried here
            return not it.children

        it.turn(done)
        it.close()
    for child in harness.children(os.getpid()):
        os.waitpid(child, 0)
    assert most <= 1
    parts = [gzip.decompress(path.read_bytes()) for path in tmp_path.glob("*.gz")]
    assert parts
    parts += [path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".gz"]
    parts.sort(key=lambda part: int(part.split(b"\n", 1)[0]))
    assert b"".join(parts).split() == [b"%d" % n for n in range(1, 400_001)]
    assert not list(tmp_path.glob("*.part"))
