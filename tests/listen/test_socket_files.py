"""The file of a unix socket that root binds in an app's own folder: only the socket itself changes hands."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidone.listen.sockets.unix_file import give, set_mode

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving away takes root")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A socket that has just been bound."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        yield tmp_path / "s"


def test_a_socket_is_given(path: Path) -> None:
    """To the app's user, with the rights that the app asks for."""
    give(str(path), NOBODY, NOBODY)
    set_mode(str(path), 0o620, NOBODY)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o620)


@pytest.mark.parametrize(
    "replace",
    [
        lambda path: path.symlink_to(path.with_name("shadow")),
        lambda path: path.hardlink_to(path.with_name("shadow")),
        Path.mkdir,
        os.mkfifo,
    ],
    ids=["link", "hard link", "folder", "fifo"],
)
def test_what_an_app_has_put_in_its_place_is_not(
    path: Path, tmp_path: Path, replace: Callable[[Path], object]
) -> None:
    """A link to a file of root's, above all: its owner and its rights stay."""
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    secret.chmod(0o600)
    path.unlink()
    replace(path)
    with pytest.raises(OSError, match=r"replaced|symbolic"):
        give(str(path), NOBODY, -1)
    with pytest.raises(OSError, match=r"replaced|symbolic"):
        set_mode(str(path), 0o777, NOBODY)
    for each in (secret, path):
        assert each.stat().st_uid == 0
        assert stat.S_IMODE(each.stat().st_mode) != 0o777


def test_a_socket_of_another_user_is_not(path: Path) -> None:
    """It was not bound here."""
    os.chown(path, 1234, 1234)
    with pytest.raises(PermissionError):
        give(str(path), NOBODY, -1)
