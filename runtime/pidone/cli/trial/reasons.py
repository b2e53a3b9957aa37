"""Why clients lose something, in the user's terms, and what cures it: pure functions that trials share."""

import signal
from collections.abc import Sequence
from typing import Final

from pidone.cli.trial.answers import Saw, Tally
from pidone.cli.trial.findings import NOTHING_KNOWN, Finding, Killed, Known, Level, Seen
from pidone.ecosystem.spec import Seconds
from pidone.signames import signal_name

_CRASH_CURE: Final = "its last lines in the log say why: --log FILE keeps them"
_BLOCKED: Final = "something blocks its event loop, or all of its threads"
_BLOCKED_CURE: Final = (
    "move what computes or waits out of it (worker_threads, asyncio.to_thread), or more threads"
)
_TOO_LATE: Final = "not ready within"
_SLOW: Final[Seconds] = 2.0
_MUCH_SLOWER: Final = 20


_TERM: Final = int(signal.SIGTERM)
SAME_PORT_CURE: Final = 'exec_mode = "cluster": instances share the port'
_SHARE: Final = 'exec_mode = "cluster", or listen = [PORT]: old and new processes overlap'


def by_itself(seen: Seen) -> list[Finding]:
    """What clients may never see while nothing is done."""
    tally = seen.tally
    whole = f"of {tally.requests} responses, though nothing was done"
    reasons = (
        (
            Saw.CUT,
            f"{tally[Saw.CUT]} {whole}, ended before they were whole",
            "send what Content-Length says before the connection is closed; leave both to the framework",
        ),
        (
            Saw.GARBLED,
            f"{tally[Saw.GARBLED]} {whole}, were longer than their Content-Length, or no HTTP",
            "Content-Length counts bytes, not characters: leave it to the framework",
        ),
        (
            Saw.RESET,
            f"{tally[Saw.RESET]} connections were closed without an answer, though nothing was done",
            "a handler that fails has to answer 500; more than it can take: a longer backlog, more instances",
        ),
        (
            Saw.TIMEOUT,
            f"{tally[Saw.TIMEOUT]} requests had no answer in 5 s, though nothing was done: {_BLOCKED}",
            _BLOCKED_CURE,
        ),
    )
    found = [
        late(seen, what, cure) if saw is Saw.TIMEOUT else Finding(Level.FAILED, what, cure)
        for saw, what, cure in reasons
        if tally[saw]
    ]
    if not tally[Saw.TIMEOUT] and tally.slowest > _SLOW and tally.slowest > _MUCH_SLOWER * tally.median:
        what = f"the slowest answer took {tally.slowest:.1f} s, half {tally.median * 1000:.0f} ms: {_BLOCKED}"
        found.append(Finding(Level.WARNING, what, _BLOCKED_CURE))
    return found


def late(seen: Seen, what: str, cure: str) -> Finding:
    """Something came late, which is no fault where clients waited for a processor: so did the app."""
    if seen.starved:
        return Finding(Level.WARNING, f"{what}; not judged: the machine was too busy", cure)
    return Finding(Level.FAILED, what, cure)


def failed(seen: Seen, what: str, cure: str) -> Finding:
    """What the runtime says that did not work, maybe only as it took too long."""
    return late(seen, what, cure) if _TOO_LATE in what else Finding(Level.FAILED, what, cure)


def last_words(lines: Sequence[str]) -> str:
    """Of what a program wrote before its end, the line that says most about it."""
    written = [line.strip() for line in lines if line.strip()]
    telling = [line for line in written if is_error(line)]
    return (telling or written or [""])[-1]


def is_error(line: str) -> bool:
    """Whether it names an error: `Error: …`, `OSError: …`, `fatal: …`; no place in a stack."""
    word = line.split(":", 1)[0].rsplit(" ", 1)[-1].rsplit(".", 1)[-1]
    return ":" in line and (
        word.endswith(("Error", "Exception")) or word.lower() in ("error", "fatal", "panic")
    )


def is_taken(line: str) -> bool:
    """Whether a program says that its port is taken."""
    return "EADDRINUSE" in line or "ddress already in use" in line


def not_again_cure(said: str) -> str:
    """For a program that does not start where one like it has run."""
    if any(word in said.lower() for word in ("exist", "already", "lock", "running", "in use")):
        return "remove what a run leaves (pid file, lock, socket): at the end, or what is stale at the start"
    return "see the log of the new process: --log FILE"


def not_stopped(seen: Seen) -> list[Finding]:
    """Processes that did not end in their time, or not with what they had started."""
    return [*killed(seen), *ended_before_children(seen)]


def killed(seen: Seen) -> list[Finding]:
    """Each reason once, with the number of those it holds for."""
    reasons = [why_killed(each) for each in seen.killed]
    found = []
    for what, cure in dict.fromkeys(reasons):
        many = reasons.count((what, cure))
        counted = f"{what} ({many} processes)" if many > 1 else what
        is_deaf = "ignores" in what
        found.append(Finding(Level.FAILED, counted, cure) if is_deaf else late(seen, counted, cure))
    return found


