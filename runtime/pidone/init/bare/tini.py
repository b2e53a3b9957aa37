"""tini 0.19.0, from outside: its options, variables, messages, exit codes, and what it does and does not do.

Deliberate differences: nothing wakes up once a second, SIGCHLD inherited as ignored does not hang us, -l
prints this project's licence, and a command never starts with SIGPIPE or SIGXFSZ ignored (Python cannot tell
whether we did).
"""

import errno
import os

from pidone.csignal import signal
from pidone.init import prctl
from pidone.init.bare import dispositions
from pidone.init.bare.execute import execvp
from pidone.init.bare.getopt import Scan
from pidone.init.bare.output import Quit, say

VERSION = "tini version 0.19.0"

_HELP = """\
{name} ({version})
Usage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version

Execute a program under the supervision of a valid init process ({name})

Command line options:

  --version: Show version and exit.
  -h: Show this help message and exit.
  -s: Register as a process subreaper (requires Linux >= 3.4).
  -p SIGNAL: Trigger SIGNAL when parent dies, e.g. "-p SIGKILL".
  -v: Generate more verbose output. Repeat up to 3 times.
  -w: Print a warning when processes are getting reaped.
  -g: Send signals to the child's process group.
  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0.
  -l: Show license and exit.

Environment variables:

  TINI_SUBREAPER: Register as a process subreaper (requires Linux >= 3.4).
  TINI_VERBOSITY: Set the verbosity level (default: 1).
  TINI_KILL_PROCESS_GROUP: Send signals to the child's process group.

"""

_NOT_REAPING = """\
Tini is not running as PID 1 and isn't registered as a child subreaper.
Zombie processes will not be re-parented to Tini, so zombie reaping won't work.
To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a \
child subreaper, or run Tini as PID 1."""

