"""Where the control socket is: one rule for the runtime that makes it and the commands that look for it."""

import errno
import fcntl
import itertools
import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from pidone import procfs
from pidone.control import peers
from pidone.descriptors import close

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at run time
if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

VARIABLE: Final = "PIDONE_SOCKET"
OFF: Final = "none"
BACKLOG: Final = 512
_NAME: Final = "pidone"
_LISTENS: Final = b"00010000"
"""`__SO_ACCEPTCON` in the flags of /proc/net/unix (net/unix/af_unix.c)."""
_LOCK_TIME: "Final[Seconds]" = 0.1
"""An honest runtime holds the lock for less than a millisecond; a stranger can hold it for ever."""


_HELD: Final = (errno.EAGAIN, errno.EEXIST, errno.EADDRINUSE, errno.EACCES, errno.EPERM)
"""A name is somebody else's; another may be free in the same folder."""


class NoPlaceError(OSError):
    """There is no folder for the socket; the text names those that were tried, and what helps."""


class Bound(NamedTuple):
    """A listening socket and its name."""

    sock: socket.socket
    path: str
    inode: int | None
    """Tells it from a later one of the same name."""
    taken_from: int | None = None
    """Who held the name and had to give way."""

    def remove(self) -> None:
        """Give the name up, unless it is another runtime's by now."""
        if self.inode is None:  # it has no file
            return
        with suppress(OSError):  # read-only or silent: the next runtime replaces what nobody listens at
            await_answer(self.path)
            if inode(self.path) == self.inode:
                os.unlink(self.path)


def await_answer(path: str) -> None:
    """Raises OSError where the file system may not answer and does not."""
    from pidone.ecosystem.programs.remote import mount_of  # noqa: PLC0415 (not for `health`, which only finds)

    if mount_of(os.path.abspath(path)) is not None:
        from pidone.init.aside import await_answer as ask  # noqa: PLC0415 (few file systems may hang)

        ask(path)


def configured(setting: str | None, environ: Mapping[str, str]) -> str | None:
    """What the user said: the variable first, then `[runtime] socket`; None is "choose a place"."""
    return environ.get(VARIABLE) or setting


def places(environ: Mapping[str, str]) -> Iterator[str]:
    """Folders for a socket without a configured path, the best first."""
    if folder := environ.get("XDG_RUNTIME_DIR"):
        yield folder
    yield "/run"
    yield "/tmp"  # noqa: S108 (the socket is 0600, and a command asks the kernel whose it is)
    yield "/dev/shm"  # noqa: S108 (every engine mounts it, also with --read-only)


def _nowhere() -> Iterator[str]:
    """The last place: names without files, kept apart as files would be, by the mount namespace.

    A pod's containers share one network, perhaps one PID namespace too, and each is to find its own runtime.
    None without a /proc of our own: nobody could be told from another container's then.
    """
    if peers.is_of_our_namespace(os.getpid()):
        try:
            yield f"{peers.ABSTRACT}{_NAME}-{os.stat('/proc/self/ns/mnt').st_ino}"
        except OSError:  # a sandbox without namespaces
            return


def _names(uid: int) -> Iterator[str]:
    """`pidone.sock` for root, with the uid for others; beside another runtime with the pid.

    The last one cannot be known to somebody who wants to have it first.
    """
    name = f"{_NAME}-u{uid}" if uid else _NAME
    yield f"{name}.sock"
    yield f"{name}-{os.getpid()}.sock"
    yield f"{name}-{os.getpid()}-{os.urandom(8).hex()}.sock"


def bind(setting: str | None, environ: Mapping[str, str]) -> Bound:
    """Bind the control socket and listen. Raises OSError with the reasons if there is no place."""
    path = configured(setting, environ)
    if path is not None:
        return claim(path)
    refused: dict[str, OSError] = {}
    for folder in (*places(environ), *_nowhere()):
        for name in _names(os.geteuid()):
            try:
                return claim(os.path.join(folder, name))
            except OSError as unusable:
                refused[folder] = unusable
                if unusable.errno not in _HELD:
                    break  # a folder that will not do under any name
    reasons = ", ".join(f"{folder} ({error.strerror or error})" for folder, error in refused.items())
    last = next(reversed(refused.values()))
    raise NoPlaceError(
        last.errno,
        f"no place for it in {reasons}: mount a tmpfs there (--tmpfs /run), or name a path "
        f"({VARIABLE}, or socket in [runtime]); {OFF} does without",
    )


