"""What a main process leaves behind: found, asked to end, killed, and waited for, without a fixed sleep.

Who there is can only be read from /proc, and that may fail: no descriptor is left, it is not mounted, or it
is another PID namespace's. No signal waits for it: the main process and its group are reached without.
"""

import os
import signal
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pidone import procfs
from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.init.reaper import has_children
from pidone.init.spare import SpareDescriptor

if TYPE_CHECKING:
    from pidone.demand import Demand

T = TypeVar("T")

POLL: Final[Seconds] = 0.05
"""Most leftovers are adopted by us, so that their end is a SIGCHLD; a member of the group whose parent lives
outside of it is not, and has to be looked for."""

MARK: Final = "PIDONE_INSTANCE"
"""Variable that marks every process of an incarnation, so that one that left its group and session by a
double fork can still be told from the others' (readable for our own user, or with CAP_SYS_PTRACE)."""

Target: TypeAlias = proctree.ProcessInfo | proctree.UnseenGroup


class Looks:
    """Looks at /proc for all who ask: once in a turn of the loop, and with a descriptor of its own."""

    def __init__(self, clock: Clock) -> None:
        """Whether /proc is of our PID namespace is found out here, once."""
        self._clock = clock
        self._is_ours = proctree.is_ours()
        self._spare = SpareDescriptor()
        self._latest: proctree.Look | None = None
        self._earlier: proctree.Look | None = None
        """The one before, in the same turn."""

    def look(self) -> proctree.Look | None:
        """Everybody, as of this turn; None if that cannot be told."""
        return self._latest or self.look_anew()

    def look_anew(self) -> proctree.Look | None:
        """Everybody, as of now."""
        processes = self._read(proctree.snapshot)
        if processes is None:
            return None
        if self._latest is None:
            self._clock.call_later(0.0, self._forget)
        self._earlier, self._latest = self._latest, proctree.Look(processes)
        return self._latest

    def buried(self, pid: int) -> None:
        """Who was reaped in this turn, after the look, is not there any more: a deadline may ask next."""
        if self._latest is not None and (process := self._latest.processes.get(pid)) is not None:
            process.state = "X"

    @property
    def is_fresh(self) -> bool:
        """Whether the next look is a new one."""
        return self._latest is None

    def began_after(self, pid: int) -> bool:
        """Whether the latest look began when this process had ended already, as the one before it shows.

        All of its descendants that are left are in there then: whoever was born since has one for a parent.
        """
        process = None if self._earlier is None else self._earlier.processes.get(pid)
        return self._earlier is not None and (process is None or process.is_dead)

    def below(self, pid: int) -> list[proctree.ProcessInfo]:
        """The descendants of one process now, cheaper than everybody; none if that cannot be told."""
        found = self._read(lambda: [proctree.read(each) for each in proctree.descendants(pid)])
        return [process for process in found or () if process is not None]

    def family(self, pid: int) -> list[int]:
        """One process and its descendants now; nobody if that cannot be told."""
        return self._read(lambda: [pid, *proctree.descendants(pid)]) or []

    def children(self) -> list[int]:
        """Our own children; none if that cannot be told."""
        return self._read(lambda: proctree.children(os.getpid())) or []

    def _read(self, ask: Callable[[], T]) -> T | None:
        if not self._is_ours:
            return None
        with self._spare:
            try:
                return ask()
            except (OSError, MemoryError):  # ENFILE, ENOMEM; a /proc that somebody has unmounted
                return None

    def _forget(self) -> None:
        self._latest = self._earlier = None


