"""The first words of a command line decide what is imported at all."""

import os
import sys

from pidone.cli.registry import COMMANDS, INIT_NAMES, PM2_NAMES

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from pidone.ecosystem.spec import Ecosystem

_HELP = ("-h", "--help")


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        from pidone.init.exitcodes import SIGNAL_BASE

        return SIGNAL_BASE + 2
    except Exception as error:  # noqa: BLE001 (this is the one place that reports a bug)
        from pidone.errors import describe_bug
        from pidone.init.bare.output import complain
        from pidone.init.exitcodes import ExitCode

        complain(describe_bug(error))
        return ExitCode.INTERNAL


def _dispatch(argv: list[str]) -> int:
    name = argv[0].rpartition("/")[2]
    if name in INIT_NAMES or (argv[1:2] == ["exec"] and name not in PM2_NAMES):
        from pidone.init.bare.main import run as run_bare

        os._exit(run_bare(argv))  # finalising the interpreter would only keep others waiting
    words = argv[1:]
    if name == "pm2":
        from pidone.cli.pm2.dispatch import run as run_pm2

        return run_pm2(argv)
    if name not in PM2_NAMES and (code := _answer(words)) is not None:
        return code
    return _start(words[1:] if words[:1] == ["start"] and name not in PM2_NAMES else words, name)


def _start(words: list[str], name: str) -> int:
    """Become the long-lived process.

    Its signal handlers go in before anything slow, and the ecosystem is read in a child beside all that it
    has to import.
    """
    from pidone.init.signals import SignalInbox

    inbox = SignalInbox()
    _occupy_standard_descriptors()
    if name in PM2_NAMES:
        from pidone.cli.pm2.runtime import answer

        code = answer(words)
        if code is not None:
            return code
    from pidone.supervise.loading import Loading

    try:
        cwd = os.getcwd()
    except FileNotFoundError:  # somebody removed it; absolute paths are as good as ever
        cwd = "/"

    def load() -> "Ecosystem":
        from contextlib import suppress

        from pidone.init.bare.execute import undo_locale_coercion

        undo_locale_coercion()  # PEP 538 is about our own interpreter, not about what a file sees
        with suppress(OSError):  # gone; what needs it will say so
            os.chdir(cwd)  # a reading of its own process: later ones name files as the first one did
        if name in PM2_NAMES:
            from pidone.cli.pm2.runtime import load_words
        else:
            from pidone.cli.start import load_words

        return load_words(words, cwd)

    try:
        loading = Loading(load)
    except OSError as error:
        from pidone.init.bare.output import complain
        from pidone.init.exitcodes import ExitCode

        complain(f"cannot start: no process can be started ({error.strerror}; see ulimit -u and pids.max)")
        os._exit(ExitCode.NO_PROCESS)
    from pidone.cli.start import run

    code = run(loading, load, inbox)
    # Everything has been flushed and waited for; tearing the interpreter down would only delay the end.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed when we were started
            stream.flush()
    os._exit(code)


def _occupy_standard_descriptors() -> None:
    """Have something behind 0, 1 and 2: else a pipe of ours gets such a number, and records go into that.

    As glibc does for setuid programs, it is something that cannot be written to, so that a closed stdout is
    found out.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest free number, which is this one


def _answer(words: list[str]) -> int | None:
    """Run what is not a start; None for what becomes the long-lived process."""
    if words[:1] == ["health"]:
        from pidone.cli.operate.health import run as run_health

        if (code := run_health(words[1:])) is not None:
            return code
    if _is_command(words):
        from pidone.cli.click_app import run as run_command

        return run_command(words)
    own = words[: words.index("--")] if "--" in words else words
    if "--version" in own[:1]:
        from pidone import __version__

        print(f"pidone {__version__}")
        return 0
    if any(word in _HELP for word in own):
        from pidone.cli.start import USAGE

        print(USAGE, end="")
        return 0
    return None


def _is_command(words: list[str]) -> bool:
    """Whether it is one of those that end; `start` starts a file, or an app of a running runtime."""
    if words[:1] != ["start"]:
        return bool(words) and (words[0] in COMMANDS or words[0] in _HELP)
    if len(words) < 2 or words[1].startswith("-") or os.path.exists(words[1]) or "--" in words:
        return False
    from pidone.control.socket_file import find

    return bool(find(os.environ))
