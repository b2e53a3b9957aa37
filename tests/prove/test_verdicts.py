"""What is said of what was seen: the right reason, once, with its cure. Nothing is started here."""

from collections import Counter

import pytest

from pidone.cli.trial import verdicts
from pidone.cli.trial.answers import Answer, Saw, Tally, ended_at_once, quickest, tally
from pidone.cli.trial.families import FamilyMember
from pidone.cli.trial.findings import Finding, Killed, Known, Level, Seen
from pidone.cli.trial.lines import Window, missing
from pidone.cli.trial.steps import BROKEN, RELOAD, START, STOP, Draft, known_of

TERM = 15


def saw(requests: int = 100, *, slowest: float = 0.1, refused_for: float = 0.0, **counts: int) -> Tally:
    """So many requests, of which so many ended otherwise than well."""
    return Tally(
        requests=requests,
        counts=Counter({Saw[name.upper()]: many for name, many in counts.items()}),
        median=0.01,
        p99=slowest,
        slowest=slowest,
        refused_for=refused_for,
    )


def ended(after: float, kind: Saw, number: int) -> Answer:
    """A request of which that came so many seconds after it was sent."""
    return Answer(app="web", client="new", number=number, began=9.0, ended=9.0 + after, saw=kind, held=after)


def only(found: "list[Finding]") -> Finding:
    """The one thing that is wrong; it has a cure."""
    (finding,) = found
    assert finding.cure
    return finding


def member(
    *, main: int = 7, name: str = "node", ignored: int = 0, connections: int = 0, port: int = 0
) -> FamilyMember:
    """A process as it was seen last before it was killed."""
    return FamilyMember(
        name=name,
        main=main,
        ignored=frozenset({ignored}),
        connections=connections,
        ports=(port,) if port else (),
    )


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ((), "does not end at SIGTERM"),
        ((member(ignored=TERM),), "it ignores SIGTERM"),
        ((member(), member(name="worker", ignored=TERM)), "its child worker ignores SIGTERM"),
        ((member(connections=4),), "waits for clients: 4 connections were open"),
        ((member(connections=4, port=80),), "goes on: it still listened on 80"),
        ((member(),), "stops accepting, and does not end"),
    ],
)
def test_why_it_had_to_be_killed(family: "tuple[FamilyMember, ...]", why: str) -> None:
    """By what it does with the signal, and what it still held."""
    killed = Killed(signal=TERM, after=3.0, family=family)
    finding = only(verdicts.of_stop(Seen(tally=saw(), killed=(killed,)), 3.1, 0, ""))
    assert why in finding.what
    assert "killed after 3 s" in finding.what
    both = verdicts.of_replacement(Seen(tally=saw(), killed=(killed, killed)))
    assert "(2 processes)" in only(both).what


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (saw(cut=3), "3 of 100 responses, though nothing was done, ended before they were whole"),
        (saw(garbled=3), "longer than their Content-Length"),
        (saw(reset=3), "3 connections were closed without an answer"),
        (saw(timeout=3), "something blocks its event loop"),
        (saw(slowest=4.0), "the slowest answer took 4.0 s"),
        (saw(error=3), "it says so before it can work"),
        (saw(refused=3, refused_for=1.2), "1.2 s before all of it listened"),
    ],
)
def test_what_clients_see_while_nothing_is_done(seen: Tally, why: str) -> None:
    """It is told of the start, and of no trial that comes later."""
    assert why in only(verdicts.of_start(Seen(tally=seen), {})).what
    start = Draft(name=START, took=1.0, app="web", seen=seen, judge=lambda _: [])
    known = known_of("web", [start], overlaps=True)
    if not seen[Saw.ERROR] and not seen[Saw.REFUSED]:
        assert not verdicts.of_replacement(Seen(tally=seen), known)
        assert not verdicts.of_stall(Seen(tally=seen), 10.0, known)
        assert not verdicts.of_broken(Seen(tally=seen), "", known)
        assert not verdicts.of_freeze(Seen(tally=seen), known)


def test_a_port_that_comes_late_is_named() -> None:
    """The second one, too."""
    finding = only(verdicts.of_start(Seen(tally=saw(), ready_by="listen"), {9090: 2.5}))
    assert "2.5 s before anybody listened on 9090" in finding.what
    assert finding.level is Level.FAILED


def test_who_had_no_processor_is_not_accused_of_being_late() -> None:
    """Clients that had to wait for one themselves."""
    late = Seen(tally=saw(timeout=5), starved=True, timed_out=True)
    failure = "the reload failed: not ready within 3 s (listen_timeout)"
    found = [
        *verdicts.of_start(late, {80: 4.0}),
        *verdicts.of_replacement(late),
        *verdicts.of_replacement(late.but(tally=saw(), failure=failure)),
        *verdicts.of_kill(late.but(tally=saw(), failure=failure)),
        *verdicts.of_stop(late, 10.1, 0, ""),
    ]
    assert len(found) == 7
    assert {each.level for each in found} == {Level.WARNING}
    assert all("not judged: the machine was too busy" in each.what for each in found)


