"""OOM kills: named as the reason of an end, and told where they hit a helper process of an app."""

from pidone.contracts import LogSink
from pidone.host.cgroup import Box
from pidone.host.oom import OomLedger, OomVerdict, read_oom_counters
from pidone.supervise.memory.limits import mib


class OomKills:
    """Every process that the kernel killed for memory since this was made."""

    def __init__(self, box: Box, log: LogSink, *, host_before: int) -> None:
        """What the machine had killed before, `host_before` in number, does not count."""
        self._box = box
        self._log = log
        self._ledger = OomLedger(lambda: read_oom_counters(box), host_before=host_before)
        self._suspected = 0

    def explain(self) -> str:
        """Why SIGKILL ended a process that the runtime had not killed, if it was for memory."""
        verdict = self._ledger.judge_exit()
        if verdict is OomVerdict.NO:
            return ""
        if verdict is OomVerdict.LIKELY:
            return (
                "killed by SIGKILL while the machine was out of memory: probably by the kernel's OOM killer"
            )
        limit = self._box.memory().limit
        limited = f" (limit {mib(limit)})" if limit is not None else ""
        return f"killed by the kernel's OOM killer: the container was out of memory{limited}"

    def look_for_helpers(self) -> None:
        """Tell of kills that no end of a main process explains.

        Those that are new may hit a main process that has not ended yet: freeing its memory takes a while.
        They are told when they are still unexplained the next time.
        """
        outstanding = self._ledger.outstanding()
        told = min(outstanding, self._suspected)
        self._suspected = outstanding - told
        if told == 0:
            return
        self._ledger.settle(told)
        self._log.event(
            "warning",
            "runtime.oom",
            f"the kernel's OOM killer ended {told} helper process(es) of the apps",
            processes=told,
        )
