"""Changes of files, told as JSON lines: `python -m runtime.supervise.changes JSON`, a process of its own.

The library watches in a thread and weighs 15 MB; neither belongs into PID 1. JSON is a list of
`{"base": folder, "paths": [...], "ignore": [...]}`; a line is `{"group": index, "path": ...}`, or
`{"error": text}` for what makes watching impossible. It ends when its parent does.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from runtime.init import prctl
from runtime.record import Record

ALWAYS_IGNORED: Final = (
    ".*",
    "node_modules",
    "__pycache__",
    "*.pyc",
    "*.pyo",
    "*~",
    "*.swp",
    "*.swx",
    "4913",
)
"""PM2's two (dot files and node_modules), Python's caches, what editors write beside a file (4913: vim)."""
_STEP_MS: Final = 50
_GROUPED_MS: Final = 100


class Group(Record, kw_only=True):
    """What one app wants to hear of."""

    base: str
    """Where relative paths and patterns start."""
    paths: tuple[str, ...]
    ignore: tuple[str, ...] = ()

    def roots(self) -> tuple[str, ...]:
        """Absolute paths to watch."""
        return tuple(os.path.normpath(os.path.join(self.base, path)) for path in self.paths)

    def concerns(self, path: str) -> bool:
        """Whether a change of an absolute path counts."""
        return any(_is_below(path, root) and not self._is_ignored(path, root) for root in self.roots())

    def _is_ignored(self, path: str, root: str) -> bool:
        below = os.path.relpath(path, root)
        if any(_matches_part(below, pattern) for pattern in ALWAYS_IGNORED):
            return True
        from_base = os.path.relpath(path, self.base)
        for written in self.ignore:
            pattern = written.replace("\\", "").removeprefix("./").rstrip("/")  # PM2's files write "\\.git"
            if os.path.isabs(pattern):
                if any(fnmatchcase(each, pattern) for each in _upwards(path)):
                    return True
            elif _matches_part(from_base, pattern) or any(
                fnmatchcase(each, pattern) for each in _upwards(from_base)
            ):
                return True
        return False


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _matches_part(path: str, pattern: str) -> bool:
    return any(part not in (".", "..") and fnmatchcase(part, pattern) for part in path.split("/"))


def _upwards(path: str) -> Iterator[str]:
    """A path and its parents: who ignores a folder ignores what is in it."""
    while path and path != "/":
        yield path
        path = os.path.dirname(path)


def lines_for(paths: Iterable[str], groups: Sequence[Group]) -> list[str]:
    """What to tell about changed paths."""
    return [
        json.dumps({"group": index, "path": path})
        for path in sorted(paths)
        for index, group in enumerate(groups)
        if group.concerns(path)
    ]


def main(argument: str) -> int:
    """Watch until the parent ends or nothing can be watched."""
    prctl.set_parent_death_signal(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups = [
        Group(**{**each, "paths": tuple(each["paths"]), "ignore": tuple(each["ignore"])})
        for each in json.loads(argument)
    ]
    roots = sorted({root for group in groups for root in group.roots()})
    missing = [root for root in roots if not os.path.exists(root)]
    for root in missing:
        _say(json.dumps({"error": f"{root}: there is nothing to watch"}))
    present = [root for root in roots if root not in missing]
    if not present:
        return 1
    try:
        import watchfiles  # noqa: PLC0415 (its absence is told like any other reason)

        changes = watchfiles.watch(*present, watch_filter=None, debounce=_GROUPED_MS, step=_STEP_MS)
        for batch in changes:
            for line in lines_for({path for _, path in batch}, groups):
                _say(line)
    except (
        ImportError,
        OSError,
        RuntimeError,
    ) as error:  # not installed; a limit of inotify; a broken backend
        _say(json.dumps({"error": f"files cannot be watched: {error}"}))
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
