"""Replacing the instances of an app one after another, so that the app serves all the time.

Start-before-stop: a replacement takes over its slot only when it is ready and has served beside its
predecessor for a while (a process that was just started is slow, and starting it took CPU from the others);
only then is that one drained and stopped. If one does not get ready, or does not stay, the rest is called off
and the old ones stay: broken code must not take a service down. Where two processes cannot serve side by side
(a program that binds its own port) a slot is stopped first, and the next slot waits until it is back.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from pidone.contracts import Clock
from pidone.ecosystem.spec import AppSpec, ExecMode, OnReadyTimeout
from pidone.record import Record
from pidone.supervise.instance import Instance
from pidone.supervise.states import Event, State


class Outcome(Record, kw_only=True):
    """How a rollout ended."""

    replaced: int
    """Slots that have a new process."""
    failure: str = ""
    """Why it was called off; empty if it was not."""


class Cluster(Protocol):
    """What a rollout needs of its app."""

    instances: dict[int, Instance]

    def prepare(self, index: int, spec: AppSpec) -> Instance:
        """A successor for a slot, not started."""

    def promote(self, successor: Instance) -> Instance:
        """Let it take over its slot; the predecessor, which is on its way out then."""

    def discard(self, successor: Instance) -> None:
        """Stop a successor that did not make it."""


def can_overlap(app: AppSpec) -> bool:
    """Whether two processes of one slot can serve at the same time."""
    shares = app.exec_mode is ExecMode.CLUSTER or bool(app.listen) or app.share not in (None, "none")
    return shares and app.max_surge > 0


class Rollout:
    """One replacement of some slots; steps forward whenever an instance of the app changes."""

    def __init__(
        self,
        cluster: Cluster,
        spec: AppSpec,
        indexes: Iterable[int],
        on_done: Callable[[Outcome], None],
        clock: Clock,
        *,
        reason: str,
    ) -> None:
        """Replace the processes of these slots by ones of `spec`."""
        self._clock = clock
        self.spec = spec
        self._reason = reason
        self._cluster = cluster
        self._todo = sorted(indexes)
        self._on_done: Callable[[Outcome], None] | None = on_done
        self._overlap = can_overlap(spec)
        self._successors: dict[int, Instance] = {}
        """Started, and not ready yet or not for long enough."""
        self._settling: set[int] = set()
        """Slots whose successors are ready."""
        self._settled: set[int] = set()
        """Slots whose successors have been ready for long enough."""
        self._leaving: list[Instance] = []
        """Replaced, not gone yet."""
        self._restarting: Instance | None = None
        self._replaced = 0
        self._stepping = False
        self._changed = False

    @property
    def is_over(self) -> bool:
        """Whether its outcome has been told."""
        return self._on_done is None

    def step(self) -> None:
        """Look at what has happened and do what can be done now.

        What is done here changes instances, which calls this again: that is noted, and looked at afterwards.
        """
        self._changed = True
        if self._stepping:
            return
        self._stepping = True
        while self._changed and not self.is_over:
            self._changed = False
            if self._overlap:
                self._step_overlapping()
            else:
                self._step_one_by_one()
            if not (self._todo or self._successors or self._leaving or self._restarting):
                self._finish()
        self._stepping = False

    def cancel(self) -> None:
        """Something more important came; what has been replaced stays replaced."""
        if not self.is_over:
            self._call_off("a later command overrules it")

    def include(self, index: int) -> None:
        """A slot came with scaling, and is of the old spec like the others."""
        self._todo.append(index)

    def forget(self, index: int) -> None:
        """The slot was scaled away."""
        self._todo = [other for other in self._todo if other != index]
        if index in self._successors:
            self._cluster.discard(self._successors.pop(index))

    def _step_overlapping(self) -> None:
        for index, successor in list(self._successors.items()):
            if successor.state is State.ONLINE:
                if not self._has_settled(index):
                    continue
                del self._successors[index]
                self._replaced += 1
                self._leaving.append(self._cluster.promote(successor))
            elif successor.state not in (State.PREPARING, State.STARTING):
                what = "did not stay" if index in self._settling else "did not get ready"
                self._call_off(f"instance {index} {what}: {_why(successor)}")
                return
        self._leaving = [instance for instance in self._leaving if not instance.state.is_final]
        while self._todo and len(self._successors) + len(self._leaving) < self.spec.max_surge:
            index = self._todo.pop(0)
            successor = self._successors[index] = self._cluster.prepare(index, self._on_trial(index))
            successor.handle(Event.START, reason=self._reason)

    def _on_trial(self, index: int) -> AppSpec:
        """The spec of a successor: late or crashed is failed, even where a first start would not be.

        Where the old process never said that it is ready either, the new one cannot be expected to.
        """
        old = self._cluster.instances[index]
        never_tells = old.state is State.ONLINE and not old.told_ready and old.app.ready == self.spec.ready
        late = self.spec.on_ready_timeout if never_tells else OnReadyTimeout.FAIL
        return self.spec.but(on_ready_timeout=late, autorestart=False)

    def _has_settled(self, index: int) -> bool:
        """Whether the successor was ready for long enough; where nobody serves meanwhile, at once."""
        if index in self._settled or self.spec.settle_time <= 0:
            return True
        if self._cluster.instances[index].state is not State.ONLINE:
            return True
        if index not in self._settling:
            self._settling.add(index)
            self._clock.call_later(self.spec.settle_time, lambda: self._settle(index))
        return False

    def _settle(self, index: int) -> None:
        self._settled.add(index)
        self.step()

    def _step_one_by_one(self) -> None:
        current = self._restarting
        if current is not None:
            if current.state in (State.BACKOFF, State.ERRORED, State.STOPPED):
                self._restarting = None
                self._call_off(f"instance {current.index} did not come back: {_why(current)}")
                return
            if current.state not in (State.ONLINE, State.COMPLETED):
                return
            self._restarting = None
            self._replaced += 1
        if self._todo:
            index = self._todo.pop(0)
            self._restarting = instance = self._cluster.instances[index]
            instance.app = self.spec
            instance.handle(Event.RESTART, reason=self._reason)

    def _call_off(self, failure: str) -> None:
        successors, self._successors = self._successors, {}
        self._todo.clear()
        self._leaving.clear()
        self._restarting = None
        on_done, self._on_done = self._on_done, None  # discarding changes instances, which calls step()
        for successor in successors.values():
            self._cluster.discard(successor)
        self._tell(on_done, failure)

    def _finish(self) -> None:
        on_done, self._on_done = self._on_done, None
        self._tell(on_done, "")

    def _tell(self, on_done: Callable[[Outcome], None] | None, failure: str) -> None:
        if on_done is not None:
            on_done(Outcome(replaced=self._replaced, failure=failure))


def _why(instance: Instance) -> str:
    status = instance.last_exit
    if instance.reason:
        return instance.reason
    if status is None:
        return "it could not be started"
    return f"it ended with {status}"