def test_5xx_of_one_that_ends_are_told_from_those_of_one_that_begins() -> None:
    """What the stop shows explains the reload."""
    reload = Draft(name=RELOAD, took=1.0, app="web", seen=saw(error=5), judge=lambda _: [])
    stop = Draft(name=STOP, took=1.0, seen=saw(error=2), judge=lambda _: [])
    seen = Seen(tally=reload.seen)
    ends = only(verdicts.of_replacement(seen, known_of("web", [reload, stop], overlaps=True)))
    begins = only(verdicts.of_replacement(seen, known_of("web", [reload], overlaps=True)))
    assert "had been told to end" in ends.what
    assert "before it can work" in begins.what


def test_what_a_broken_version_cannot_be_blamed_for() -> None:
    """Its neighbours were not touched: what they did then they do by themselves."""
    broken = Draft(name=BROKEN, took=1.0, app="web", seen=saw(timeout=2), judge=lambda _: [])
    known = known_of("web", [broken], overlaps=True)
    assert "blocks its event loop" in only(verdicts.of_broken(Seen(tally=broken.seen), "", known)).what
    assert not verdicts.of_stall(Seen(tally=saw(timeout=4)), 10.0, known)
    assert not verdicts.of_stall(Seen(tally=saw(refused=4)), 10.0)
    assert verdicts.of_stall(Seen(tally=saw(timeout=4)), 10.0, known_of("web", [broken], overlaps=False))


def test_a_crash_explains_what_clients_saw() -> None:
    """It is told once, with the app's own last words."""
    seen = Seen(tally=saw(reset=2, dropped=3, cut=1), crashes=("ended with code 1 (Error: boom)",))
    for found in (
        verdicts.of_replacement(seen),
        verdicts.of_stall(seen, 10.0),
        verdicts.of_freeze(seen),
        verdicts.of_broken(seen, ""),
        verdicts.of_stop(seen, 1.0, 0, ""),
    ):
        assert "it ended by itself, once: ended with code 1 (Error: boom)" in only(found).what


def test_memory_that_grows_with_the_requests() -> None:
    """A cache that is full soon is none of it."""
    grows = verdicts.of_stall(Seen(tally=saw()), 10.0, grown=300 * 2**20, answered=1000)
    assert "grew by 300 MiB in 1000 requests" in only(grows).what
    assert not verdicts.of_stall(Seen(tally=saw()), 10.0, grown=40 * 2**20, answered=1000)
    assert not verdicts.of_stall(Seen(tally=saw()), 10.0, grown=100 * 2**20, answered=100_000)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["listen EADDRINUSE: address already in use :::3000"], "binds the same port itself"),
        (["Error: listen EADDRINUSE: address already in use ./app.sock"], "a socket file is there already"),
        (["Error: no database", "    at main (app.js:3)", "Node.js v20.1.0"], "(Error: no database)"),
        (["app.pid exists: already running"], "(app.pid exists: already running)"),
    ],
)
def test_why_it_does_not_start(lines: "list[str]", why: str) -> None:
    """By the line that says most."""
    assert why in only(verdicts.of_no_start("given up: web", lines)).what


def answers(first: int, last: int, at: float, app: str = "web") -> "list[Answer]":
    """Requests of these numbers, answered then."""
    return [
        Answer(app=app, client="new", number=number, began=at - 0.1, ended=at, saw=Saw.ANSWERED)
        for number in range(first, last)
    ]


def test_lines_that_are_missing_of_an_app_that_logs_each_request() -> None:
    """It logs each if all are there of one trial; what was about to be written at a kill -9 is forgiven."""
    asked = [*answers(0, 50, 1.0), *answers(50, 100, 11.0), *answers(100, 150, 21.0)]
    windows = [Window("reload", 10.0, 19.0), Window("kill -9", 20.0, 29.0)]
    some = [{"app": "web", "message": f"GET /?pidone={number}"} for number in range(60)]
    (finding,) = missing(some, asked, windows) or []
    assert "40 of 150 answered requests are not in the log (during: reload)" in finding.what
    uploads = [each.but(client="upload", number=each.number + 1000) for each in asked]
    assert missing(some, [*asked, *uploads], windows) == [finding]
    assert missing([], asked, windows) is None
    every_tenth = [{"app": "web", "message": f"?pidone={number}"} for number in range(0, 150, 10)]
    assert missing(every_tenth, asked, windows) is None
    killed = [{"app": "web", "message": f"?pidone={number}"} for number in range(120)]
    assert missing(killed, asked, windows) == []


def test_the_slowest_is_counted() -> None:
    """By the requests that were answered."""
    assert tally(answers(0, 3, 5.0)).slowest == pytest.approx(0.1)
    assert tally(()).slowest == 0
    assert Known().unexplained(saw(cut=1)).failed == 1


def test_who_hangs_up_on_what_it_has_not_read_is_told_so() -> None:
    """As Go's Shutdown() and hyper's do, whose requests in progress are answered: a warning, by its name."""
    seen = tally([*(ended(0.001, Saw.RESET, each) for each in range(3)), ended(1.2, Saw.ANSWERED, 4)])
    for found in (verdicts.of_replacement(Seen(tally=seen)), verdicts.of_stop(Seen(tally=seen), 0.1, 0, "")):
        finding = only(found)
        assert finding.level is Level.WARNING
        assert "3 of 4 requests were lost when" in finding.what
        assert "hangs up on connections that it has accepted and not read yet" in finding.what
        assert "server.Shutdown()" in finding.cure


