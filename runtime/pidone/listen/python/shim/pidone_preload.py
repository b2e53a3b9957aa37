"""What a zygote does before it forks anybody: it imports the app as a worker would, and looks at the result.

A fork has one thread, and shares whatever is open with its siblings. So what runs threads after the import,
listens, is connected or has an event loop is refused, with what it is; of other things that are rarely meant
to be shared, such as a database's file, the user is told. Variables that differ in each instance
are not there yet; an import that asks for one is refused too, since all workers would have its answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import inspect
import os
import socket
import stat
import sys
import threading
import time
import traceback
from typing import Any, Iterator

import pidone_random

_PATIENCE_S = 1.0
"""A thread that was only to do something once has ended by then."""
_POLL_S = 0.02
_MADE_FOR_SHARING = ("/dev/shm/", "/memfd:")  # noqa: S108 (nothing is written there)
_SQLITE = b"SQLite format 3\0"
"""How its files begin: https://sqlite.org/fileformat.html#the_database_header."""
_LONGEST_NAME = 200
_KINDS = {
    "anon_inode:inotify": "a watch on files",
    "anon_inode:[timerfd]": "a timer",
    "anon_inode:[signalfd]": "a descriptor for signals",
    "anon_inode:[eventfd]": "an eventfd",
}
"""Of what each event is read by one process, whoever comes first."""


class Loaded:
    """An app that is imported, or why it cannot be used so."""

    def __init__(self) -> None:
        self.why_not = ""
        self.module: Any = None
        self.entry: Any = None
        """What a worker calls in place of its command."""
        self.reserved: list[int] = []
        """Numbers that are kept for what a worker is given."""
        self.path: list[str] = []
        """sys.path behind the entry of the command, as the import has left it."""
        self.shared: list[str] = []
        """What the import has left open and workers have in common, although that is hardly meant."""
        self.seeds = pidone_random.Seeds()


def load(task: dict[str, Any], words: list[str]) -> Loaded:
    """Import the target of a task for the command `words`; nothing is raised, whatever it does."""
    loaded = Loaded()
    while (number := os.dup(0)) < task["reserve"]:
        loaded.reserved.append(number)
    os.close(number)
    before = _descriptors()
    first = place_of(words)
    is_placed = not (sys.flags.isolated or getattr(sys.flags, "safe_path", False))
    if is_placed:
        sys.path[0] = first
    added = [folder for folder in task["path"] if folder != first or not is_placed]
    sys.path[:0] = added
    own_argv, sys.argv = sys.argv, [argv0_of(words), *rest_of(words)]
    _Watched.begin(task["hidden"], task["listed"])
    loaded.seeds.begin()
    try:
        _import(task, words, loaded)
    except SystemExit as error:
        loaded.why_not = f"the import ended the program ({error.code})"
    except BaseException as error:  # noqa: BLE001 (the worker will say it too, and fail by it)
        traceback.print_exc()
        loaded.why_not = f"the import failed: {type(error).__name__}: {error}"
    finally:
        loaded.seeds.end()
        asked = _Watched.end()
        sys.argv = own_argv
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)
    if not loaded.why_not and asked:
        loaded.why_not = f"the import reads {', '.join(sorted(asked))}, which differs in each instance"
    loaded.why_not = loaded.why_not or _unfit(before)
    loaded.shared = _shared(before)
    return loaded


def place_of(words: list[str]) -> str:
    """The first entry of sys.path for a command: of `-m` the folder it is in, else that of the script."""
    return os.getcwd() if words[0] == "-m" else os.path.dirname(os.path.realpath(words[0]))


def argv0_of(words: list[str]) -> str:
    """sys.argv[0]; that of `-m` becomes the module's file when that is known."""
    return words[0]


def rest_of(words: list[str]) -> list[str]:
    """The command's own arguments."""
    return words[2:] if words[0] == "-m" else words[1:]


def _import(task: dict[str, Any], words: list[str], loaded: Loaded) -> None:
    for name in task["also"]:
        with contextlib.suppress(ImportError):  # another version of the server, or without what is optional
            importlib.import_module(name)
    name, _, attribute = task["target"].partition(":")
    loaded.module = importlib.import_module(name)
    for needs, later in task["late"].items():
        if needs in sys.modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(later)
    found: Any = loaded.module
    for each in filter(None, attribute.split(".")):
        if not hasattr(found, each):
            loaded.why_not = f"the module {name} has no {attribute}"
            return
        found = getattr(found, each)
    if attribute and _runs(words, loaded.module) and _is_main(found):
        loaded.entry = found


def _runs(words: list[str], module: Any) -> bool:
    """Whether a command is this very module."""
    if words[0] == "-m":
        return words[1] in (module.__name__, f"{module.__name__}.__main__")
    try:
        return os.path.samefile(words[0], getattr(module, "__file__", None) or "")
    except OSError:
        return False


