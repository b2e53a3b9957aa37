"""Changes of files, told as JSON lines: `python -m runtime.supervise.changes JSON`, a process of its own.

The library watches in a thread and weighs 15 MB; neither belongs into PID 1. JSON is a list of
`{"base": folder, "paths": [...], "ignore": [...], "depth": N, "polling": seconds}`, of which the last two
may be null; a line is `{"group": index, "path": ...}`, or `{"error": text}` for what makes watching
impossible. It ends when its parent does.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from runtime.init import prctl
from runtime.supervise.patterns import ignorer

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
_POLL_MS: Final = 300
_GROUPED_MS: Final = 100


class Group:
    """What one app wants to hear of."""

    def __init__(
        self, base: str, paths: Iterable[str], ignore: Iterable[str] = (), depth: int | None = None
    ) -> None:
        """Relative `paths` and patterns start at `base`; `depth` counts folders below a path, None is any."""
        self.roots = tuple(os.path.normpath(os.path.join(base, path)) for path in paths)
        self._base = base
        self._depth = depth
        self._ignored, self._exempt = ignorer(ignore)
        self._never, _ = ignorer(ALWAYS_IGNORED)

    def concerns(self, path: str) -> bool:
        """Whether a change of an absolute path counts."""
        return any(_is_below(path, root) and not self._is_ignored(path, root) for root in self.roots)

    def _is_ignored(self, path: str, root: str) -> bool:
        below_root = "" if path == root else os.path.relpath(path, root)
        if self._depth is not None and below_root.count("/") > self._depth:
            return True
        below_base = os.path.relpath(path, self._base)
        if self._exempt(path, below_base):
            return False
        return self._never(path, below_root) or self._ignored(path, below_base)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


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
    told = json.loads(argument)
    groups = [Group(each["base"], each["paths"], each["ignore"], each["depth"]) for each in told]
    polling = min((each["polling"] for each in told if each["polling"]), default=None)
    roots = sorted({root for group in groups for root in group.roots})
    missing = [root for root in roots if not os.path.exists(root)]
    for root in missing:
        _say(json.dumps({"error": f"{root}: there is nothing to watch"}))
    present = [root for root in roots if root not in missing]
    if not present:
        return 1
    try:
        import watchfiles  # noqa: PLC0415 (its absence is told like any other reason)

        def counts(change: watchfiles.Change, path: str) -> bool:
            # To polling a folder has changed when a file in it has come or gone, an ignored one too.
            if change is watchfiles.Change.modified and os.path.isdir(path):
                return False
            return any(group.concerns(path) for group in groups)

        changes = watchfiles.watch(
            *present,
            watch_filter=counts,
            debounce=_GROUPED_MS,
            step=_STEP_MS,
            force_polling=True if polling else None,  # None: as WATCHFILES_FORCE_POLLING says
            poll_delay_ms=round(polling * 1000) if polling else _POLL_MS,
        )
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
