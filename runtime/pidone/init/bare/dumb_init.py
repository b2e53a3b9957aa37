"""dumb-init 1.2.5, from outside: its options, variables, messages, exit codes, session and terminal handling.

The protocol of the terminal hand-over is in ioctl_tty(2): the old leader gives the controlling terminal up
with TIOCNOTTY, and the kernel sends it SIGHUP and SIGCONT for that; the new session takes it with TIOCSCTTY.
"""

import os

from pidone.csignal import signal
from pidone.init.bare import dispositions
from pidone.init.bare.execute import execvp
from pidone.init.bare.getopt import Scan
from pidone.init.bare.output import Quit, say

VERSION = "dumb-init v1.2.5"

_HELP = """\
{version}
Usage: {name} [option] command [[arg] ...]

dumb-init is a simple process supervisor that forwards signals to children.
It is designed to run as PID1 in minimal container environments.

Optional arguments:
   -c, --single-child   Run in single-child mode.
                        In this mode, signals are only proxied to the
                        direct child and not any of its descendants.
   -r, --rewrite s:r    Rewrite received signal s to new signal r before proxying.
                        To ignore (not proxy) a signal, rewrite it to 0.
                        This option can be specified multiple times.
   -v, --verbose        Print debugging information to stderr.
   -h, --help           Print this help message and exit.
   -V, --version        Print the current version and exit.

Full help is available online at https://github.com/Yelp/dumb-init
"""

_NO_COMMAND = "Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n"

_REWRITE_HELP = """\
Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.
This option can be specified multiple times.
Use --help for full usage.
"""

_LONG = {"help": "h", "single-child": "c", "rewrite": "r", "verbose": "v", "version": "V"}
_JOB_CONTROL = (signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN)
_LAST_SIGNAL = 31
"""Rewriting ends before the real-time signals."""


