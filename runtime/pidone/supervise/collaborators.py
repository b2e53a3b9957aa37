"""What `supervise/` needs of a process and of whoever starts it, and all collaborators of its instances.

What other rooms stand behind is in `contracts`.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

from pidone.contracts import Clock, InstanceId, LogSink, Report, SocketBroker
from pidone.ecosystem.spec import AppSpec
from pidone.init.reaper import ExitStatus
from pidone.record import Record
from pidone.supervise.instances.delegate import Delegate

if TYPE_CHECKING:
    from pidone.demand import Demand


class Process(Protocol):
    """One running incarnation: what can be done to it."""

    @property
    def pid(self) -> int:
        """The main process."""

    @property
    def announces(self) -> bool:
        """Whether it will tell by itself when it can work; if not, some time without a crash has to do."""

    @property
    def refused(self) -> str:
        """Why the last signal could not be sent; empty if it was, or was none."""

    @property
    def cut(self) -> int | None:
        """Connections that were open when it ended, after it was asked to; None: not known."""

    def demand(self) -> "Demand":
        """What it and its descendants have wanted of processors so far; nothing, where that is not seen."""

    def online(self) -> None:
        """The process counts as ready from now on, whoever said so."""

    def signal(self, number: int) -> None:
        """Signal the main process; nothing happens when it is gone."""

    def stop(self, number: int) -> None:
        """Signal the main process to stop; who its descendants are is remembered for the time after."""

    def follow(self, pid: int) -> None:
        """The program says that its descendant `pid` is the main process from now on (MAINPID=)."""

    def send(self, message: object) -> bool:
        """Send an IPC message; False if there is no channel."""

    def write(self, data: bytes) -> bool:
        """Put something into its stdin; False if it has none from us, or does not read."""

    def drain(self) -> bool:
        """Ask for no new connections; False if the process cannot be asked."""

    def kill(self) -> None:
        """SIGKILL everything that belongs to it: group, session, descendants."""

    def end_leftovers(self, on_gone: Callable[[], None]) -> bool:
        """The main process has ended: ask what it left behind to end too (SIGTERM).

        False if it left nothing. Otherwise `on_gone` is called once, when the last of it is gone.
        """


class Launcher(Protocol):
    """Starts incarnations: descriptors, environment, fork and exec, and whom to tell about the end."""

    def launch(
        self,
        app: AppSpec,
        who: InstanceId,
        *,
        report: Report,
        on_exit: Callable[[ExitStatus], None],
    ) -> Process:
        """Start one. All it wrote is in the log before `on_exit` is called. Raises SpawnError."""

    def start_no_more(self) -> None:
        """All apps are down, and nothing will be started any more."""


class World(Record):
    """The collaborators every instance shares."""

    clock: Clock
    launcher: Launcher
    log: LogSink
    broker: SocketBroker
    random: Callable[[], float]
    deadlines: Clock
    """For what is held against somebody: it calls after whatever has happened by then."""
    delegate: Delegate[Any, Any]
    helpers: Callable[[], Collection[int]] = tuple
    """Processes of ours that are still needed when all apps are down, and end by themselves."""
