"""The first words of a command line decide what is imported at all."""

import os
import sys

from pidone.cli.registry import (
    COMMAND,
    HELP,
    INIT_NAMES,
    OTHER_NAME,
    PM2_NAMES,
    PROGRAM,
    START,
    VERSION,
    plain_meaning,
)

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pidone.ecosystem.spec import Ecosystem
    from pidone.supervise.run.reread import FileRequest


_SYSTEM_ERRORS = (OSError, ImportError, MemoryError)
"""A module that cannot be looked for is one that is not found."""


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        from pidone.init.exitcodes import SIGNAL_BASE

        return SIGNAL_BASE + 2
    except Exception as error:  # noqa: BLE001 (this is the one place that reports a bug)
        return _last_word(error)


def _last_word(error: Exception) -> int:
    """What nobody has expected: a bug, or a system that refuses what every program takes.

    Nothing may be imported any more if it is the latter, so the message is put together here then.
    """
    try:
        from pidone.errors import describe_bug
        from pidone.init.bare.output import complain
        from pidone.init.exitcodes import ExitCode

        if not isinstance(error, _SYSTEM_ERRORS):
            complain(describe_bug(error))
            return ExitCode.INTERNAL
        complain(f"the system refuses what it takes to run: {error}")
    except Exception:  # noqa: BLE001 (an import that fails in the middle raises anything)
        try:
            os.write(2, f"pidone: the system refuses what it takes to run: {error}\n".encode())
        except OSError:
            return os.EX_OSERR  # which has to say it all
    return os.EX_OSERR


def _dispatch(argv: list[str]) -> int:
    name, words = argv[0].rpartition("/")[2], argv[1:]
    if name in INIT_NAMES or (words[:1] == ["exec"] and name not in PM2_NAMES):
        return _exec(argv)
    if name == "pm2":
        from pidone.cli.pm2.dispatch import foreground, run
        from pidone.init.bare.dispositions import let_signals_in

        if (found := foreground(words)) is not None:
            return _start(found, PM2_NAMES[0])
        let_signals_in()
        return _printing(run, argv)
    if name in PM2_NAMES:
        return _start(words, name)
    if words[:1] == ["health"]:
        from pidone.cli.operate.health import run as run_health

        if (code := run_health(words[1:])) is not None:
            return code
    meaning = plain_meaning(words)
    if meaning is None:  # not imported before it is needed: process 1 has no signal handlers yet
        from pidone.cli.first_word import closer_meaning

        meaning = closer_meaning(words)
    return _MEANINGS[meaning](words)


def _exec(argv: list[str]) -> "NoReturn":
    """Be an init for one command."""
    from pidone.init.bare.main import run

    os._exit(run(argv))  # finalising the interpreter would only keep others waiting


def _printing(command: "Callable[[list[str]], int]", words: list[str]) -> int:
    """Run what writes to the standard streams, whatever these are."""
    from pidone.cli.streams import run

    return run(command, words)


def _command(words: list[str]) -> int:
    import gc

    from pidone.init.bare.dispositions import let_signals_in

    let_signals_in()
    gc.disable()  # until the command is there: 5 % of its CPU time would go into garbage among imports
    from pidone.cli.click_app import run

    code = run(words)
    from pidone.cli.first_word import is_ambiguous

    if code == os.EX_UNAVAILABLE and is_ambiguous(words[0]):
        from pidone.init.bare.output import complain

        name = words[0]
        complain(f"for the program {name} say `exec -- {name}`; to ask a container, `docker exec` into it")
    return code


def _help(words: list[str]) -> int:
    """Of the whole, or of the command that follows."""
    words = words[1:]
    if words[:1] == ["start"]:
        from pidone.cli.start import USAGE

        print(USAGE, end="")
        return 0
    if words[:1] == ["exec"]:
        return _exec(["pidone", "exec", "--help"])
    from pidone.cli.click_app import run

    return run([*words[:1], "--help"])


def _version(words: list[str]) -> int:
    from pidone import __version__

    del words
    print(f"pidone {__version__}")
    return 0


def _run_or_explain(words: list[str]) -> int:
    words = words[1:] if words[:1] == ["start"] else words
    own = words[: words.index("--")] if "--" in words else words
    is_question = any(word in ("-h", "--help") for word in own)
    return _printing(_help, ["help", "start"]) if is_question else _start(words, "pidone")


_MEANINGS: "dict[str, Callable[[list[str]], int]]" = {
    START: _run_or_explain,
    COMMAND: lambda words: _printing(_command, words),
    PROGRAM: lambda words: _exec(["pidone", "exec", "--", *words]),
    OTHER_NAME: _dispatch,
    HELP: lambda words: _printing(_help, words),
    VERSION: lambda words: _printing(_version, words),
}


def _start(words: list[str], name: str) -> int:
    """Become the long-lived process.

    Its signal handlers go in before anything slow, and the ecosystem is read in a child beside all that it
    has to import.
    """
    from pidone.init.signals import SignalInbox

    inbox = SignalInbox()
    import gc

    from pidone.descriptors import occupy_standard

    # Looking for garbage among what is only being imported takes a twelfth of a start, here and in the child.
    gc.disable()  # until the first turn of the loop
    occupy_standard()
    if name in PM2_NAMES:
        from pidone.cli.pm2.runtime import answer

        code = answer(words)
        if code is not None:
            return code
    # What both sides of the fork need, before it: the child is what a start waits for, and has to import this
    # anyway; the parent is spared a fifth of its own start, 9 ms of CPU time.
    import json  # noqa: F401

    from pidone.cli import start
    from pidone.cpickle import pickle  # noqa: F401
    from pidone.supervise.run.loading import Loading

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

            return load_words(words, cwd)
        return start.load_words(words, cwd)

    try:
        loading = Loading(load)
    except OSError as error:
        from pidone.init.bare.output import complain
        from pidone.init.exitcodes import ExitCode

        complain(f"cannot start: no process can be started ({error.strerror}; see ulimit -u and pids.max)")
        os._exit(ExitCode.NO_PROCESS)
    try:
        code = start.run(loading, load, _file_loader(words, name, cwd), inbox)
    except BaseException:
        loading.abandon()
        raise
    from contextlib import suppress

    # Everything has been flushed and waited for; tearing the interpreter down would only delay the end.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed when we were started
            with suppress(OSError):
                stream.flush()
    os._exit(code)


def _file_loader(words: list[str], name: str, cwd: str) -> "Callable[[FileRequest], Ecosystem]":
    """What reads a file that somebody names later."""

    def load_file(asked: "FileRequest") -> "Ecosystem":
        from pidone.cli.another import load_another

        return load_another(asked, words, name, cwd)

    return load_file
