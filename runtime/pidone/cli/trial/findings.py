"""What a trial shows about an app, in its user's terms, and what cures it: pure functions."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from pidone.cli.trial.answers import Saw, Tally
from pidone.ecosystem.spec import Seconds
from pidone.record import Record

_ENGINE_PATIENCE: Final[Seconds] = 10.0
"""`docker stop` kills after that."""


_SHARE: Final = 'exec_mode = "cluster", or listen = [PORT]: old and new processes overlap'


class Level(Enum):
    """How bad it is."""

    FAILED = "failed"
    """Production will lose requests, data or time by it."""
    WARNING = "warning"
    """Good to know; or it cannot be otherwise with what is configured."""


class Finding(Record):
    """One sentence, and the key or line that cures it."""

    level: Level
    what: str
    cure: str = ""


class Seen(Record, kw_only=True):
    """All that one trial has shown."""

    tally: Tally
    processes: int = 1
    overlaps: bool = True
    """Whether an old process and a new one can serve at the same time."""
    ready_by: str = ""
    """What told that a new process is ready."""
    killed: int = 0
    """Processes that did not end in their time."""
    left: int = 0
    """Main processes that ended before their children."""
    failure: str = ""
    """What the runtime said of it, if it did not work."""


def of_start(tally: Tally, waited: Seconds, ready_by: str) -> list[Finding]:
    """The first seconds after everything was called ready; `waited` is until somebody listened."""
    told = f"called ready (by {ready_by or 'a guess of one second'})"
    if waited or tally[Saw.REFUSED]:
        late = waited or tally.refused_for
        return [
            Finding(
                Level.FAILED,
                f"it binds its port late: {told} {late:.1f} s before anybody listened",
                'ready = "listen", or ready = { http = "http://127.0.0.1:PORT/health" }',
            )
        ]
    return _errors(tally, told)


def of_replacement(seen: Seen) -> list[Finding]:
    """A reload, or one instance that is replaced as for its memory or age."""
    found = [*_stop(seen)]
    if seen.failure:
        found.append(Finding(Level.FAILED, seen.failure, "see the log of the new process: `--log FILE`"))
    if seen.tally[Saw.REFUSED]:
        found.append(_refused(seen))
    found += _errors(seen.tally, f"a new process was called ready (by {seen.ready_by or 'a guess'})")
    return [*found, *_lost(seen.tally, "an old process ended")]


def of_kill(seen: Seen) -> list[Finding]:
    """`kill -9` of one process: what it had in progress is lost, and nothing else."""
    if seen.failure:
        what = f"it does not start again after kill -9: {seen.failure}"
        cure = "remove at the start what a killed process left: a lock, a pid file, a socket"
        return [Finding(Level.FAILED, what, cure)]
    if not seen.tally[Saw.REFUSED]:
        return _errors(seen.tally, "a new process was called ready")
    if seen.processes == 1 and not seen.overlaps:
        what = f"there is one process, on a port of its own: refused for {seen.tally.refused_for:.1f} s"
        return [Finding(Level.WARNING, what, 'instances = 2 and exec_mode = "cluster"')]
    return [_refused(seen)]


def of_freeze(seen: Seen) -> list[Finding]:
    """One process that stands still for a while."""
    if not seen.tally.failed:
        return []
    what = f"while one process stood still: {seen.tally.described()}"
    return [Finding(Level.WARNING, what, "instances = 2, or a health check that replaces it")]


def of_stall(seen: Seen, seconds: Seconds) -> list[Finding]:
    """A stdout that nobody reads."""
    if not seen.tally.failed:
        return []
    what = f"with a stdout that blocked for {seconds:.0f} s: {seen.tally.described()}"
    return [Finding(Level.FAILED, what, "the app waits for its log: log less, or through a queue")]


def of_broken(seen: Seen, recovered: str) -> list[Finding]:
    """A new version that does not start."""
    found = []
    if seen.tally.failed and not seen.overlaps:
        what = f"a version that does not start takes the old one away: {seen.tally.described()}"
        found.append(
            Finding(Level.WARNING, what, 'exec_mode = "cluster", or listen = [PORT], lets them overlap')
        )
    elif seen.tally.failed:
        found.append(Finding(Level.FAILED, f"a version that does not start: {seen.tally.described()}"))
    if recovered:
        found.append(Finding(Level.FAILED, f"the good version does not come back: {recovered}"))
    return found


def of_stop(seen: Seen, took: Seconds, code: int, said: str) -> list[Finding]:
    """SIGTERM of the whole; the tally is of what was in progress then."""
    found = [*_stop(seen), *_lost(seen.tally, "it ended")]
    if seen.tally[Saw.TIMEOUT]:
        found.append(Finding(Level.FAILED, f"{seen.tally[Saw.TIMEOUT]} requests in progress had no answer"))
    if took > _ENGINE_PATIENCE and not seen.killed:
        what = f"the stop takes {took:.1f} s: `docker stop` kills after {_ENGINE_PATIENCE:.0f} s"
        found.append(
            Finding(Level.FAILED, what, "docker stop --timeout, or stop_grace_period in compose.yaml")
        )
    if code and not seen.killed:
        found.append(Finding(Level.FAILED, f"it ends with code {code}: {said}"))
    return found


def of_second_start(failure: str, last: str) -> list[Finding]:
    """The same again, after an orderly stop."""
    if not failure:
        return []
    what = f"it does not start a second time: {failure}" + (f" ({last})" if last else "")
    return [Finding(Level.FAILED, what, "remove at the end, or at the start, what a run leaves behind")]


def of_hurry(took: Seconds, ended: bool) -> list[Finding]:  # noqa: FBT001 (the two facts there are)
    """A second SIGTERM: everything ends at once."""
    if ended:
        return []
    return [Finding(Level.FAILED, f"it still runs {took:.1f} s after a second SIGTERM")]


def of_leftovers(commands: Sequence[str]) -> list[Finding]:
    """Processes that outlived the runtime."""
    if not commands:
        return []
    what = f"{len(commands)} processes are left behind: {', '.join(sorted(set(commands)))}"
    return [Finding(Level.FAILED, what, "a child that is made a daemon has to be ended by the app")]


def of_log(lost: int, answered: int, trials: Iterable[str]) -> list[Finding]:
    """Requests that were answered, and are not in the log of an app that logs each."""
    if not lost:
        return []
    what = f"{lost} of {answered} answered requests are not in the log (during: {', '.join(trials)})"
    return [
        Finding(Level.FAILED, what, "flush stdout before the end: its last lines stay in the app's buffer")
    ]


def of_no_start(failure: str, lines: Sequence[str]) -> list[Finding]:
    """It never got ready."""
    text = "\n".join(lines)
    if "EADDRINUSE" in text or "ddress already in use" in text:
        what = f"{failure}: every instance binds the same port itself"
        return [Finding(Level.FAILED, what, 'exec_mode = "cluster": instances share the port')]
    last = next((line for line in reversed(lines) if line.strip()), "")
    return [Finding(Level.FAILED, failure + (f" ({last.strip()})" if last else ""))]


def _stop(seen: Seen) -> list[Finding]:
    found = []
    if seen.killed:
        times = f"{seen.killed} of its processes" if seen.killed > 1 else "it"
        what = f"it ignores SIGTERM: {times} had to be killed; `docker stop` waits in vain, and kills"
        found.append(
            Finding(Level.FAILED, what, 'end at SIGTERM, or kill_signal = "SIGINT" if that is what it hears')
        )
    if seen.left:
        what = "a main process ends before its children, which have to be cleared away"
        found.append(
            Finding(Level.FAILED, what, "end or wait for every child before the end; `exec` in shell scripts")
        )
    return found


def _refused(seen: Seen) -> Finding:
    many, during = seen.tally[Saw.REFUSED], seen.tally.refused_for
    if not seen.overlaps:
        what = f"it binds its port itself: {many} requests were refused for {during:.1f} s"
        return Finding(Level.FAILED, what, _SHARE)
    what = (
        f"{many} requests were refused for {during:.1f} s: a new process was called ready before it listened"
    )
    return Finding(Level.FAILED, what, 'ready = "listen", or ready = { http = … }')


def _errors(tally: Tally, when: str) -> list[Finding]:
    if not tally[Saw.ERROR]:
        return []
    what = f"{tally[Saw.ERROR]} requests got a 5xx after {when}: it says so before it can work"
    return [
        Finding(Level.FAILED, what, "a readiness that waits for what the app needs: its database, its cache")
    ]


def _lost(tally: Tally, when: str) -> list[Finding]:
    found = []
    if cut := tally[Saw.CUT] + tally[Saw.RESET]:
        what = f"{cut} requests in progress were cut when {when}"
        cure = "at SIGTERM stop accepting, answer what is in progress, then end (Node: server.close())"
        found.append(Finding(Level.FAILED, what, cure))
    if dropped := tally[Saw.DROPPED]:
        what = f"{dropped} keep-alive connections were closed without `Connection: close` when {when}"
        cure = "answer the last request of each with `Connection: close`; clients that repeat it lose nothing"
        found.append(Finding(Level.WARNING, what, cure))
    return found
