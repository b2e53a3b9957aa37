"""`cpu_affinity = "spread"`: every instance has CPUs of its own, dealt out anew when their number changes."""

import os
from contextlib import suppress

from pidone.contracts import LogSink
from pidone.host.cpus import affinity_of_ours
from pidone.init.proctree import descendants
from pidone.supervise.app import App


def share_of(index: int, count: int) -> tuple[int, ...]:
    """The CPUs of one of `count` instances: neighbouring ones, or one each where there are too few."""
    allowed = sorted(affinity_of_ours())
    if count >= len(allowed):
        return (allowed[index % len(allowed)],)
    share = index % count
    return tuple(allowed[share * len(allowed) // count : (share + 1) * len(allowed) // count])


class Spreading:
    """Moves what runs already. It is told that an app changed, and looks for itself how."""

    def __init__(self, log: LogSink) -> None:
        """Nothing is known yet."""
        self._log = log
        self._dealt: dict[tuple[str, str], tuple[int, frozenset[int]]] = {}
        """Among how many instances of each app which CPUs were dealt out."""

    def sync(self, app: App) -> None:
        """Deal the CPUs out anew if there are more or fewer of them or of instances than before."""
        if app.spec.cpu_affinity != "spread":
            self._dealt.pop(app.spec.key(), None)
            return
        count = len(app.instances)
        now = (count, affinity_of_ours())
        before = self._dealt.get(app.spec.key(), now)
        self._dealt[app.spec.key()] = now
        if now == before:
            return
        try:
            for each in (*app.instances.values(), *app.actual.arriving):
                if each.pid is not None and each.state.has_process:
                    _move(each.pid, share_of(each.index, count))
        except PermissionError:
            why = (
                "cpu_affinity: instances that run keep their CPUs until they are replaced: to move another "
                "user's processes takes CAP_SYS_NICE"
            )
            self._log.event("warning", "config.warning", why, **app.spec.labels())


def _move(pid: int, cpus: tuple[int, ...]) -> None:
    """All threads of a process and its descendants, as each has its own. Raises PermissionError."""
    for process in (pid, *descendants(pid)):
        with suppress(FileNotFoundError):  # it has ended
            for thread in os.listdir(f"/proc/{process}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), cpus)
