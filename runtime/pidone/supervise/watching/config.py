"""Tells when the ecosystem's files have become others (`watch_config`); costs nothing while they do not.

A file may change by being written, by being renamed over, or by a link on the way to it that leads elsewhere.
The latter is how Kubernetes updates a mounted ConfigMap: `/etc/pidone/api.toml` is a link to
`..data/api.toml`, and `..data` a link to a folder with a time in its name, which is renamed over the old one
once the new folder is complete. So every folder is watched in which a name on the way to a file stands.

A folder that is an ecosystem itself, or that an `include` looks into, has changed when files come or go.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pidone.contracts import Timer
from pidone.ecosystem.spec import Origin, Seconds
from pidone.init.aside import await_answer
from pidone.supervise.watching import inotify

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

QUIET: Final[Seconds] = 0.2
"""Least time without a change before the file is looked at: saving it may be several of them."""
_MOST_LINKS: Final = 40
"""As in the kernel: more are a circle."""
_IN_FOLDER: Final = (
    inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE_SELF | inotify.MOVE_SELF
)
_IN_WHOLE_FOLDER: Final = _IN_FOLDER | inotify.DELETE | inotify.MOVED_FROM


class ConfigWatch:
    """Watches the files of one ecosystem from now until `close`."""

    def __init__(
        self,
        origins: Sequence[Origin],
        *,
        loop: "AbstractEventLoop",
        on_changed: Callable[[], None],
        on_failed: Callable[[OSError], None],
    ) -> None:
        """`on_changed` is called whenever a file is another version than in `origins`, or than last time.

        `on_failed` is called once, when nothing is watched any more because the kernel does not let us.
        Raises OSError when it does not from the beginning.
        """
        self._known = tuple(origins)
        self._loop = loop
        self._on_changed = on_changed
        self._on_failed = on_failed
        self._inotify = inotify.Inotify()
        self._names: dict[int, frozenset[str] | None] = {}
        """By the number of a watch: the names that count in that folder, None for all; a file has none."""
        loop.add_reader(self._inotify.fd, self._something_happened)
        self._settled: Timer | None = loop.call_later(0, self._look)  # it may have changed since it was read

    def follow(self, origins: Sequence[Origin]) -> None:
        """Watch what was read last: it may include other files than before."""
        if {origin.path for origin in origins} == {origin.path for origin in self._known}:
            return
        self._known = tuple(origins)
        self._look_later()

    def close(self) -> None:
        """Watch no more; without effect if that is so already."""
        if self._settled is not None:
            self._settled.cancel()
        if self._loop.remove_reader(self._inotify.fd):
            self._inotify.close()

    def _something_happened(self) -> None:
        if any(self._concerns(*event) for event in self._inotify.read()):
            self._look_later()

    def _concerns(self, number: int, name: str) -> bool:
        if number not in self._names:
            return number == inotify.OVERFLOW
        names = self._names[number]
        return names is None or not name or name in names

    def _look_later(self) -> None:
        if self._settled is not None:
            self._settled.cancel()
        self._settled = self._loop.call_later(QUIET, self._look)

    def _look(self) -> None:
        self._settled = None
        try:
            for origin in self._known:
                await_answer(origin.path)
            self._watch()  # before the look, so that what changes after it is heard of
        except (FileNotFoundError, NotADirectoryError):
            self._look_later()  # it is being changed right now
            return
        except OSError as error:
            self.close()
            self._on_failed(error)
            return
        now = tuple(Origin.of(origin.path) for origin in self._known)
        if now != self._known:
            self._known = now
            self._on_changed()

    def _watch(self) -> None:
        before, self._names = self._names, {}
        folders: dict[str, set[str] | None] = {}
        for origin in self._known:
            for folder, names in waypoints(origin.path).items():
                known = folders.setdefault(folder, set())
                if known is not None:
                    known |= names
        for origin in self._known:
            if os.path.isdir(origin.path):
                folders[os.path.realpath(origin.path)] = None
        for folder, counting in folders.items():
            mask = _IN_WHOLE_FOLDER if counting is None else _IN_FOLDER
            number = self._inotify.watch(folder, mask)
            self._names[number] = None if counting is None else frozenset(counting)
        # A file that is a mount of its own (`docker run -v FILE:FILE`) is written without its folder hearing.
        for origin in self._known:
            if os.path.isfile(origin.path):
                self._names[self._inotify.watch(origin.path, inotify.CLOSE_WRITE)] = frozenset()
        for number in before.keys() - self._names.keys():
            self._inotify.forget(number)


def waypoints(path: str) -> Mapping[str, set[str]]:
    """Folders, and the names in them, on which depends what an absolute path means.

    These are the links on the way, and where the way ends: at the file, or where something is missing.
    """
    found: dict[str, set[str]] = {}
    ahead = path.split("/")[::-1]
    here = "/"
    links = 0
    while ahead and links < _MOST_LINKS:
        name = ahead.pop()
        if name in ("", "."):
            continue
        at = os.path.normpath(os.path.join(here, name))
        target = _target(at)
        if target is not None:
            found.setdefault(here, set()).add(name)
            ahead += target.split("/")[::-1]
            here = "/" if target.startswith("/") else here
            links += 1
        elif ahead and os.path.isdir(at):
            here = at
        else:
            found.setdefault(here, set()).add(name)
            break
    return found


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:  # no link, or nothing at all
        return None