def why_killed(killed: Killed) -> tuple[str, str]:
    """What is wrong, and the cure."""
    name, after = signal_name(killed.signal), f"had to be killed after {killed.after:g} s"
    deaf = [member for member in killed.family if killed.signal in member.ignored]
    main = killed.family[0] if killed.family else None
    if main is None:
        return f"it does not end at {name}: it {after}", "end at SIGTERM, or a longer kill_timeout"
    if main in deaf:
        what = f"it ignores {name}: it {after}; `docker stop` waits in vain, and kills"
        return what, 'end at SIGTERM, or kill_signal = "SIGINT" if that is what it hears'
    if deaf:
        what = f"its child {deaf[0].name} ignores {name}, and it waits for that: it {after}"
        return what, f"have {deaf[0].name} end at {name}; kill children that do not, after a while"
    if ports := sorted({port for member in killed.family for port in member.ports}):
        what = (
            f"it hears {name} and goes on: it still listened on {', '.join(map(str, ports))} when it {after}"
        )
        return (
            what,
            f"the handler of {name} has to stop accepting (Node: server.close()), and to end the process",
        )
    if many := sum(member.connections for member in killed.family):
        what = f"it hears {name} and waits for clients: {many} connections were open when it {after}"
        cure = "close idle kept connections (Node: server.closeIdleConnections()), answer others with "
        return what, f"{cure}`Connection: close`; or kill_timeout longer than its longest request"
    what = f"it hears {name}, stops accepting, and does not end: it {after}"
    return what, "a timer, a thread or a child holds it: end that; or kill_timeout longer than it needs"


def ended_before_children(seen: Seen) -> list[Finding]:
    """Children that the runtime has to clear away."""
    if not seen.left:
        return []
    names = ", ".join(sorted({member.name for member in seen.orphans}))
    deaf = sorted({member.name for member in seen.orphans if _TERM in member.ignored})
    what = "a main process ends before its children" + (f" ({names})" if names else "")
    what += (
        f": {', '.join(deaf)} ignores SIGTERM and is killed" if deaf else ", which have to be cleared away"
    )
    return [
        Finding(Level.FAILED, what, "end or wait for every child before the end; `exec` in shell scripts")
    ]


def crashed(seen: Seen) -> list[Finding]:
    """Ends that nobody asked for."""
    if not seen.crashes:
        return []
    if taken := next((each for each in seen.crashes if is_taken(each)), ""):
        if seen.holder:
            return [held(taken, seen.holder)]
        return [Finding(Level.FAILED, f"every instance binds the same port itself: {taken}", SAME_PORT_CURE)]
    many = f"{len(seen.crashes)} times" if len(seen.crashes) > 1 else "once"
    return [Finding(Level.FAILED, f"it ended by itself, {many}: {seen.crashes[-1]}", _CRASH_CURE)]


def held(said: str, holder: str) -> Finding:
    """Its port is that of a program that does not belong to the trial."""
    what = f"its port is taken by another program ({holder}): {said.strip()}"
    return Finding(Level.FAILED, what, "end that first; or give it another PORT here: --env NAME")


def refused(seen: Seen) -> Finding:
    """Nobody listened for a while."""
    many, during = seen.tally[Saw.REFUSED], seen.tally.refused_for
    if not seen.overlaps:
        what = f"it binds its port itself: {many} requests were refused for {during:.1f} s"
        return Finding(Level.FAILED, what, _SHARE)
    what = (
        f"{many} requests were refused for {during:.1f} s: a new process was called ready before it listened"
    )
    return Finding(Level.FAILED, what, 'ready = "listen", or ready = { http = … }')


def errors(tally: Tally, when: str, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """5xx of an app that also answers otherwise."""
    if not tally[Saw.ERROR]:
        return []
    if known.errors_while_it_ends:
        return while_it_ends(tally)
    what = f"{tally[Saw.ERROR]} requests got a 5xx after {when}: it says so before it can work"
    return [
        Finding(Level.FAILED, what, "a readiness that waits for what the app needs: its database, its cache")
    ]


def while_it_ends(tally: Tally) -> list[Finding]:
    """5xx of a process that is about to end."""
    if not tally[Saw.ERROR]:
        return []
    what = f"{tally[Saw.ERROR]} requests got a 5xx from a process that had been told to end"
    cure = "answer until the end: who is still connected cannot go elsewhere; only /health may say 503"
    return [Finding(Level.FAILED, what, cure)]


def lost(tally: Tally, when: str, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """What ended before its time as a process ended."""
    found = []
    tally = known.unexplained(tally, Saw)
    unread = tally.at_once[Saw.RESET]
    late = tally[Saw.DROPPED] - tally.at_once[Saw.DROPPED]
    if in_progress := tally[Saw.CUT] + tally[Saw.RESET] - unread + tally[Saw.GARBLED] + late:
        what = f"{in_progress + unread} requests in progress were cut when {when}"
        cure = "at SIGTERM stop accepting, answer what is in progress, then end (Node: server.close())"
        found.append(Finding(Level.FAILED, what, cure))
    elif unread:
        what = (
            f"{unread} of {tally.requests} requests were lost when {when}: it hangs up on connections that "
            "it has accepted and not read yet"
        )
        cure = (
            "at SIGTERM stop accepting first, and shut down a moment later "
            "(Go: listener.Close(), 0.2 s, then server.Shutdown())"
        )
        found.append(Finding(Level.WARNING, what, cure))
    if dropped := tally.at_once[Saw.DROPPED]:
        what = f"{dropped} keep-alive connections were closed without `Connection: close` when {when}"
        cure = "answer the last request of each with `Connection: close`; clients that repeat it lose nothing"
        found.append(Finding(Level.WARNING, what, cure))
    return found


def unanswered(seen: Seen, known: Known) -> list[Finding]:
    """Requests that nobody answered."""
    many = known.unexplained(seen.tally)[Saw.TIMEOUT]
    if not many:
        return []
    what = f"{many} requests had no answer in 5 s while processes were replaced: {_BLOCKED}"
    return [late(seen, what, _BLOCKED_CURE)]
