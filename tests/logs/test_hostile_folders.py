"""An app of another uid owns the folder of its log file, and plants links there: that harms nobody."""

import contextlib
import functools
import gzip
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
import pytest
from logs.relaying import Stage, app, stage

from pidone.ecosystem.spec import AppSpec
from pidone.places import open_to_append, real_path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the hostile app has another uid")

HOSTILE = 12_345
SECRET = "root's own\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that belongs to the app; everybody may walk there."""
    for above in (tmp_path, *tmp_path.parents[:-2]):
        above.chmod(above.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
    made = tmp_path / "logs"
    made.mkdir()
    os.chown(made, HOSTILE, HOSTILE)
    yield made
    for packer in harness.children(os.getpid()):
        os.waitpid(packer, 0)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that only root may read and write."""
    made = tmp_path / "secret"
    made.write_text(SECRET)
    made.chmod(0o600)
    return made


def as_hostile(deed: Callable[[], object]) -> int:
    """Do something with the rights of the app, in a process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(HOSTILE)
            os.setuid(HOSTILE)
            deed()
            code = 0
        finally:
            os._exit(code)
    return pid


def hostile_did(deed: Callable[[], object]) -> None:
    """It is done."""
    assert os.waitpid(as_hostile(deed), 0)[1] == 0


def swap(log: Path, target: Path) -> None:
    """A link in place of a file."""
    log.rename(log.with_name("away"))
    log.symlink_to(target)


def say(it: Stage, spec: AppSpec, text: bytes) -> None:
    outlet = it.open(spec)
    it.say(outlet, text)
    outlet.spawned(7)
    outlet.finish()


def failures(it: Stage) -> list[str]:
    return [record["message"] for record in it.records() if record.get("event") == "log.file_failed"]


def untouched(secret: Path) -> bool:
    status = secret.stat()
    return secret.read_text() == SECRET and stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == 0


def test_a_link_in_place_of_the_file_is_not_followed(folder: Path, secret: Path) -> None:
    """Swapped before a reopen: root's file stays as it is, the lines are on stdout, one record tells why."""
    log = folder / "app.log"
    with stage() as it:
        spec = app(out_file=str(log))
        say(it, spec, b"one\n")
        hostile_did(lambda: swap(log, secret))
        it.relay.reopen()
        say(it, spec, b"two\n")
        say(it, spec, b"three\n")
        assert untouched(secret)
        assert [message for message in failures(it) if f"a link made by uid {HOSTILE}" in message]


def test_a_link_in_place_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Neither is one on the way: nothing appears in root's folder."""
    (tmp_path / "roots").mkdir()
    hostile_did(lambda: os.symlink(tmp_path / "roots", folder / "sub"))
    with stage() as it:
        say(it, app(out_file=str(folder / "sub/app.log")), b"one\n")
        assert len(failures(it)) == 1
    assert list((tmp_path / "roots").iterdir()) == []


def test_a_second_name_of_another_file_is_refused(folder: Path, secret: Path) -> None:
    """A hard link, where the kernel lets the app make one."""
    os.link(secret, folder / "app.log")
    with stage() as it:
        say(it, app(out_file=str(folder / "app.log")), b"one\n")
        assert len(failures(it)) == 1
    assert untouched(secret)


@pytest.mark.parametrize("ending", ["", ".part", ".gz"])
def test_links_named_like_rotated_files_are_left_alone(folder: Path, secret: Path, ending: str) -> None:
    """Neither packed nor overwritten, and removed by nobody but their owner."""
    log = folder / "app.log"
    planted = [folder / f"app.log.2026111{day}T120443.697Z{ending}" for day in range(8, 10)]
    for plant in planted:
        hostile_did(functools.partial(plant.symlink_to, secret))
    with stage() as it:
        spec = app(out_file=str(log), log_max_size=4, log_retain="1", log_compress=True)
        say(it, spec, b"first\n")
        say(it, spec, b"second\n")
        packed = harness.eventually(lambda: [p for p in folder.glob("*.gz") if not p.is_symlink()], "a pack")
        harness.eventually(lambda: not list(folder.glob("*.697Z-1")), "the plain one to go")
    assert [gzip.decompress(path.read_bytes()) for path in packed] == [b"first\n"]
    assert untouched(secret)
    assert [str(path.readlink()) for path in planted] == [str(secret)] * 2


def test_what_the_app_calls_a_rotated_file_is_not_packed(folder: Path) -> None:
    """Only what this runtime has put aside is packed."""
    log = folder / "app.log"
    foreign = folder / "app.log.20261119T110000.000Z"
    hostile_did(lambda: foreign.write_text("mine\n"))
    with stage() as it:
        spec = app(out_file=str(log), log_max_size=4, log_retain="all", log_compress=True)
        say(it, spec, b"first\n")
        say(it, spec, b"second\n")
        harness.eventually(lambda: list(folder.glob("*.gz")), "the packed file")
    assert foreign.read_text() == "mine\n"
    assert not foreign.with_name(foreign.name + ".gz").exists()


def test_the_draft_of_a_pack_is_never_a_planted_link(folder: Path, secret: Path) -> None:
    """The app plants a link for every name that a draft may get, while files are put aside."""
    log = folder / "app.log"

    def attack() -> None:
        os.chdir(folder)
        while True:
            for name in os.listdir():
                for ending in (".part", ".gz", "") if "Z" in name else ():
                    with contextlib.suppress(OSError):
                        os.symlink(secret, name + ending)

    attacker = as_hostile(attack)
    try:
        with stage(clock=time.time) as it:
            spec = app(out_file=str(log), log_max_size=100, log_retain="3", log_compress=True)
            for number in range(150):
                say(it, spec, b"%0120d\n" % number)
                it.turn(lambda: True)
    finally:
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)
    assert untouched(secret)
    for path in folder.glob("*.gz"):
        if not path.is_symlink():
            assert SECRET.encode() not in gzip.decompress(path.read_bytes())


