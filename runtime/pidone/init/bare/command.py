"""`pidone exec`: run one command, forward every signal, bury every orphan, and wait for everybody.

All signals stay blocked from the first moment to the last and are taken one at a time with sigwaitinfo(2):
nothing can arrive too early, nothing interrupts anything, and an idle init never wakes up.
"""

import errno
import os
from time import monotonic

from pidone.csignal import signal
from pidone.init import prctl
from pidone.init.bare import dispositions, jobcontrol
from pidone.init.bare.execute import execvp, readdress_socket_activation
from pidone.init.bare.options import Options, parse
from pidone.init.bare.output import Quit, say

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from pidone.init.bare.leftovers import Leftovers

_CHILD, _CONTINUE = signal.SIGCHLD, signal.SIGCONT
_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_REQUESTS = (signal.SIGTERM, signal.SIGINT)
"""What asks for the end of all; a second one is impatient."""
_DEATH_AFTER_KILL_S = 2.0
"""How long SIGKILL may take; what is still there then hangs in the kernel or may not be signalled by us."""


def run(args: list[str]) -> int:
    """Run the command line after `pidone exec` and return the exit code; all signals are blocked."""
    options = parse(args)
    parent = os.getppid()
    dispositions.reset_all()
    _adopt_orphans(options)
    orphaned = options.pdeath_signal and _watch_parent(options.pdeath_signal, parent)
    return Init(options).run(first_signal=options.pdeath_signal if orphaned else 0)


def _adopt_orphans(options: Options) -> None:
    if options.subreaper is False or os.getpid() == 1:
        return
    try:
        prctl.set_child_subreaper()
    except OSError as error:
        if options.subreaper or options.verbose:
            say(2, f"pidone exec: cannot adopt orphans: {error.strerror}\n")
        if options.subreaper:
            raise Quit(os.EX_OSERR) from error


def _watch_parent(number: int, parent: int) -> bool:
    """Ask for the parent-death signal; whether the parent was gone before we could."""
    try:
        prctl.set_parent_death_signal(number)
    except OSError as error:
        say(2, f"pidone exec: cannot watch the parent: {error.strerror}\n")
        raise Quit(os.EX_OSERR) from error
    return os.getppid() != parent


