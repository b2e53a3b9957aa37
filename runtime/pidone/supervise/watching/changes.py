"""Changes of files, told as JSON lines by a process of its own: `python -m` this module, and JSON.

The library watches in a thread and weighs 15 MB; neither belongs into PID 1. JSON is a list of
`{"base": folder, "paths": [...], "ignore": [...], "depth": N, "polling": seconds}`, of which the last two
may be null; a line is `{"group": index, "path": ...}`, or `{"error": text}` for what makes watching
impossible. It ends when its parent does.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from pidone.init import prctl
from pidone.supervise.watching.paths import WatchedPaths, entries_of, folders_of

_STEP_MS: Final = 50
_POLL_MS: Final = 300
_GROUPED_MS: Final = 100
_SETTLED_MS: Final = 200
"""Longest time between two looks of the library's caller, the first of which shows that it watches."""
_ADVICE: Final = {
    "watch limit": "leave folders out by ignore_watch, set watch_polling, or raise the host's "
    "fs.inotify.max_user_watches",
    "os error 24": "set watch_polling, or raise the host's fs.inotify.max_user_instances",
}
"""By what the library says when inotify(7) has reached a limit."""
_REFUSED: Final = ("os error 1)", "os error 13)")
"""The same, where a sandbox allows no inotify: EPERM, EACCES. For ENOSYS the library polls by itself."""


def lines_for(paths: Iterable[str], groups: Sequence[WatchedPaths]) -> list[str]:
    """What to tell about changed paths."""
    return [
        json.dumps({"group": index, "path": path})
        for path in sorted(paths)
        for index, group in enumerate(groups)
        if group.concerns(path)
    ]


def main(argument: str) -> int:
    """Watch until the parent ends or nothing can be watched."""
    with suppress(OSError):  # a sandbox refuses it: the pipe to the parent breaks at the next change
        prctl.set_parent_death_signal(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = json.loads(argument)
    groups = [WatchedPaths(each["base"], each["paths"], each["ignore"], each["depth"]) for each in told]
    polling = min((each["polling"] for each in told if each["polling"]), default=None)
    for root in sorted({root for group in groups for root in group.roots}):
        if not os.path.exists(root):
            _say(json.dumps({"error": f"{root}: there is nothing to watch"}))
    try:
        for paths in _changes(groups, polling):
            for line in lines_for(paths, groups):
                _say(line)
    except (ImportError, OSError, RuntimeError) as error:  # not installed; a limit; a broken backend
        _say(json.dumps({"error": f"files cannot be watched: {_why(error)}"}))
    return 1


def _changes(groups: Sequence[WatchedPaths], polling: float | None) -> Iterator[set[str]]:
    """What has changed, again and again, as long as there is something to watch.

    Folder by folder, not whole trees: what is ignored (node_modules) may hold more folders than inotify
    takes. When a folder comes, or one to be watched goes, that begins anew. What happened meanwhile is told
    afterwards: who acts on it then reads what nobody watched.
    """
    roots = {root for group in groups for root in group.roots}
    known: set[str] | None = None
    changed: set[str] = set()
    while folders := folders_of(groups):
        changed |= entries_of(set() if known is None else folders - known)
        known = folders
        try:
            for number, batch in enumerate(_watch(folders, groups, polling)):
                changed |= batch
                if any(os.path.isdir(path) or (path in roots and not os.path.exists(path)) for path in batch):
                    break
                if number == 0 and not folders_of(groups) <= folders:  # one came before it was watched
                    break
                if changed:
                    yield changed
                    changed = set()
        except FileNotFoundError:  # one went before it was watched
            time.sleep(_STEP_MS / 1000)
        except (OSError, RuntimeError) as error:
            if polling or not any(sign in str(error) for sign in _REFUSED):
                raise
            polling = _POLL_MS / 1000


def _watch(
    folders: Iterable[str], groups: Sequence[WatchedPaths], polling: float | None
) -> Iterator[set[str]]:
    """What has changed in these folders; the first set, perhaps an empty one, shows that it watches."""
    import watchfiles  # noqa: PLC0415 (its absence is told like any other reason)

    def counts(change: watchfiles.Change, path: str) -> bool:
        # To polling a folder has changed when a file in it has come or gone, an ignored one too.
        if change is watchfiles.Change.modified and os.path.isdir(path):
            return False
        return any(group.concerns(path) for group in groups)

    for batch in watchfiles.watch(
        *sorted(folders),
        watch_filter=counts,
        debounce=_GROUPED_MS,
        step=_STEP_MS,
        rust_timeout=_SETTLED_MS,
        yield_on_timeout=True,
        force_polling=True if polling else None,  # None: as WATCHFILES_FORCE_POLLING says
        poll_delay_ms=round(polling * 1000) if polling else _POLL_MS,
        recursive=False,
    ):
        yield {path for _, path in batch}


def _why(error: Exception) -> str:
    """What went wrong, and what helps if that is known."""
    text = str(error).partition(" about [")[0]
    return text + "".join(f": {advice}" for sign, advice in _ADVICE.items() if sign in text)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
