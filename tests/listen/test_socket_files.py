"""The file of a unix socket that root binds in an app's own folder: only the socket itself changes hands."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidone.listen.sockets.address import Address, Kind
from pidone.listen.sockets.bind import explain, open_socket
from pidone.listen.sockets.unix_file import SocketFile, give, set_mode

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An app's own, beside one of root's."""
    (tmp_path / "roots").mkdir()
    folder = tmp_path / "apps" / "run"
    folder.mkdir(parents=True)
    os.chown(tmp_path / "apps", NOBODY, NOBODY)
    os.chown(folder, NOBODY, NOBODY)
    return folder


def lead_away(folder: Path) -> Path:
    """Instead of its folder the app has a link to root's there is now; that folder."""
    roots = folder.parent.parent / "roots"
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(roots)
    os.chown(folder, NOBODY, NOBODY, follow_symlinks=False)
    return roots


def dead_socket(path: Path) -> None:
    """As one that ended without removing it has left it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def unix(path: Path) -> Address:
    return Address(Kind.UNIX, str(path))


def test_a_link_on_the_way_leads_nowhere(folder: Path) -> None:
    """Root binds nothing behind an app's link, removes no dead socket there, and says whose link it is."""
    roots = lead_away(folder)
    dead_socket(roots / "s")
    with pytest.raises(PermissionError, match=f"run is a link made by uid {NOBODY}") as caught:
        open_socket(unix(folder / "s"), backlog=9)
    assert f"link made by uid {NOBODY}" in str(explain(unix(folder / "s"), caught.value))
    with pytest.raises(PermissionError):
        open_socket(unix(folder / "other"), backlog=9)
    assert [each.name for each in roots.iterdir()] == ["s"]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_folder_that_becomes_a_link_later_leads_nowhere(folder: Path, *, is_kept: bool) -> None:
    """What has the socket's names in root's folder stays there, and gets neither another owner nor rights."""
    with open_socket(unix(folder / "s"), backlog=9):
        file = SocketFile(str(folder / "s"), is_kept=is_kept)
        roots = lead_away(folder)
        for name in ("s", ".s.pidone"):
            dead_socket(roots / name)
        with pytest.raises(PermissionError):
            give(str(folder / "s"), NOBODY, -1)
        with pytest.raises(PermissionError):
            set_mode(str(folder / "s"), 0o777, None)
        (roots / "s").unlink()
        if is_kept:
            with pytest.raises(PermissionError):
                file.restore()
        file.remove()
        assert [each.name for each in roots.iterdir()] == [".s.pidone"]


def test_what_takes_the_place_of_the_socket_at_once_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is swapped between the look and the deed: the address fails."""
    real = socket.socket.bind

    def bind(self: socket.socket, address: str) -> None:
        lead_away(folder)
        real(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(PermissionError, match="replaced"):
        open_socket(unix(folder / "s"), backlog=9)


def test_a_link_of_roots_is_followed(folder: Path) -> None:
    """`/var/run -> /run` in an image; a dead socket behind it is out of the way."""
    link = folder.parent.parent / "link"
    link.symlink_to(folder)
    dead_socket(folder / "s")
    with open_socket(unix(link / "s"), backlog=9) as sock, socket.socket(socket.AF_UNIX) as client:
        file = SocketFile(str(link / "s"), is_kept=True)
        (folder / "s").unlink()
        file.restore()
        client.connect(str(folder / "s"))
        assert sock.getsockname() == str(link / "s")
        file.remove()
    assert not list(folder.iterdir())
