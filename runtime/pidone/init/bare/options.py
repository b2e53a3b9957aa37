"""The command line of `pidone exec`."""

import os

from pidone.csignal import signal
from pidone.init.bare.getopt import OptionError, Scan
from pidone.init.bare.output import Quit, say

USAGE = """\
Usage: pidone exec [OPTION]... [--] COMMAND [ARG]...

Run COMMAND as the init of a container does: forward every signal to it, bury every
orphan, and end with its exit code (128 + n if signal n ended it). What COMMAND leaves
behind gets SIGTERM, time to obey, then SIGKILL; pidone ends when the last one is gone.

  -g, --group               signal COMMAND's whole process group
  -c, --single-child        signal COMMAND only (the default)
  -r, --rewrite SIG:SIG     send the second signal when the first arrives; SIG:0 or SIG:none drops it
  -e, --map-exit CODE[:TO]  end with TO, or 0, when COMMAND's exit code is CODE
  -t, --grace SECONDS       time between SIGTERM and SIGKILL for what COMMAND leaves behind (10)
  -s, --subreaper           refuse to run where orphans cannot be adopted (they are whenever possible)
  -S, --no-subreaper        do not adopt orphans unless we are process 1
  -p, --pdeath-signal SIG   act as if SIG had been sent to pidone when its parent ends
  -v, --verbose             say on stderr what happens
  -h, --help                show this text

-r and -e may be repeated. Signals are written TERM, SIGTERM, 15 or RTMIN+3. A second SIGTERM or SIGINT
while pidone waits for what is left behind kills at once.
Exit codes of its own: 1 COMMAND may not be signalled, 64 wrong usage, 70 internal error, 71 no process could
be started or no orphan adopted, 126 COMMAND cannot be executed, 127 COMMAND not found.
"""

_SHORT = "gcr:e:t:sSp:vh"
_LONG = {
    "group": "g",
    "single-child": "c",
    "rewrite": "r",
    "map-exit": "e",
    "grace": "t",
    "subreaper": "s",
    "no-subreaper": "S",
    "pdeath-signal": "p",
    "verbose": "v",
    "help": "h",
}
_FLAGS = {
    "g": ("group", True),
    "c": ("group", False),
    "s": ("subreaper", True),
    "S": ("subreaper", False),
    "v": ("verbose", True),
}
_NEVER_ARRIVES = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)
"""The first two cannot be caught; the third speaks of our children and is not forwarded."""


class Options:
    """What `pidone exec` was asked for."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.group = False
        self.subreaper: bool | None = None
        """Whether orphans must be adopted; None: where possible."""
        self.verbose = False
        self.pdeath_signal = 0
        self.grace_s = 10.0
        self.rewrite: dict[int, int] = {}
        """Signal that arrives to signal that is sent; 0 is none."""
        self.map_exit: dict[int, int] = {}


def parse(args: list[str]) -> Options:
    """Read the options in front of the command.

    Raises:
        Quit: help was asked for, or something is wrong; that has been said on stderr.
    """
    try:
        return _read(args)
    except OptionError as error:
        say(2, f"pidone exec: {error}\nTry 'pidone exec --help'.\n")
        raise Quit(os.EX_USAGE) from None


def _read(args: list[str]) -> Options:
    options = Options()
    scan = Scan(args, _SHORT, _LONG)
    for letter, value in scan.options:
        _apply(options, letter, value)
    if scan.error:
        raise scan.error
    if not scan.operands:
        raise OptionError("no command given")
    options.command = scan.operands
    return options


def _apply(options: Options, letter: str, value: str) -> None:
    match letter:
        case "h":
            say(1, USAGE)
            raise Quit(os.EX_OK)
        case "r":
            received, sent = _rewriting(value)
            options.rewrite[received] = sent
        case "e":
            code, mapped = _mapping(value)
            options.map_exit[code] = mapped
        case "t":
            options.grace_s = _seconds(value)
        case "p":
            options.pdeath_signal = _signal(value)
        case flag:
            name, setting = _FLAGS[flag]
            setattr(options, name, setting)


def _rewriting(text: str) -> tuple[int, int]:
    received_text, colon, sent_text = text.partition(":")
    if not colon:
        raise OptionError(f"'{text}' is not SIGNAL:SIGNAL")
    received = _signal(received_text)
    if received in _NEVER_ARRIVES:
        raise OptionError(f"'{received_text}' is never forwarded, so it cannot be rewritten")
    return received, 0 if sent_text.lower() in ("0", "none") else _signal(sent_text)


def _signal(text: str) -> int:
    from pidone.signames import parse_signal  # noqa: PLC0415 - only these options need it

    try:
        return parse_signal(text)
    except ValueError as error:
        raise OptionError(str(error)) from None


def _mapping(text: str) -> tuple[int, int]:
    code, _, mapped = text.partition(":")
    return _exit_code(code, text), _exit_code(mapped, text) if ":" in text else 0


def _exit_code(part: str, text: str) -> int:
    if part.isascii() and part.isdigit() and len(part) <= 3 and int(part) <= 255:
        return int(part)
    raise OptionError(f"'{text}' is not an exit code from 0 to 255, or two of them as CODE:TO")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:  # also refuses nan
        raise OptionError(f"'{text}' is not a number of seconds")
    return value
