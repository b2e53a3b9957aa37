"""Files that the runtime and its commands write beside logs: what an app has put there is not followed."""

import json
import os
import threading
from pathlib import Path

import pytest
from harness import pidone
from writing import ecosystem, shell

from pidone.cli.operate.client import CommandError
from pidone.cli.operate.saving import replace

NOBODY = 65534


def end_of(file: str, message: Path) -> int:
    """The exit code of a run that leaves a message."""
    with pidone(file, env={"PIDONE_TERMINATION_LOG": str(message)}) as run:
        return run.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that an app owns."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = tmp_path / "its"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


@pytest.mark.parametrize("kind", ["link", "link to a folder", "hard link", "pipe"])
def test_the_last_message_is_written_to_no_planted_file(tmp_path: Path, folder: Path, kind: str) -> None:
    """Nor does a pipe there keep the runtime from its end."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "log").write_text("root's")
    message = folder / "log"
    if kind == "link":
        message.symlink_to(victim / "log")
        os.chown(message, NOBODY, NOBODY, follow_symlinks=False)
    elif kind == "link to a folder":
        (folder / "in").symlink_to(victim)
        os.chown(folder / "in", NOBODY, NOBODY, follow_symlinks=False)
        message = folder / "in" / "log"
    elif kind == "hard link":
        message.hardlink_to(victim / "log")
    else:
        os.mkfifo(message)
    file = ecosystem(tmp_path, shell("a", "exit 3", max_restarts=1))
    assert end_of(file, message) == 75
    assert (victim / "log").read_text() == "root's"


def test_the_last_message_goes_into_a_file_of_the_apps_folder(tmp_path: Path, folder: Path) -> None:
    """Whoever has put it there, if it is an ordinary one."""
    message = folder / "log"
    message.write_text("before")
    os.chown(message, NOBODY, NOBODY)
    file = ecosystem(tmp_path, shell("a", "exit 3", max_restarts=1))
    end_of(file, message)
    assert json.loads(message.read_text())["code"] == 75


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_what_is_saved_is_roots_alone(tmp_path: Path, folder: Path, kind: str) -> None:
    """Values of variables are in it: no file that is there already gets them."""
    saved, planted, victim = folder / "saved", folder / "saved.new", tmp_path / "victim"
    for place in (planted, saved):
        if kind == "file":
            place.touch(0o666)
            os.chown(place, NOBODY, NOBODY)
        elif kind == "link":
            place.symlink_to(victim)
        else:
            os.mkfifo(place)
    writing = threading.Thread(target=replace, args=(saved, "secret"), daemon=True)
    writing.start()
    writing.join(20)
    status = saved.lstat()
    assert (status.st_uid, status.st_mode & 0o7777, saved.read_text()) == (0, 0o600, "secret")
    assert not victim.exists()
    assert {path.name for path in folder.iterdir()} == {"saved", "saved.new"}


def test_what_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    """A folder in its place, for instance."""
    (tmp_path / "saved" / "in").mkdir(parents=True)
    with pytest.raises(CommandError, match="saved"):
        replace(tmp_path / "saved", "secret")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize("way", ["file", "folder"])
@pytest.mark.parametrize("key", ["env_file", "secrets"])
def test_root_reads_nothing_for_an_app_that_it_could_not_read(
    open_path: Path, root: None, key: str, way: str
) -> None:
    """A link of its own to a file of root's, in place of its env_file or of a folder on the way to it."""
    its, hidden = open_path / "its", open_path / "roots"
    hidden.mkdir(0o700)
    (hidden / "env").write_text("WORD=of-root\n")
    (hidden / "env").chmod(0o600)
    its.mkdir()
    target, name = (hidden / "env", "env") if way == "file" else (hidden, "roots")
    (its / name).symlink_to(target)
    for path in (its, its / name):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    source = str(its / "env" if way == "file" else its / "roots" / "env")
    value = source if key == "env_file" else {"WORD": source}
    app = shell("a", 'echo "has $WORD"', cwd="/", uid="nobody", autorestart=False, **{key: value})
    with pidone(ecosystem(open_path, app), "--socket", "none") as run:
        run.wait()
        said = f"{run.out and run.out.text()}{run.err and run.err.text()}"
        assert "of-root" not in said
        assert f"is a link made by uid {NOBODY}" in said


def test_links_of_an_app_lead_to_what_it_may_read(open_path: Path, root: None) -> None:
    """Its own files, and what everybody may read; links of root's lead anywhere."""
    its = open_path / "its"
    its.mkdir()
    files = {"own": 0o600, "shared": 0o644, "roots": 0o600}
    for name, mode in files.items():
        (open_path / name).write_text(f"{name.upper()}=read\n")
        (open_path / name).chmod(mode)
        (its / name).symlink_to(open_path / name)
    os.chown(open_path / "own", NOBODY, NOBODY)
    for path in (its, its / "own", its / "shared"):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    keys = {
        "env_file": [str(its / name) for name in files],
        "cwd": "/",
        "uid": "nobody",
        "autorestart": False,
    }
    with pidone(
        ecosystem(open_path, shell("a", 'echo "$OWN $SHARED $ROOTS"', **keys)), "--socket", "none"
    ) as run:
        run.expect(message="read read read")
        assert run.wait() == 0
