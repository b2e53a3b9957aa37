"""What a trial shows about an app, in its user's terms: pure functions, one for each trial."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pidone.cli.trial import reasons
from pidone.cli.trial.answers import Saw
from pidone.cli.trial.findings import NOTHING_KNOWN, Finding, Known, Level, Seen
from pidone.ecosystem.spec import Seconds

_LEAK: Final = 64 * 2**20
_LEAK_EACH: Final = 16 * 2**10


_ENGINE_PATIENCE: Final[Seconds] = 10.0
"""`docker stop` kills after that."""


def of_nobody_asked(ports: Sequence[int], paths: Sequence[str]) -> list[Finding]:
    """An app that listens, and to which no client was sent."""
    if not ports and not paths:
        return []
    mute = [*(f"port {port}" for port in ports), *paths]
    where = f"{', '.join(mute)} {'answer' if mute[1:] else 'answers'} no HTTP"
    what = f"no client was sent, so nothing is known of what they lose: {where}"
    cure = "--url http://127.0.0.1:PORT/PATH, if it answers there; have it listen on a port for the trial"
    return [Finding(Level.WARNING, what, cure)]


def of_start(seen: Seen, late: Mapping[int | str, Seconds]) -> list[Finding]:
    """The first seconds after everything was called ready; `late` are ports that were opened after that."""
    called = f"called ready (by {seen.ready_by or 'a guess'})"
    cure = 'ready = "listen", or ready = { http = "http://127.0.0.1:PORT/health" }'
    if seen.timed_out:
        called = "called ready (because listen_timeout was over)"
        cure = 'listen_timeout = "…" longer than its slowest start'
    found = reasons.crashed(seen)
    named = [f"{after:.1f} s before anybody listened on {port}" for port, after in late.items()]
    if seen.tally[Saw.REFUSED] and not found and not named:
        named = [f"{seen.tally.refused_for:.1f} s before all of it listened"]
    for when in named:
        what = f"it binds its port late: {called} {when}"
        found.append(reasons.late(seen, what, cure) if seen.timed_out else Finding(Level.FAILED, what, cure))
    return [*found, *reasons.errors(seen.tally, f"it was {called}"), *reasons.by_itself(seen)]


def of_replacement(seen: Seen, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """A reload, or one instance that is replaced as for its memory or age."""
    found = [*reasons.crashed(seen), *reasons.not_stopped(seen)]
    if seen.failure:
        found.append(reasons.failed(seen, seen.failure, reasons.not_again_cure(seen.failure)))
    if seen.tally[Saw.REFUSED] and not (seen.failure and not seen.overlaps):
        found.append(reasons.refused(seen))
    told = f"a new process was called ready (by {seen.ready_by or 'a guess'})"
    found += reasons.errors(seen.tally, told, known)
    if seen.crashes or seen.killed:  # what clients lost by it is no reason of its own
        return found
    return [
        *found,
        *reasons.lost(seen.tally, "an old process ended", known),
        *reasons.unanswered(seen, known),
    ]


def of_kill(seen: Seen, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """`kill -9` of one process: what it had in progress is lost, and nothing else."""
    if seen.failure:
        what = f"it does not start again after kill -9: {seen.failure}"
        cure = "remove at the start what a killed process left: a lock, a pid file, a socket"
        return [reasons.failed(seen, what, cure)]
    found = reasons.crashed(seen)
    if not seen.tally[Saw.REFUSED]:
        return [*found, *reasons.errors(seen.tally, "a new process was called ready", known)]
    if seen.processes == 1 and not seen.overlaps:
        what = f"there is one process, on a port of its own: refused for {seen.tally.refused_for:.1f} s"
        return [*found, Finding(Level.WARNING, what, 'instances = 2 and exec_mode = "cluster"')]
    return [*found, reasons.refused(seen)]


def of_freeze(seen: Seen, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """One process that stands still for a while."""
    tally = known.unexplained(seen.tally)
    if not tally.failed or seen.crashes:
        return reasons.crashed(seen)
    what = f"while one process stood still: {tally.described()}"
    return [
        *reasons.crashed(seen),
        Finding(Level.WARNING, what, "instances = 2, or a health check that replaces it"),
    ]


def of_stall(
    seen: Seen, seconds: Seconds, known: Known = NOTHING_KNOWN, *, grown: int = 0, answered: int = 0
) -> list[Finding]:
    """A stdout that nobody reads; the longest trial also shows how many bytes the app has `grown` by."""
    found = reasons.crashed(seen)
    tally = known.unexplained(seen.tally).without({Saw.REFUSED})  # by one that does not listen yet
    if tally.failed and not found:
        what = f"with a stdout that blocked for {seconds:.0f} s: {tally.described()}"
        found.append(Finding(Level.FAILED, what, "the app waits for its log: log less, or through a queue"))
    if grown > max(_LEAK, answered * _LEAK_EACH):
        what = f"its memory grew by {grown / 2**20:.0f} MiB in {answered} requests: a leak?"
        cure = 'max_memory_restart = "…M" replaces it in time, until that is found'
        found.append(Finding(Level.WARNING, what, cure))
    return found


def of_broken(seen: Seen, recovered: str, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """A new version that does not start."""
    found = reasons.crashed(seen)
    tally = seen.tally.without(known.by_itself)
    if tally.failed and not seen.overlaps:
        what = f"a version that does not start takes the old one away: {tally.described()}"
        found.append(
            Finding(Level.WARNING, what, 'exec_mode = "cluster", or listen = [PORT], lets them overlap')
        )
    elif tally.failed and not found:
        untouched = reasons.by_itself(seen.but(tally=tally))
        what = f"while a version that does not start was tried beside it: {tally.described()}"
        found += untouched or [Finding(Level.FAILED, what, "its log of that time says why")]
    if recovered:
        what = f"the good version does not come back: {recovered}"
        found.append(Finding(Level.FAILED, what, reasons.not_again_cure(recovered)))
    return found


def of_stop(seen: Seen, took: Seconds, code: int, said: str, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """SIGTERM of the whole; the tally is of what was in progress then."""
    found = [*reasons.crashed(seen), *reasons.not_stopped(seen)]
    if not seen.crashes and not seen.killed:
        found += reasons.lost(seen.tally, "it ended", known)
    found += reasons.while_it_ends(seen.tally)
    if seen.tally[Saw.TIMEOUT] and Saw.TIMEOUT not in known.by_itself:
        what = f"{seen.tally[Saw.TIMEOUT]} requests in progress had no answer"
        found.append(reasons.late(seen, what, "at SIGTERM answer what is in progress, then end"))
    if took > _ENGINE_PATIENCE and not seen.killed:
        what = f"the stop takes {took:.1f} s: `docker stop` kills after {_ENGINE_PATIENCE:.0f} s"
        cure = "end sooner, or docker stop --timeout, stop_grace_period in compose.yaml"
        found.append(reasons.late(seen, what, cure))
    if code and not seen.killed:
        cure = "end with 0 at SIGTERM; or success_exit_codes, if that code is no failure"
        found.append(Finding(Level.FAILED, f"it ends with code {code}: {said}", cure))
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


def of_log(missing: int, answered: int, trials: Iterable[str]) -> list[Finding]:
    """Requests that were answered, and are not in the log of an app that logs each."""
    if not missing:
        return []
    what = f"{missing} of {answered} answered requests are not in the log (during: {', '.join(trials)})"
    return [
        Finding(Level.FAILED, what, "flush stdout before the end: its last lines stay in the app's buffer")
    ]


def of_no_start(failure: str, lines: Sequence[str], holder: str = "") -> list[Finding]:
    """It never got ready; `holder` is another program that has its port."""
    text = "\n".join(lines)
    taken = next((line for line in lines if reasons.is_taken(line)), "")
    if "/" in taken.rpartition("EADDRINUSE")[2] or ".sock" in taken:
        what = f"{failure}: a socket file is there already ({taken.strip()})"
        return [Finding(Level.FAILED, what, "remove the socket file at the start")]
    if holder:
        return [reasons.held(taken, holder)]
    if taken:
        what = f"{failure}: every instance binds the same port itself"
        return [Finding(Level.FAILED, what, reasons.SAME_PORT_CURE)]
    last = reasons.last_words(text.splitlines())
    return [Finding(Level.FAILED, failure + (f" ({last})" if last else ""), reasons.not_again_cure(failure))]