_LEFT_ALONE = {
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""tini collects every signal but these."""

_COLLECTED = dispositions.CATCHABLE - _LEFT_ALONE
_PDEATH_NAMES = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGSYS",
]
"""What -p takes; in exactly this spelling."""
_FLAGS = {"s": "subreaper", "g": "group", "w": "warn_on_reap"}
_FATAL, _WARN, _INFO, _DEBUG, _TRACE = range(5)
_LABELS = ("FATAL", "WARN ", "INFO ", "DEBUG", "TRACE")


class TiniSettings:
    """What the command line and the environment ask for."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.subreaper = "TINI_SUBREAPER" in os.environ
        self.group = "TINI_KILL_PROCESS_GROUP" in os.environ
        self.warn_on_reap = False
        self.verbosity = 1
        self.pdeath_signal = 0
        self.expected: set[int] = set()
        """Exit codes that become 0."""


def run(argv: list[str], inherited_mask: set[int]) -> int:
    """Do as tini does with this command line and return the exit code; all signals are blocked."""
    try:
        settings = parse(argv)
        return _Tini(settings, inherited_mask).run()
    except Quit as quit_:
        return quit_.code


def parse(argv: list[str]) -> TiniSettings:
    """Read options anywhere before `--`, then the environment, as tini does.

    Raises:
        Quit: help, version or licence was asked for, or the command line is wrong.
    """
    if argv[1:] == ["--version"]:
        say(1, f"{VERSION}\n")
        raise Quit(0)
    settings = TiniSettings()
    scan = Scan(argv[1:], "p:hvwgle:s", permute=True)
    for letter, value in scan.options:
        _apply(settings, letter, value, argv[0])
    if scan.error:
        say(2, f"{argv[0]}: {scan.error}\n{_help(argv[0])}")
        raise Quit(1)
    if not scan.operands:
        say(2, _help(argv[0]))
        raise Quit(1)
    settings.command = scan.operands
    if (level := os.environ.get("TINI_VERBOSITY")) is not None:
        settings.verbosity = _leading_number(level)[0]  # atoi(3)
    return settings


def _apply(settings: TiniSettings, letter: str, value: str, name: str) -> None:
    match letter:
        case "h":
            say(1, _help(name))
            raise Quit(0)
        case "l":
            say(1, _licence())
            raise Quit(0)
        case "s" | "g" | "w":
            setattr(settings, _FLAGS[letter], True)
        case "v":
            settings.verbosity += 1
        case "p":
            if value not in _PDEATH_NAMES:
                raise _invalid(letter, value)
            settings.pdeath_signal = int(getattr(signal, value))
        case "e":
            code, rest = _leading_number(value)
            if rest or not 0 <= code <= 255:
                raise _invalid(letter, value)
            settings.expected.add(code)


def _invalid(letter: str, value: str) -> Quit:
    say(2, f"[FATAL tini ({os.getpid()})] Not a valid option for -{letter}: {value}\n")
    return Quit(1)


def _leading_number(text: str) -> tuple[int, str]:
    """The number at the start of `text` and what follows it, as strtol(3): without digits 0 and `text`."""
    stripped = text.lstrip(" \t\n\v\f\r")
    sign = stripped[:1] if stripped[:1] in ("+", "-") else ""
    rest = stripped[len(sign) :].lstrip("0123456789")
    digits = stripped[len(sign) : len(stripped) - len(rest)]
    if not digits:
        return 0, text
    return int(sign + digits[-18:]) if len(digits) < 19 else int(sign + "9" * 18), rest


def _help(name: str) -> str:
    return _HELP.format(name=os.path.basename(name), version=VERSION)


def _licence() -> str:
    from importlib.metadata import distribution  # noqa: PLC0415 - slow, and rarely asked for

    return distribution("pidone").read_text("licenses/LICENSE") or "MIT\n"


class _Tini:
    """One run: start the command, forward signals, reap, end with the command."""

    def __init__(self, settings: TiniSettings, inherited_mask: set[int]) -> None:
        self._settings = settings
        self._mask = inherited_mask
        self._ignored = dispositions.inherited_ignored()
        self._child = 0

    def run(self) -> int:
        dispositions.reset_all()
        dispositions.ignore(self._ignored - {signal.SIGCHLD} | {signal.SIGTTIN, signal.SIGTTOU})
        signal.pthread_sigmask(signal.SIG_SETMASK, _COLLECTED)
        self._register()
        try:
            self._child = os.fork()
        except OSError as error:
            raise self._fatal(f"fork failed: {error.strerror}") from error
        if self._child == 0:
            return self._become_command()
        self._log(_INFO, f"Spawned child process '{self._settings.command[0]}' with pid '{self._child}'")
        code = None
        while code is None:
            self._forward(signal.sigwaitinfo(_COLLECTED).si_signo)
            code = self._reap()
        self._log(_TRACE, "Exiting: child has exited")
        return 0 if code in self._settings.expected else code

    def _register(self) -> None:
        if self._settings.pdeath_signal:
            try:
                prctl.set_parent_death_signal(self._settings.pdeath_signal)
            except OSError as error:
                raise self._fatal("Failed to set up parent death signal") from error
        if self._settings.subreaper:
            try:
                prctl.set_child_subreaper()
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise self._fatal(
                        "PR_SET_CHILD_SUBREAPER is unavailable on this platform. Are you using Linux >= 3.4?"
                    ) from error
                raise self._fatal(f"Failed to register as child subreaper: {error.strerror}") from error
            self._log(_TRACE, "Registered as child subreaper")
        elif os.getpid() != 1 and not prctl.is_subreaper():
            self._log(_WARN, _NOT_REAPING)

    def _become_command(self) -> int:
        """In the child: own group, the terminal's foreground, then exec; the exit code if that fails."""
        os.setpgid(0, 0)
        try:
            os.tcsetpgrp(0, os.getpgrp())
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.ENXIO):
                raise self._fatal(f"tcsetpgrp failed: {error.strerror}") from error
            if os.isatty(1):  # otherwise tini's message is in a buffer, and lost with it
                what = "tty" if error.errno == errno.ENOTTY else "such device"
                self._log(_DEBUG, f"tcsetpgrp failed: no {what} (ok to proceed)")
        # The signals are handed on as they were handed to us, mask and all.
        dispositions.reset_all()
        dispositions.ignore(self._ignored)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        failure = execvp(self._settings.command)
        self._log(_FATAL, f"exec {self._settings.command[0]} failed: {failure.strerror}")
        return {errno.ENOENT: 127, errno.EACCES: 126}.get(failure.errno or 0, 1)

    def _forward(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._log(_DEBUG, "Received SIGCHLD")
            return
        self._log(_DEBUG, f"Passing signal: '{signal.strsignal(number)}'")
        error = dispositions.send(-self._child if self._settings.group else self._child, number)
        if error and error.errno == errno.ESRCH:
            self._log(_WARN, "Child was dead when forwarding signal")
        elif error:
            raise self._fatal(f"Unexpected error when forwarding signal: '{error.strerror}'")

    def _reap(self) -> int | None:
        """Collect whatever has ended; the command's code once it has, and all others with it."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._log(_TRACE, "No child to wait")
                return code
            if pid == 0:
                self._log(_TRACE, "No child to reap")
                return code
            self._log(_DEBUG, f"Reaped child with pid: '{pid}'")
            if pid == self._child:
                code = self._code(status)
            elif self._settings.warn_on_reap:
                self._log(_WARN, f"Reaped zombie process with pid={pid}")

    def _code(self, status: int) -> int:
        if os.WIFEXITED(status):
            self._log(_INFO, f"Main child exited normally (with status '{os.WEXITSTATUS(status)}')")
            return os.WEXITSTATUS(status)
        number = os.WTERMSIG(status)
        self._log(_INFO, f"Main child exited with signal (with signal '{signal.strsignal(number)}')")
        return 128 + number

    def _fatal(self, text: str) -> Quit:
        self._log(_FATAL, text)
        return Quit(1)

    def _log(self, level: int, text: str) -> None:
        """Warnings to stderr and the rest to stdout, which is where tini puts them."""
        if level == _FATAL or level <= self._settings.verbosity:
            say(1 if level > _WARN else 2, f"[{_LABELS[level]} tini ({os.getpid()})] {text}\n")