@pytest.mark.parametrize("kind", [Saw.RESET, Saw.DROPPED])
def test_what_it_had_for_a_while_was_in_progress(kind: Saw) -> None:
    """On a new connection and on a kept one; what it lost beside that is the same fault."""
    seen = tally([ended(0.001, Saw.RESET, 1), ended(0.4, kind, 2), ended(0.1, Saw.ANSWERED, 3)])
    finding = only(verdicts.of_replacement(Seen(tally=seen)))
    assert finding.level is Level.FAILED
    assert finding.what == "2 requests in progress were cut when an old process ended"


def test_kept_connections_that_are_closed_as_they_are_used_again_are_a_warning() -> None:
    """Not one of them had a request in progress."""
    seen = tally([ended(0.001, Saw.DROPPED, each) for each in range(2)])
    finding = only(verdicts.of_replacement(Seen(tally=seen)))
    assert finding.level is Level.WARNING
    assert "2 keep-alive connections were closed without `Connection: close`" in finding.what


def test_what_is_at_once_depends_on_who_looks_and_at_what() -> None:
    """Clients that wait for a processor notice later; an app that takes its time has requests in progress."""
    assert [ended_at_once(ended(after, Saw.RESET, 1)) for after in (0.03, 0.2)] == [True, False]
    for quick, longest in ((0.001, 0.9), (0.5, 0.2)):
        for after, expected in ((longest, True), (1.1, False)):
            answer = ended(after, Saw.RESET, 1)
            assert ended_at_once(answer, quick, starved=True) is expected
    assert not ended_at_once(ended(0.4, Saw.RESET, 1), 0.5, starved=True)


def test_only_what_was_lost_ended_at_once() -> None:
    """And what is explained counts no more."""
    seen = tally([ended(0.0, Saw.ANSWERED, 1), ended(0.0, Saw.CUT, 2), ended(0.0, Saw.RESET, 3)])
    assert seen.at_once == {Saw.RESET: 1}
    assert not seen.without({Saw.RESET}).at_once


def test_how_quick_an_app_can_be() -> None:
    """By what its quickest answers take, for each kind of client; what it lost says nothing."""
    mixed = [ended(0.3 if number % 5 else 0.002, Saw.ANSWERED, number) for number in range(50)]
    assert quickest([*mixed, ended(0.001, Saw.RESET, 99)]) == {("web", "new"): pytest.approx(0.002)}
    assert quickest([ended(0.001, Saw.RESET, 1)]) == {}


def test_a_port_of_another_program_is_no_habit_of_the_app() -> None:
    """Who has it is told, when it starts and when it crashes."""
    line = "Error: listen EADDRINUSE: address already in use :::3000"
    for finding in (
        only(verdicts.of_no_start("not ready", [line], "nginx, pid 7")),
        only(verdicts.of_start(Seen(tally=saw(), crashes=(line,), holder="nginx, pid 7"), {})),
    ):
        assert "its port is taken by another program (nginx, pid 7)" in finding.what
        assert "3000" in finding.what


def test_an_app_that_listens_and_was_not_asked_is_told_so() -> None:
    """A worker, which listens nowhere, is not."""
    assert verdicts.of_nobody_asked([], []) == []
    assert "port 5432 answers no HTTP" in only(verdicts.of_nobody_asked([5432], [])).what
    by_path = only(verdicts.of_nobody_asked([], ["/run/app.sock"]))
    assert "/run/app.sock answers no HTTP" in by_path.what
    both = only(verdicts.of_nobody_asked([5432], ["/run/app.sock"])).what
    assert "port 5432, /run/app.sock answer no HTTP" in both
    assert by_path.level is Level.WARNING


def test_clients_that_take_their_time_make_no_app_slow() -> None:
    """An upload in small pieces takes as long as its client."""
    slow = [
        ended(2.5, Saw.ANSWERED, each).but(client=client)
        for each, client in enumerate(("upload", "download"))
    ]
    seen = tally([*slow, ended(0.01, Saw.ANSWERED, 9)])
    assert seen.requests == 3
    assert seen.slowest == pytest.approx(0.01)
    assert seen.p99 == pytest.approx(0.01)
    assert verdicts.of_start(Seen(tally=seen), {}) == []


def test_what_is_lost_by_a_kill_is_no_habit_of_its_own() -> None:
    """Neither a hang-up nor a cut: it does not end at its signal."""
    seen = Seen(
        tally=tally([ended(0.001, Saw.RESET, 1), ended(0.9, Saw.RESET, 2), ended(0.0, Saw.DROPPED, 3)]),
        killed=(Killed(signal=TERM, after=3.0, family=(member(port=80),)),),
    )
    for found in (verdicts.of_replacement(seen), verdicts.of_stop(seen, 3.1, 0, "")):
        assert "it hears SIGTERM and goes on" in only(found).what