class ProcessTree:
    """The processes that belong to one incarnation."""

    def __init__(self, main: int, mark: str, owned: Callable[[int], bool], looks: Looks) -> None:
        """`main` led its own process group; `mark` is its value of MARK; `owned` knows the main processes."""
        self._main = main
        self._mark = f"{MARK}={mark}".encode()
        self._owned = owned
        self._looks = looks
        self._remembered: dict[int, int] = {}
        self.main_is_alive = True

    def remember(self) -> list[proctree.ProcessInfo]:
        """Note the present descendants by pid and start time: some may leave the group before they end.

        Parents come before their children.
        """
        below = self._looks.below(self._main)
        self._remembered.update((process.pid, process.start_ticks) for process in below)
        return below

    def demand(self) -> "Demand":
        """What the main process and its present descendants have wanted of processors; nothing, if unseen."""
        from pidone.demand import demand  # noqa: PLC0415 (not before the first start)

        return demand(self._looks.family(self._main))

    def send_to_group(self, number: int) -> str:
        """Signal the main process's group, which needs no look at anything."""
        return proctree.deliver(-self._main, number) if self._group_is_ours() else proctree.GONE

    def alive(self) -> list[Target]:
        """Everything of the incarnation that has not ended, except the main process itself."""
        strays = {pid for pid in self._looks.children() if not self._owned(pid)}
        has_group = self._group_exists()
        if not strays and not has_group:
            return []
        was_fresh = self._looks.is_fresh
        look = self._looks.look()
        found = None if look is None else self._among(look, strays)
        if not found and not was_fresh and look is not None and not self._looks.began_after(self._main):
            look = self._looks.look_anew()  # somebody may have been born in this turn
            found = None if look is None else self._among(look, strays)
        if found is None:
            return [proctree.UnseenGroup(self._main)] if has_group else []
        return found

    def _among(self, look: proctree.Look, strays: set[int]) -> list[Target]:
        known = look.processes
        roots = look.led_by(self._main) if self._group_is_ours() else set()
        roots |= {pid for pid, ticks in self._remembered.items() if _is_same(known.get(pid), ticks)}
        roots |= {pid for pid in strays & known.keys() if self._is_marked(pid)}
        mine = look.families(roots) - {self._main}
        return [known[pid] for pid in mine if not known[pid].is_dead]

    def _group_exists(self) -> bool:
        return self.send_to_group(0) != proctree.GONE

    def _group_is_ours(self) -> bool:
        """A main process that starts after ours ended may get its pid, and then the group is that one's."""
        return self.main_is_alive or not self._owned(self._main)

    def _is_marked(self, pid: int) -> bool:
        try:
            return self._mark in procfs.read_bytes(f"/proc/{pid}/environ").split(b"\0")
        except OSError:  # gone, or another user's: then group, session and memory have to do
            return False


def _is_same(process: proctree.ProcessInfo | None, start_ticks: int) -> bool:
    return process is not None and process.start_ticks == start_ticks


def our_descendants(helpers: Collection[int]) -> list[Target]:
    """Everything below this process that has not ended, whoever started it; without helpers and theirs."""
    ourselves = os.getpid()
    try:
        look = proctree.Look(proctree.snapshot()) if proctree.is_ours() else None
    except OSError:
        look = None
    if look is not None:
        below = look.families([ourselves]) - {ourselves} - look.families(helpers)
        return [look.processes[pid] for pid in below if not look.processes[pid].is_dead]
    # Without a look: all but process 1 are its descendants, and kill(2) knows a name for them.
    return [proctree.UnseenGroup(1)] if ourselves == 1 and has_children() else []


class Cleanup:
    """Ends a set of processes that may change while it is being ended."""

    def __init__(
        self,
        find: Callable[[], list[Target]],
        clock: Clock,
        on_gone: Callable[[], None],
        on_refused: Callable[[int, int], object] = lambda _pid, _number: None,
        *,
        number: int = signal.SIGTERM,
        asked: Iterable[proctree.ProcessInfo] = (),
    ) -> None:
        """`find` tells who is left; `on_gone` is called once, when nobody is.

        `on_refused` hears the pid of each that may not be signalled, and the signal. Who is asked to end is
        asked by the signal `number`, except those who have been `asked` before.
        """
        self._find = find
        self._clock = clock
        self._on_gone: Callable[[], None] | None = on_gone
        self._on_refused = on_refused
        self._signal = number
        self._told = {(process.pid, process.start_ticks) for process in asked}
        self._timer: Timer | None = None

    def begin(self) -> bool:
        """Ask whoever is left to end. False if there is nobody; `on_gone` is not called then."""
        left = self._find()
        if not left:
            self._on_gone = None
            return False
        self._tell(left)
        self._wait()
        return True

    def kill(self) -> None:
        """SIGKILL instead, newcomers included."""
        self._signal = signal.SIGKILL
        self._told.clear()
        self.check()

    def check(self) -> None:
        """Somebody ended: see who is left."""
        if self._on_gone is None:
            return
        left = self._find()
        if left:
            self._tell(left)
            self._wait()
            return
        if self._timer is not None:
            self._timer.cancel()
        on_gone, self._on_gone = self._on_gone, None
        on_gone()

    def _tell(self, processes: list[Target]) -> None:
        for process in processes:
            identity = (process.pid, process.start_ticks)
            if identity not in self._told:
                self._told.add(identity)
                if process.deliver(self._signal) == proctree.REFUSED:
                    self._on_refused(process.pid, self._signal)
                if process.state == "T":  # a stopped process cannot hear SIGTERM
                    process.deliver(signal.SIGCONT)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(POLL, self.check)