class DumbInitSettings:
    """What the command line and the environment ask for."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.session = True
        """Whether the command leads a session of its own, and signals go to its whole group."""
        self.verbose = False
        self.rewrite: dict[int, int] = {}


def run(argv: list[str]) -> int:
    """Do as dumb-init does with this command line and return the exit code; all signals are blocked."""
    try:
        return _DumbInit(parse(argv)).run()
    except Quit as quit_:
        return quit_.code


def parse(argv: list[str]) -> DumbInitSettings:
    """Read the options up to the command, then the environment, as dumb-init does.

    Raises:
        Quit: help or version was asked for, or the command line is wrong.
    """
    name = argv[0]
    settings = DumbInitSettings()
    scan = Scan(argv[1:], "hvVcr:", _LONG)
    for letter, value in scan.options:
        _apply(settings, letter, value, name)
    if scan.error:
        say(2, f"{name}: {scan.error}\n")
        raise Quit(1)
    if not scan.operands:
        say(2, _NO_COMMAND.format(name=name))
        raise Quit(1)
    settings.command = scan.operands
    _apply_environment(settings)
    if settings.session:
        # The group of a session leader is orphaned, and the kernel would drop these; SIGSTOP it obeys.
        for number in _JOB_CONTROL:
            settings.rewrite.setdefault(number, signal.SIGSTOP)
    return settings


def _apply(settings: DumbInitSettings, letter: str, value: str, name: str) -> None:
    match letter:
        case "h":
            say(2, _HELP.format(version=VERSION, name=name))
            raise Quit(0)
        case "V":
            say(2, f"{VERSION}\n")
            raise Quit(0)
        case "v":
            settings.verbose = True
        case "c":
            settings.session = False
        case "r":
            received, sent = _rewriting(value)
            settings.rewrite[received] = sent


def _apply_environment(settings: DumbInitSettings) -> None:
    if os.environ.get("DUMB_INIT_DEBUG") == "1":
        settings.verbose = True
        say(2, "[dumb-init] Running in debug mode.\n")
    if os.environ.get("DUMB_INIT_SETSID") == "0":
        settings.session = False
        if settings.verbose:
            say(2, "[dumb-init] Not running in setsid mode.\n")


def _rewriting(text: str) -> tuple[int, int]:
    received, rest = _scan_number(text)
    sent, _ = _scan_number(rest[1:]) if rest.startswith(":") else (None, "")
    if received is None or sent is None or not 1 <= received <= _LAST_SIGNAL or not 0 <= sent <= _LAST_SIGNAL:
        say(2, _REWRITE_HELP)
        raise Quit(1)
    return received, sent


def _scan_number(text: str) -> tuple[int | None, str]:
    """The number at the start of `text` and what follows it, as sscanf(3) reads %d."""
    text = text.lstrip(" \t\n\v\f\r")
    sign = text[:1] if text[:1] in ("+", "-") else ""
    rest = text[len(sign) :].lstrip("0123456789")
    digits = text[len(sign) : len(text) - len(rest)]
    # Only the smallest numbers matter; the cut keeps int() away from its limit of 4300 digits.
    return (int(sign + digits[:20]) if digits else None), rest


class _DumbInit:
    """One run: start the command, forward signals, and end with the command."""

    def __init__(self, settings: DumbInitSettings) -> None:
        self._settings = settings
        self._child = 0
        self._swallow_once: set[int] = set()
        """What the kernel sends us for giving up the terminal, and nobody else shall see."""

    def run(self) -> int:
        dispositions.reset_all()
        if self._settings.session:
            self._give_up_terminal()
        try:
            self._child = os.fork()
        except OSError:
            say(2, "[dumb-init] Unable to fork. Exiting.\n")
            return 1
        if self._child == 0:
            return self._become_command()
        self._debug(f"Child spawned with PID {self._child}.")
        try:
            os.chdir("/")  # so that no mount is kept busy
        except OSError as error:
            self._debug(f'Unable to chdir("/") (errno={error.errno} {error.strerror})')
        while True:
            number = signal.sigwaitinfo(dispositions.CATCHABLE).si_signo
            self._debug(f"Received signal {number}.")
            if number in self._swallow_once:
                self._debug(f"Ignoring tty hand-off signal {number}.")
                self._swallow_once.discard(number)
            elif number == signal.SIGCHLD:
                if (code := self._reap()) is not None:
                    return code
            else:
                self._forward(number)
                if number in _JOB_CONTROL:
                    self._debug("Suspending self due to TTY signal.")
                    os.kill(os.getpid(), signal.SIGSTOP)

    def _give_up_terminal(self) -> None:
        from fcntl import ioctl  # noqa: PLC0415 - single-child mode does without it
        from termios import TIOCNOTTY  # noqa: PLC0415

        try:
            ioctl(0, TIOCNOTTY)
        except OSError as error:
            self._debug(f"Unable to detach from controlling tty (errno={error.errno} {error.strerror}).")
            return
        if os.getsid(0) == os.getpid():
            self._debug("Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.")
            self._swallow_once = {signal.SIGHUP, signal.SIGCONT}
        else:
            self._debug("Detached from controlling tty, but was not session leader.")

    def _become_command(self) -> int:
        """In the child: own session with the terminal, then exec; the exit code if that fails."""
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        if self._settings.session:
            os.setsid()
            self._take_terminal()
            self._debug("setsid complete.")
        failure = execvp(self._settings.command)
        say(2, f"[dumb-init] {self._settings.command[0]}: {failure.strerror}\n")
        return 2

    def _take_terminal(self) -> None:
        from fcntl import ioctl  # noqa: PLC0415 - as above
        from termios import TIOCSCTTY  # noqa: PLC0415

        try:
            ioctl(0, TIOCSCTTY, 0)
        except OSError as error:
            self._debug(f"Unable to attach to controlling tty (errno={error.errno} {error.strerror}).")

    def _reap(self) -> int | None:
        """Collect whatever has ended; the command's code as soon as it is met."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            code = os.waitstatus_to_exitcode(status)
            if code >= 0:
                self._debug(f"A child with PID {pid} exited with exit status {code}.")
            else:
                self._debug(f"A child with PID {pid} was terminated by signal {-code}.")
                code = 128 - code
            if pid == self._child:
                self._forward(signal.SIGTERM)  # to those it leaves behind; nobody waits for them
                self._debug(f"Child exited with status {code}. Goodbye.")
                return code

    def _forward(self, number: int) -> None:
        sent = self._settings.rewrite.get(number, number)
        if number in self._settings.rewrite:
            self._debug(f"Translating signal {number} to {sent}.")
        if sent == 0:
            self._debug(f"Not forwarding signal {sent} to children (ignored).")
            return
        # Gone, or no longer ours to signal: dumb-init does not look either.
        dispositions.send(-self._child if self._settings.session else self._child, sent)
        self._debug(f"Forwarded signal {sent} to children.")

    def _debug(self, text: str) -> None:
        if self._settings.verbose:
            say(2, f"[dumb-init] {text}\n")