def _is_main(found: Any) -> bool:
    """Whether it is a function that can be called with nothing."""
    if not inspect.isfunction(found):
        return False
    of_its_own = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(found).parameters.values()
    return all(each.default is not each.empty or each.kind in of_its_own for each in parameters)


class _Watched(os._Environ):  # type: ignore[type-arg]  # noqa: SLF001 (os.environ itself has to notice)
    """The environment while an app is imported: it remembers who asked for what is not there yet."""

    _hidden: frozenset[str] = frozenset()
    _listed: frozenset[str] = frozenset()
    _asked: set[str] = set()  # noqa: RUF012 (one environment, one set)

    @classmethod
    def begin(cls, hidden: list[str], listed: list[str]) -> None:
        """`listed` are those that also whoever reads all variables is taken to have asked for."""
        cls._hidden, cls._listed, cls._asked = frozenset(hidden), frozenset(listed), set()
        os.environ.__class__ = cls

    @classmethod
    def end(cls) -> set[str]:
        """Who was asked for."""
        os.environ.__class__ = os._Environ  # noqa: SLF001
        return cls._asked

    def __getitem__(self, name: Any) -> Any:
        if name in self._hidden:
            self._asked.add(str(name))
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        self._asked.update(self._listed)
        return super().__iter__()


def _unfit(before: set[int]) -> str:
    """Why forks of this process would not work; empty if they would."""
    ends = time.monotonic() + _PATIENCE_S
    while (threads := _threads()) and time.monotonic() < ends:
        time.sleep(_POLL_S)
    if threads:
        what = f"{len(threads)} thread{'s' if len(threads) > 1 else ''} ({', '.join(threads[:5])})"
        maths = "numpy" in sys.modules and all(each.startswith("native") for each in threads)
        hint = "; OPENBLAS_NUM_THREADS = 1 in env makes numpy start none" if maths else ""
        return f"the import has started {what}, and a fork has one{hint}"
    if children := _children():
        return f"the import has started {children} processes, which would be nobody's"
    for number in sorted(_descriptors() - before):
        if what := _what_is_open(number):
            return f"the import {what}, which all workers would have in common"
    return ""


def _shared(before: set[int]) -> list[str]:
    """What the import has left open: databases first, whose other files are not named beside them."""
    targets = {number: _target(number) for number in sorted(_descriptors() - before)}
    databases = {target for number, target in targets.items() if _is_database(number)}
    others = (
        _what_is_shared(number, target)
        for number, target in targets.items()
        if not any(target == each or target.startswith(f"{each}-") for each in databases)
    )
    return [f"the SQLite database {each}" for each in sorted(databases)] + [each for each in others if each]


def _is_database(number: int) -> bool:
    """Whether it is a file of SQLite, which is not to be carried across a fork."""
    try:
        return stat.S_ISREG(os.fstat(number).st_mode) and os.pread(number, len(_SQLITE), 0) == _SQLITE
    except OSError:  # open for writing alone
        return False


def _what_is_shared(number: int, target: str) -> str:
    """In words, or empty: what is only read is mapped or has been read, what is appended to is a log."""
    try:
        mode, flags = os.fstat(number).st_mode, fcntl.fcntl(number, fcntl.F_GETFL)
    except OSError:  # closed by a finalizer
        return ""
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISREG(mode) and flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND:
        return "" if target.startswith(_MADE_FOR_SHARING) else f"{target}, open for writing"
    return _KINDS.get(target, "")


def _target(number: int) -> str:
    """What /proc calls it; empty without one."""
    try:
        name = os.readlink(os.fsencode(f"/proc/self/fd/{number}"))
    except OSError:
        return ""
    return name[:_LONGEST_NAME].decode(errors="replace")


def _threads() -> list[str]:
    """Names of all but the main one; those that Python knows nothing of are native."""
    known = {each.native_id: each.name for each in threading.enumerate()}
    try:
        tasks = [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:  # no /proc: what Python knows
        tasks = [number for number in known if number is not None]
    return [known.get(task, f"native {task}") for task in sorted(tasks) if task != os.getpid()]


def _children() -> int:
    try:
        with open("/proc/thread-self/children") as file:
            return len(file.read().split())
    except OSError:  # a kernel that does not tell
        return 0


def _descriptors() -> set[int]:
    try:
        listed = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no /proc
        return set()
    return {number for number in listed if _is_open(number)}


def _is_open(number: int) -> bool:
    """It is, unless it was that of the listing."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _what_is_open(number: int) -> str:
    """What an import has left open that a fork must not have; files are its own affair."""
    target = _target(number)
    if target == "anon_inode:[eventpoll]":
        return "has made an event loop"
    if target.startswith("socket:"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
            if sock.type == socket.SOCK_STREAM:
                listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                return (
                    f"listens on {sock.getsockname()}" if listens else f"is connected to {sock.getpeername()}"
                )
    return ""
