"""What a fork of a zygote does: it becomes the instance it was asked for, and runs the app's command there.

To the app everything is as if the command had been started: arguments, `__main__`, sys.path, variables,
descriptors, folder. What it has imported is there already. Rights, limits and user are those of the zygote,
which was started with them.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.machinery
import os
import sys
import types
from typing import Any, NoReturn

import pidone_environment
from pidone_preload import Loaded, argv0_of, place_of, rest_of

HOOK = "pidone_after_fork"
"""A function of the app's module that each worker calls before anything else of the app."""
_REPORT_BYTES = 512
_MISSING = (2, 20)  # ENOENT, ENOTDIR
_ARGUMENTS, _ENVIRONMENT = 47, 49  # /proc/self/stat, proc(5): arg_start and arg_end, env_start and env_end


def become(request: dict[str, Any], loaded: Loaded) -> None:
    """Take over what the runtime has given; what cannot be is said, and the end."""
    report = request["report"]
    step = "prepare"
    try:
        os.setpgid(0, 0)
        step = "descriptors"
        above = max(request["targets"]) + 1
        report = _away(report, above)
        _take(request, loaded.reserved, above)
        if request["umask"] is not None:
            os.umask(request["umask"])
        if request["cpus"] is not None:
            step = "cpu_affinity"
            os.sched_setaffinity(0, request["cpus"])
        step = f"cwd: {request['cwd']}"
        os.chdir(request["cwd"])
        step = "environment"
        os.environ.clear()
        os.environ.update(request["env"])
        os.environ.update(dict.fromkeys(request["pid_vars"], str(os.getpid())))
        _show(request)
    except OSError as error:
        _fail(report, error.errno or 5, f"{step}: {error.strerror}")
    except BaseException as error:  # noqa: BLE001 (it must not go on as a second zygote)
        _fail(report, 22, f"{step}: {error}")
    os.close(report)


def _fail(report: int, number: int, why: str) -> NoReturn:
    """As a program that cannot be started: 127 where something is not there, else 126."""
    try:
        os.write(report, f"{number} {why}".encode(errors="replace")[:_REPORT_BYTES])
    finally:
        os._exit(127 if number in _MISSING else 126)


def run(words: list[str], command: list[str], loaded: Loaded) -> NoReturn:
    """Run the command to its end; the exit code is what it would be."""
    loaded.seeds.anew()
    gc.enable()
    _share()
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = place_of(words)
    sys.argv = [argv0_of(words), *rest_of(words)]
    if hasattr(sys, "orig_argv"):  # Python 3.10
        sys.orig_argv = command
    try:
        hook = getattr(loaded.module, HOOK, None)
        if hook is not None:
            hook()
        if loaded.entry is None:
            _execute(words)
            sys.exit(0)
        sys.exit(_call(loaded))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 (it ends here, as at the end of a program)
        sys.excepthook(type(error), error, _of_the_app(error.__traceback__))
        sys.exit(1)


def _take(request: dict[str, Any], reserved: list[int], above: int) -> None:
    """Put each descriptor at its number, which are all below `above`. Raises OSError."""
    if len(request["given"]) < len(request["targets"]):
        raise OSError(24, "fewer have arrived than were given")
    for number in reserved:
        os.close(number)
    sources = [_away(number, above) for number in request["given"]]
    for source, target in zip(sources, request["targets"]):  # noqa: B905 (Python 3.10)
        if target > 2 and _is_open(target):
            raise OSError(16, f"number {target} is taken by something that the import has opened")
        os.dup2(source, target, inheritable=True)
        os.close(source)


def _away(number: int, above: int) -> int:
    moved: int = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(number)
    return moved


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _show(request: dict[str, Any]) -> None:
    """Have /proc show this worker's arguments, and the variable that marks it: the memory is the zygote's.

    Where it cannot be written (no /proc), those of the zygote stay there.
    """
    command = b"\0".join(os.fsencode(word) for word in request["command"]) + b"\0"
    name, mark = os.fsencode(request["mark"]) + b"=", os.fsencode(request["env"][request["mark"]])
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        places = [int(each) for each in fields[_ARGUMENTS - 2 : _ENVIRONMENT + 1]]
        with open("/proc/self/environ", "rb") as file:
            variables = file.read()
        at = variables.index(name) + len(name)
        room = variables.index(b"\0", at) - at
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(places[0])
            memory.write(command[: places[1] - places[0] - 1].ljust(places[1] - places[0], b"\0"))
            memory.seek(places[2] + at)
            memory.write(mark[:room].ljust(room, b"\0"))


def _share() -> None:
    """What sitecustomize does where a worker is started."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    try:
        if os.environ.get(pidone_environment.SHARE, "").startswith("@"):
            importlib.import_module("pidone_share").install()
        elif pidone_environment.DRAIN_IDLE in os.environ:
            importlib.import_module("pidone_inherited").install()
    finally:
        sys.path.remove(here)


def _call(loaded: Loaded) -> Any:
    """Call the app's main function in its module, which is `__main__` too: there is no second one of it."""
    import inspect  # noqa: PLC0415 (loaded by the zygote)

    sys.modules["__main__"] = loaded.module
    if sys.argv[0] == "-m":
        sys.argv[0] = loaded.module.__file__
    if inspect.iscoroutinefunction(loaded.entry):
        return importlib.import_module("asyncio").run(loaded.entry())
    return loaded.entry()


def _execute(words: list[str]) -> None:
    """As the interpreter does with `-m MODULE` or a file."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if words[0] == "-m":
        import runpy  # noqa: PLC0415 (of -m alone)

        sys.argv[0] = "-m"
        getattr(runpy, "_run_module_as_main")(words[1], True)  # noqa: B009 (what the interpreter calls)
        return
    path = words[0]
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    vars(main).update(__file__=path, __loader__=loader, __builtins__=sys.modules["builtins"], __cached__=None)
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, vars(main))  # noqa: S102 (running the user's program is the product)


def _of_the_app(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without the frames that a started program would not have."""
    while trace is not None and (
        trace.tb_frame.f_code.co_filename == __file__ or trace.tb_frame.f_globals.get("__name__") == "runpy"
    ):
        trace = trace.tb_next
    return trace