def claim(path: str) -> Bound:
    """Bind `path` in place of what nobody needs any more, or of what a stranger has put there to be believed.

    Raises BlockingIOError if a runtime listens there, FileExistsError if something else has the name, and
    OSError if the path cannot be used.
    """
    if peers.is_abstract(path):  # such a name ends with the last descriptor, so whoever has it lives
        return Bound(_listen(path), path, None)
    await_answer(path)
    folder = _locked(os.path.dirname(path) or ".")
    try:
        taken_from = _clear(path)
        sock = _listen(path)
    finally:
        if folder is not None:
            close(folder)
    return Bound(sock, path, inode(path), taken_from)


def _locked(path: str) -> int | None:
    """Keep others from finding what we have just bound silent, and removing it, before we listen.

    A folder in place of a lock file: that would be one more name that a stranger may have first.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # one that can be entered and not be read will do, and what is no folder is told later
        return None
    deadline = time.monotonic() + _LOCK_TIME
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK or time.monotonic() > deadline:
                return folder  # no locks here, or a stranger's: a race is better than no socket
            time.sleep(0.001)
        else:
            return folder


def _clear(path: str) -> int | None:
    """Make room for a socket; the stranger's uid if one held the name."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    is_socket = stat.S_ISSOCK(status.st_mode)
    peer = peers.listening(path) if is_socket else None
    owner = status.st_uid if peer is None else peer.uid
    if os.geteuid() == 0 and not peers.is_ours(owner):
        if is_socket:
            os.unlink(path)
        else:  # whatever it is, nothing of anybody's is lost
            os.rename(path, f"{path}.{os.urandom(8).hex()}")
        return None if is_socket and peer is None else owner
    if not is_socket:
        raise FileExistsError(errno.EEXIST, "something that is no socket is there")
    if peer is not None:
        whose = "" if peers.is_ours(owner) else f" of uid {owner}"
        raise BlockingIOError(errno.EAGAIN, f"in use by another {'process' if whose else 'runtime'}{whose}")
    os.unlink(path)
    return None


def _listen(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(peers.address(path))
        sock.listen(BACKLOG)
    except OSError:
        close(sock)
        raise
    finally:
        os.umask(before)
    sock.setblocking(False)
    return sock


def inode(path: str) -> int | None:
    """What tells the socket from a later one of the same name."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return None


def find(environ: Mapping[str, str]) -> list[str]:
    """Every socket a command may talk to, the configured one alone or else the best first."""
    if path := environ.get(VARIABLE):
        return [] if path == OFF else [path]
    for candidates in (_files(environ), _abstract()):
        if found := [path for path, peer in candidates if peers.is_believed(path, peer)]:
            return found
    return []


def is_served(environ: Mapping[str, str]) -> bool:
    """Whether there is a runtime that a command could talk to."""
    return any(peers.listening(path) is not None for path in find(environ))


def none_found(environ: Mapping[str, str]) -> str:
    """Why `find` finds nothing."""
    if environ.get(VARIABLE) == OFF:
        return f"{VARIABLE} is {OFF}: this runtime has no control socket"
    candidates = itertools.chain(_files(environ), _abstract())
    others = [f"{path} is uid {peer.uid}'s" for path, peer in candidates][:1]
    hint = "; ".join((f"--socket or {VARIABLE} names one", *others))
    return f"no running pidone found ({hint})"


def _files(environ: Mapping[str, str]) -> Iterator[tuple[str, peers.Peer]]:
    """Sockets of ours in folders, ours and root's first, and who listens there."""
    seen = set()
    for folder in places(environ):
        try:
            names = _ours_first(os.listdir(folder))
        except OSError:
            continue
        for path in (os.path.join(folder, name) for name in names):
            if path in seen:
                continue
            seen.add(path)
            if _is_socket(path) and (peer := peers.listening(path)) is not None:
                yield path, peer


def _abstract() -> Iterator[tuple[str, peers.Peer]]:
    """The same without files. Whose queue is full is not among them: anybody can fill one of his own."""
    try:
        lines = procfs.read_bytes("/proc/net/unix").splitlines()
    except OSError:
        return
    listening = [os.fsdecode(line.split()[-1]) for line in lines if line.split(None, 4)[3:4] == [_LISTENS]]
    for folder in _nowhere():
        names = [path.removeprefix(f"{folder}/") for path in listening if path.startswith(f"{folder}/")]
        for path in (os.path.join(folder, name) for name in _ours_first(names)):
            if (peer := peers.listening(path)) is not None and peer.pid:
                yield path, peer


def _ours_first(names: Iterable[str]) -> list[str]:
    mine = {f"{_NAME}.sock", next(_names(os.geteuid()))}
    ours = (name for name in names if name.startswith(_NAME) and name.endswith(".sock"))
    return sorted(ours, key=lambda name: (name not in mine, name))


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False