class Init:
    """One run of one command."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._pid = os.getpid()
        self._child = 0
        self._status: int | None = None
        """How the command ended, as from waitpid(2), once it has."""
        self._stop_requested = False
        """Whether the last word the command had from us was a stop signal."""
        self._end_requested = False
        """Whether SIGTERM or SIGINT came by: the next one is impatient."""
        self._may_signal = True
        self._had_terminal = False
        """Whether ^C went to the command's group and not to us: the first that we see is a second one."""

    def run(self, first_signal: int = 0) -> int:
        """Start the command, see it and all others to their end, and return its exit code."""
        former_group = os.getpgrp()
        try:
            self._child = os.fork()
        except OSError as error:
            say(2, f"pidone exec: cannot start a process: {error.strerror}\n")
            return os.EX_OSERR
        if self._child == 0:
            return _become(self._options.command, former_group, self._pid)
        # Now, so that the command need not wait for it, and not at the end, when the disk may have gone.
        from pidone.init.bare import leftovers  # noqa: PLC0415

        try:
            self._log(f"started {self._options.command[0]} as process {self._child}")
            _let_go()
            if first_signal:
                self._forward(first_signal)
            while self._status is None:
                self._handle(signal.sigwaitinfo(dispositions.CATCHABLE))
        finally:  # even a bug of ours shall not cut the others off
            self._had_terminal = jobcontrol.take_back(self._child)
            if self._may_signal:  # else there is nothing that we could do for anybody, and no end to wait for
                self._see_off(leftovers.Leftovers(self._child))
        code = os.waitstatus_to_exitcode(self._status)
        code = code if code >= 0 else 128 - code
        return self._options.map_exit.get(code, code)

    def _handle(self, info: signal.struct_siginfo) -> None:
        number = info.si_signo
        if number == _CHILD:
            self._reap()
        elif info.si_pid != self._pid:  # our own would be the SIGPIPE of a message that nobody reads
            self._forward(number)

    def _forward(self, number: int) -> None:
        """Send it on; what there is to remember and to tell comes after, since the signal is waited for."""
        sent = self._options.rewrite.get(number, number)
        if sent == _CONTINUE:
            jobcontrol.hand_over(self._child, os.getpgrp())
        was_sent = sent != 0 and self._send(sent)
        if was_sent:
            self._stop_requested = sent in _STOPS
            self._end_requested |= number in _REQUESTS
        if self._options.verbose:
            what = "dropped" if not sent else f"sent {sent}" if was_sent else "nobody is there to have it"
            self._log(f"signal {number} arrived, {what}")

    def _send(self, number: int) -> bool:
        """Whether it was sent. Raises Quit if the command may not be signalled, as tini ends then."""
        # After the command's end its group is who is left; before it the group may not exist yet.
        targets = [-self._child] if self._options.group or self._status is not None else []
        targets += [self._child] if self._status is None else []
        for target in targets:
            error = dispositions.send(target, number)
            if error is None:
                return True
            if error.errno == errno.EPERM and self._status is None:
                self._may_signal = False
                from pidone.signames import signal_name  # noqa: PLC0415 - only an error needs it

                why = f"{signal_name(number)} may not be sent to the command, which runs as another user"
                say(2, f"pidone exec: {why} (that takes CAP_KILL)\n")
                raise Quit(1)
        return False

    def _reap(self) -> bool:
        """Collect whatever has ended; whether we still have children."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child:
                self._note(status)
            elif self._options.verbose and not os.WIFSTOPPED(status):
                self._log(f"buried orphan {pid}")

    def _note(self, status: int) -> None:
        if os.WIFSTOPPED(status):
            number = os.WSTOPSIG(status)
            self._log(f"the command was stopped by signal {number}")
            jobcontrol.follow_stop(self._child, number, requested=self._stop_requested)
            return
        self._status = status
        self._log(f"the command ended, wait status {status:#06x}")

    def _see_off(self, left: "Leftovers") -> None:
        """End what is left: SIGTERM, time to obey, SIGKILL; returns when the last one is gone."""
        deadline, killing = 0.0, False
        while True:
            # The topmost of our descendants are our children, so that SIGCHLD tells of all but strangers.
            has_children = self._reap()
            strangers = [] if has_children else left.strangers()
            if not has_children and not strangers:
                return
            if deadline == 0.0:
                deadline = self._ask_to_end(left)
            elif killing:
                self._log(f"{left.send(signal.SIGKILL)} still there: SIGKILL")  # newcomers too
            info = left.wait(deadline - monotonic(), strangers)
            impatient = info is not None and self._handle_late(info)
            in_time = monotonic() < deadline
            if killing and not in_time:
                say(2, "pidone exec: gave up on processes that SIGKILL does not end\n")
                return
            if not killing and (impatient or not in_time):
                deadline, killing = monotonic() + _DEATH_AFTER_KILL_S, True

    def _ask_to_end(self, left: "Leftovers") -> float:
        """Send SIGTERM, or what it is rewritten to, to those left behind; when their time will be up."""
        request = self._options.rewrite.get(signal.SIGTERM, signal.SIGTERM)
        count = left.send(request)
        self._log(f"{count} left behind: sent signal {request}, then {self._options.grace_s:g} s")
        return monotonic() + self._options.grace_s

    def _handle_late(self, info: signal.struct_siginfo) -> bool:
        """A signal that arrives while we wait for those left behind; whether it calls for SIGKILL now."""
        number = info.si_signo
        if number in _REQUESTS:  # they have been told already
            impatient = self._end_requested or (number == signal.SIGINT and self._had_terminal)
            self._end_requested = True
            return impatient
        if number != _CHILD and info.si_pid != self._pid:
            self._forward(number)
        return False

    def _log(self, text: str) -> None:
        if self._options.verbose:
            say(2, f"pidone exec: {text}\n")


def _become(command: list[str], former_group: int, former_pid: int) -> int:
    """In the child: own group, the foreground, no signal blocked, then exec; the code if that fails."""
    os.setpgid(0, 0)
    jobcontrol.hand_over(os.getpid(), former_group)
    readdress_socket_activation(former_pid)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    failure = execvp(command)
    missing = failure.errno in (errno.ENOENT, errno.ENOTDIR)
    from pidone.init.failure import explain  # noqa: PLC0415 - only an error needs it

    why = explain(command[0], failure)
    say(
        2,
        f"pidone exec: {command[0]}: {'command not found' if missing and why == failure.strerror else why}\n",
    )
    return 127 if missing else 126


def _let_go() -> None:
    """Keep no mount busy and no descriptor open that only the command is to have."""
    try:
        os.chdir("/")
        inherited = os.listdir("/proc/self/fd")
    except OSError:  # we may not enter /, or there is no /proc: then things stay busy a little longer
        return
    for name in inherited:
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:  # the descriptor of the listing itself
                continue
