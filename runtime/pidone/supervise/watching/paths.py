"""Which files and folders of an app are watched: what counts as its change, and where to look for it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from pidone.bounded_search import BoundedSearch, SearchTooLongError
from pidone.supervise.watching.patterns import ignorer

ALWAYS_IGNORED: Final = (
    ".*", "node_modules", "__pycache__", "*.pyc", "*.pyo", "*~", "*.swp", "*.swx", "4913",
)  # fmt: skip
"""PM2's two (dot files and node_modules), Python's caches, what editors write beside a file (4913: vim)."""


class WatchedPaths:
    """What one app wants to hear of."""

    def __init__(
        self, base: str, paths: Iterable[str], ignore: Iterable[str] = (), depth: int | None = None
    ) -> None:
        """Relative `paths` and patterns start at `base`; `depth` counts folders below a path, None is any."""
        self.roots = tuple(os.path.normpath(os.path.join(base, path)) for path in paths)
        self._base = base
        self._depth = depth
        patterns = tuple(ignore)
        self._ignored, self._exempt = ignorer(patterns)
        self._never, _ = ignorer(ALWAYS_IGNORED)
        self._search = BoundedSearch(bool)
        self._has_exemptions = any(pattern.startswith("!") for pattern in patterns)

    def concerns(self, path: str) -> bool:
        """Whether a change of an absolute path counts."""
        return any(_is_below(path, root) and not self._is_ignored(path, root) for root in self.roots)

    def folders(self) -> Iterator[str]:
        """Where to look for changes. A file is looked for in its folder: saving it may put another there.

        So is what does not exist, or not for the moment.
        """
        for root in self.roots:
            if os.path.isdir(root):
                yield from self._tree(root)
            elif os.path.isdir(os.path.dirname(root)):
                yield os.path.dirname(root)

    def _tree(self, root: str) -> Iterator[str]:
        seen = {_identity(root)}
        for folder, below, _ in os.walk(root, followlinks=True):
            entered = []
            for name in below:
                path = os.path.join(folder, name)
                identity = _identity(path)
                if identity in seen or not self._may_hold_changes(path, root):
                    continue
                seen.add(identity)  # links may lead here again, or in a circle
                if os.access(path, os.R_OK):  # inotify would refuse it, and the others with it
                    entered.append(name)
            below[:] = entered
            yield folder

    def _may_hold_changes(self, folder: str, root: str) -> bool:
        # An exemption may be for something deep inside of what is ignored.
        return self._has_exemptions or not self._is_ignored(folder, root)

    def _is_ignored(self, path: str, root: str) -> bool:
        below_root = "" if path == root else os.path.relpath(path, root)
        if self._depth is not None and below_root.count("/") > self._depth:
            return True
        try:
            return self._search.attempt(self._matches, path, below_root)
        except (
            SearchTooLongError
        ):  # whoever makes up names of files need not be the one who wrote the patterns
            return False

    def _matches(self, path: str, below_root: str) -> bool:
        below_base = os.path.relpath(path, self._base)
        if self._exempt(path, below_base):
            return False
        return self._never(path, below_root) or self._ignored(path, below_base)


def folders_of(groups: Iterable[WatchedPaths]) -> set[str]:
    """Every folder to look at."""
    return {folder for group in groups for folder in group.folders()}


def entries_of(folders: Iterable[str]) -> set[str]:
    """What is in some folders, as far as they are there and may be read."""
    found = set()
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            found |= {entry.path for entry in entries}
    return found


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:  # it has gone
        return None
    return found.st_dev, found.st_ino
