"""The first words of a command line decide what is imported at all."""

import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from runtime.ecosystem.spec import Ecosystem

_INIT_NAMES = ("tini", "tini-static", "docker-init", "dumb-init")


def dispatch(argv: list[str]) -> int:
    """Run `argv` (argv[0] is the name we were called by) and return the exit code."""
    if argv[1:2] == ["exec"] or argv[0].rpartition("/")[2] in _INIT_NAMES:
        from runtime.init.bare.main import run

        os._exit(run(argv))  # finalising the interpreter would only keep others waiting
    words = argv[1:]
    if words[:1] == ["--version"]:
        from runtime import __version__

        print(f"pidone {__version__}")
        return 0
    if words[:1] == ["start"]:
        del words[0]
    if any(word in ("-h", "--help") for word in (words[: words.index("--")] if "--" in words else words)):
        from runtime.cli.start import USAGE

        print(USAGE, end="")
        return 0
    # Everything else becomes the long-lived process. Its signal handlers go in before anything slow, and the
    # ecosystem is read in a child beside all that it has to import.
    from runtime.init.signals import SignalInbox

    inbox = SignalInbox()
    from runtime.supervise.loading import Loading

    cwd = os.getcwd()

    def load() -> "Ecosystem":
        from runtime.cli.start import load_words

        return load_words(words, cwd)

    loading = Loading(load)
    from runtime.cli.start import run as start

    code = start(loading, load, inbox)
    # Everything has been flushed and waited for; tearing the interpreter down would only delay the end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