def test_a_packed_file_has_the_rights_of_the_plain_one(folder: Path) -> None:
    """A log that only its owner may read stays so, from the first byte of its pack on."""
    log = folder / "app.log"
    log.write_text("")
    log.chmod(0o640)
    os.chown(log, HOSTILE, 4321)
    with stage() as it:
        spec = app(out_file=str(log), log_max_size=4, log_retain="all", log_compress=True)
        say(it, spec, b"first\n")
        say(it, spec, b"second\n")
        (packed,) = harness.eventually(lambda: list(folder.glob("*.gz")), "the packed file")
    status = packed.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, HOSTILE, 4321)


def test_a_swapped_file_is_not_put_aside(folder: Path, secret: Path) -> None:
    """If the name stands for something else when the file is due, that is not renamed nor packed."""
    log = folder / "app.log"
    with stage() as it:
        spec = app(out_file=str(log), log_max_size=4, log_retain="all", log_compress=True)
        say(it, spec, b"first\n")
        hostile_did(lambda: swap(log, secret))
        say(it, spec, b"second\n")
        assert len(failures(it)) == 1
    assert untouched(secret)
    assert sorted(path.name for path in folder.iterdir()) == ["app.log", "away"]


def test_two_links_of_the_app_do_not_make_its_lines_another_apps(folder: Path, tmp_path: Path) -> None:
    """A file is known by where its path leads without the links of strangers."""
    (tmp_path / "theirs").mkdir()
    hostile_did(lambda: os.symlink(tmp_path / "theirs", folder / "sub"))
    with stage() as it:
        say(it, app("theirs", out_file=str(tmp_path / "theirs/a.log")), b"theirs\n")
        say(it, app("hostile", out_file=str(folder / "sub/a.log")), b"forged\n")
        it.close()
    assert (tmp_path / "theirs/a.log").read_text() == "theirs\n"


def test_links_of_root_are_followed(folder: Path, tmp_path: Path) -> None:
    """As images have them; the file itself is rotated and not the link, also in a folder of the app."""
    (tmp_path / "data").mkdir()
    (folder / "app.log").symlink_to("../data/real.log")
    with stage() as it:
        spec = app(out_file=str(folder / "app.log"), log_max_size=4, log_retain="all")
        say(it, spec, b"first\n")
        say(it, spec, b"second\n")
        assert failures(it) == []
    assert (folder / "app.log").is_symlink()
    assert (tmp_path / "data/real.log").read_text() == "second\n"
    assert len(list((tmp_path / "data").iterdir())) == 2


def test_a_link_of_the_kernels_is_followed() -> None:
    """`/proc/self/fd/N` and what points to it: the kernel alone knows where it leads."""
    read, write = os.pipe()
    try:
        fd = open_to_append(Path(f"/proc/self/fd/{write}"))
        os.write(fd, b"x")
        os.close(fd)
        assert os.read(read, 2) == b"x"
    finally:
        os.close(read)
        os.close(write)


def test_a_path_has_one_name(tmp_path: Path) -> None:
    """Dots, links of ours, and what is not there yet."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    base = Path(os.path.realpath(tmp_path))
    assert real_path(tmp_path / "link/../x") == base / "a/x"
    assert real_path(tmp_path / "link/new/x") == base / "a/b/new/x"
    (tmp_path / "round").symlink_to("round")
    assert real_path(tmp_path / "round/x") == tmp_path / "round/x"
    with contextlib.ExitStack() as stack:
        stack.callback(signal.alarm, 0)
        signal.alarm(5)
        with pytest.raises(OSError, match="symbolic links"):
            open_to_append(tmp_path / "round")
