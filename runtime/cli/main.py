"""The first words of a command line decide what is imported at all."""

import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from runtime.ecosystem.spec import Ecosystem

CONTROL = {
    **dict.fromkeys(("ls", "list", "ps", "status", "describe", "env"), "showing"),
    **dict.fromkeys(("stop", "restart", "reload", "delete", "scale", "signal", "send"), "acting"),
    **dict.fromkeys(("trigger", "reset", "flush"), "acting"),
    **dict.fromkeys(("wait", "health", "drain", "prestop"), "waiting"),
    **dict.fromkeys(("jlist", "prettylist"), "pm2lists"),
    "logs": "logs",
    "monit": "monit",
    "save": "saving",
    "smoke": "smoke",
    "completion": "completion",
    "complete": "completion",
}
"""Commands that talk to a running pidone, and the module of runtime.cli.control that has each."""

_INIT_NAMES = ("tini", "tini-static", "docker-init", "dumb-init")
_PM2_NAMES = ("pm2-runtime", "pm2-docker")
_COMMANDS = {
    "check": "runtime.cli.check",
    "convert": "runtime.cli.convert",
    "init": "runtime.cli.init",
    "schema": "runtime.cli.schema",
}
"""Commands that end by themselves and the modules that have them; `pidone start check` starts a file."""


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    name = argv[0].rpartition("/")[2]
    if name in _INIT_NAMES or (argv[1:2] == ["exec"] and name not in _PM2_NAMES):
        from runtime.init.bare.main import run as run_bare

        os._exit(run_bare(argv))  # finalising the interpreter would only keep others waiting
    words = argv[1:]
    if name not in _PM2_NAMES:
        if (family := _control_family(name, words)) is not None:
            from importlib import import_module

            return int(import_module(f"runtime.cli.control.{family}").run(argv if family == "pm2" else words))
        if words[:1] == ["--version"]:
            from runtime import __version__

            print(f"pidone {__version__}")
            return 0
        if words and words[0] in _COMMANDS:
            from importlib import import_module

            return int(import_module(_COMMANDS[words[0]]).run(words[1:]))
        if any(word in ("-h", "--help") for word in (words[: words.index("--")] if "--" in words else words)):
            from runtime.cli.start import USAGE

            print(USAGE, end="")
            return 0
    return _start(words[1:] if words[:1] == ["start"] and name not in _PM2_NAMES else words, name)


def _start(words: list[str], name: str) -> int:
    """Become the long-lived process.

    Its signal handlers go in before anything slow, and the ecosystem is read in a child beside all that it
    has to import.
    """
    from runtime.init.signals import SignalInbox

    inbox = SignalInbox()
    if name in _PM2_NAMES:
        from runtime.cli.pm2_runtime import answer

        code = answer(words)
        if code is not None:
            return code
    from runtime.supervise.loading import Loading

    cwd = os.getcwd()

    def load() -> "Ecosystem":
        if name in _PM2_NAMES:
            from runtime.cli.pm2_runtime import load_words
        else:
            from runtime.cli.start import load_words

        return load_words(words, cwd)

    loading = Loading(load)
    from runtime.cli.start import run

    code = run(loading, load, inbox)
    # Everything has been flushed and waited for; tearing the interpreter down would only delay the end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _control_family(name: str, words: list[str]) -> str | None:
    """The module whose command this is; None for what becomes the long-lived process."""
    if name == "pm2":
        return "pm2"
    if words[:1] != ["start"]:
        return CONTROL.get(words[0]) if words else None
    # `start` starts a file, or an app of the runtime that is running already.
    if len(words) < 2 or words[1].startswith("-") or os.path.exists(words[1]) or "--" in words:
        return None
    from runtime.control.where import find

    return "acting" if find(os.environ) else None
