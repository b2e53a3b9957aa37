"""No pattern on no line takes longer than a moment, and all others do what `re` does."""

import errno
import os
import re
import resource
import signal
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pidone.bounded_search import BROKEN_OFF, HELD, KILLED, LATE, LONG, BoundedSearch, SearchTooLongError
from pidone.ecosystem.values import Invalid
from pidone.ecosystem.values.kinds import parse_pattern

ENOUGH_S = 3.0
"""Of CPU time, for what may take 0.05 s, and the steps between two looks for signals; else it is hours."""
HOPELESS = (
    *("(.*)(.*)(.*)#", r"\s*\s*\s*$", ".*a.*b.*c.*d#", "(a+)+$", "(?i)[a-z]*[A-Z]*[a-z]*#", r"(.*)\1.*#"),
    *("(?=.*.*.*#)a", "(?!.*.*.*#)b", "(?:a{1,1000}){1,1000}#", "a{0,1000}a{0,1000}a{0,1000}#", ".*?.*?.*?#"),
    *("(?:a|aa)*b", "(?(1)x|.*.*.*#)()", "(?>.*).*|.*.*.*#", r"[\w.]+@[\w.]+", "(?:.*+|a*)*a*a*#"),
)


@pytest.mark.parametrize("pattern", HOPELESS)
@pytest.mark.parametrize("text", ["a" * LONG, " " * LONG + "x", "abcd" * (LONG // 4)])
def test_what_would_take_hours_is_broken_off(pattern: str, text: str) -> None:
    """On text as on bytes, whatever it is in the pattern that goes back and tries again."""
    compiled, as_bytes = re.compile(pattern), re.compile(pattern.encode())
    assert _cpu_s(lambda: _outcome(BoundedSearch(bool), compiled, text)) < ENOUGH_S
    assert _cpu_s(lambda: _outcome(BoundedSearch(bool), as_bytes, text.encode())) < ENOUGH_S


@pytest.mark.parametrize("pattern", HOPELESS)
def test_a_long_text_is_looked_at_in_a_child_that_ends(pattern: str) -> None:
    """A megabyte of it, too; and nobody is left behind."""
    search = re.compile(pattern.encode()).search
    before, had = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, _children()
    bounded = BoundedSearch(bool)
    for text in (b"a" * 2**20, b" " * 2**20 + b"x"):
        with suppress(SearchTooLongError):
            assert bounded.attempt_apart(lambda text: b"%d" % bool(search(text)), text) in (b"0", b"1")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < ENOUGH_S
    assert _children() == had


def test_what_garbage_calls_is_not_broken_off() -> None:
    """Nobody would hear of it there, and whatever it was about to do would be left half done."""
    done: list[bool] = []

    def finalize() -> None:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            sum(range(1000))
        done.append(True)

    finalizer = FunctionType(
        finalize.__code__, {**globals(), "__name__": "elsewhere"}, "finalize", None, finalize.__closure__
    )

    def look() -> None:
        weakref.finalize(BoundedSearch(bool), finalizer)
        while True:
            sum(range(1000))

    with pytest.raises(SearchTooLongError):
        BoundedSearch(bool).attempt(look)
    assert done == [True]


def test_what_a_child_finds_comes_back_whole() -> None:
    """However large; and if there is no child, nobody knows."""
    bounded = BoundedSearch(bool)
    text = b"a\n" * 600_000
    assert bounded.attempt_apart(lambda text: text + b"b", text) == text + b"b"


def test_without_a_child_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller does what is safe, and it is told why."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    told: list[str] = []
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(SearchTooLongError):
        BoundedSearch(told.append).attempt_apart(bytes, b"x")
    assert told == ["a long line cannot be looked at: Resource temporarily unavailable"]
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("is_answering", [False, True])
def test_a_child_that_is_held_or_killed_costs_a_rest(
    number: int, *, is_answering: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if but a byte of its answer is missing: what was waited for nothing counts in full."""
    now = 0.0
    told: list[str] = []

    def harmed(text: bytes) -> bytes:
        if is_answering:
            os.write = all_but_one_byte
        else:
            os.kill(os.getpid(), number)
        return text

    def all_but_one_byte(fd: int, data: Any) -> int:
        write(fd, data[:-1])
        os.kill(os.getpid(), number)
        return len(data)

    monkeypatch.setattr("pidone.bounded_search._LONGEST_WAIT_S", 3600.0)  # however busy the machine
    write, had = os.write, _children()
    bounded = BoundedSearch(told.append, clock=lambda: now)
    for _ in range(20):
        with pytest.raises(SearchTooLongError):
            bounded.attempt_apart(harmed, b"a\n\n")
    assert set(told) == {HELD if number == signal.SIGSTOP else KILLED}
    assert 1 <= len(told) <= (3 if number == signal.SIGSTOP else 5)
    assert _children() == had
    with pytest.raises(SearchTooLongError):
        bounded.attempt_apart(bytes, b"x")
    now = 3600.0
    assert bounded.attempt_apart(bytes, b"x") == b"x"


def test_a_child_that_answers_costs_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does its burial, though it does nothing any more then."""
    monkeypatch.setattr("pidone.bounded_search._CREDIT_S", 0.02)
    bounded = BoundedSearch(bool, clock=lambda: 0.0)
    for _ in range(100):
        assert bounded.attempt_apart(bytes, b"x") == b"x"


def test_a_child_that_says_it_bit_by_bit_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bit is no reason to wait as long as before."""

    def be_slow(_look: object, _text: bytes, write: int) -> None:
        try:
            os.write(write, (10**9).to_bytes(8))
            while True:
                time.sleep(0.005)
                os.write(write, b".")
        finally:
            os._exit(0)

    monkeypatch.setattr("pidone.bounded_search._be_the_child", be_slow)
    told: list[str] = []
    with pytest.raises(SearchTooLongError):
        BoundedSearch(told.append).attempt_apart(bytes, b"x")
    assert set(told) <= {LATE, HELD}
    assert told


def test_nobody_waits_for_ever_where_nobody_tells_what_a_child_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc it may be on its way. Whom nobody can kill is left to the reaper."""
    held: list[int] = []

    def hold(_pid: int, _number: int) -> None:
        held.append(_pid)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def be_held(text: bytes) -> bytes:
        signal.raise_signal(signal.SIGSTOP)
        return text

    kill = os.kill
    monkeypatch.setattr("pidone.bounded_search.procfs.state", lambda _: "")
    monkeypatch.setattr("pidone.bounded_search.os.kill", hold)
    told: list[str] = []
    try:
        with pytest.raises(SearchTooLongError):
            BoundedSearch(told.append).attempt_apart(be_held, b"x")
    finally:
        kill(held[0], signal.SIGKILL)
        os.waitpid(held[0], 0)
    assert told == [LATE]


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        ".",
        r"\s",
        r"\w",
        "[ab]",
        "[^b]",
        "é",
        r"\b",
        "^",
        "$",
        "(?=a)",
        "(?!b)",
        r"(?<=a)",
        "(a)",
        "(?i:A)",
    ]
)
REPEATS = st.sampled_from(["", "*", "+", "?", "*?", "+?", "*+", "{1,3}", "{2,}", "{0,1000}", "{1,30}?"])


def _repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    row = st.lists(st.tuples(inner, REPEATS), min_size=1, max_size=5).map(
        lambda parts: "".join(part + repeat for part, repeat in parts)
    )
    choice = st.lists(row, min_size=1, max_size=3).map("|".join)
    return st.one_of(row, choice.map("(?:{})".format), choice.map("({})".format), choice.map("(?>{})".format))


PATTERNS = st.recursive(ATOMS, _repeated, max_leaves=10)
TEXTS = st.builds(
    lambda piece, times, end: piece * times + end,
    st.text("ab é\tA", min_size=1, max_size=4),
    st.integers(0, 4000),
    st.text("abx#", max_size=2),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(pattern=PATTERNS, end=st.sampled_from(["", "#", "$", "x"]), text=TEXTS)
def test_any_pattern_that_is_taken_is_bounded(pattern: str, end: str, text: str) -> None:
    """And what it finds in time is what `re` finds; most find it."""
    try:
        compiled = re.compile(parse_pattern(pattern + end).encode())
    except Invalid:
        return
    line = text.encode()
    found: list[object] = []
    assert _cpu_s(lambda: found.append(_outcome(BoundedSearch(bool), compiled, line))) < ENOUGH_S
    if found != [None]:
        match = compiled.search(line)
        assert found == [match.span() if match else False]


def test_a_busy_machine_decides_nothing() -> None:
    """What waits does not look: only CPU time counts."""
    bounded = BoundedSearch(bool)
    assert bounded.attempt(time.sleep, 0.3) is None
    assert bounded.attempt(re.compile("b").search, "a") is None


def test_who_takes_too_long_too_often_has_to_rest() -> None:
    """Fifty hostile lines in a row cost what four do, and a fiftieth of a CPU from then on."""
    now = 0.0
    told: list[str] = []
    bounded = BoundedSearch(told.append, clock=lambda: now)
    search = re.compile("(.*)(.*)(.*)#").search
    for _ in range(50):
        with pytest.raises(SearchTooLongError):
            bounded.attempt(search, "a" * 4096)
    assert told == [BROKEN_OFF] * len(told)
    assert 1 <= len(told) <= 5
    with pytest.raises(SearchTooLongError):
        bounded.attempt(len, "quick")
    now = 3600.0
    assert bounded.attempt(len, "quick") == 5


def test_the_timer_and_the_handler_are_put_back() -> None:
    """Also when somebody else sends the signal, then or in the meantime."""
    heard: list[int] = []
    before = signal.signal(signal.SIGVTALRM, lambda number, _: heard.append(number))
    try:
        bounded = BoundedSearch(bool)
        with pytest.raises(SearchTooLongError):
            bounded.attempt(re.compile("(a+)+$").search, "a" * 40 + "b")
        assert bounded.attempt(len, "abc") == 3
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        assert heard == []
        signal.raise_signal(signal.SIGVTALRM)
        assert heard == [signal.SIGVTALRM]
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_what_is_looked_for_is_found_without_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sandbox refuses one, and in a thread that hears no signals."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(BoundedSearch(bool).attempt(len, "abc")))
    thread.start()
    thread.join()
    told: list[str] = []
    monkeypatch.setattr("pidone.bounded_search.signal.setitimer", refuse)
    found.append(BoundedSearch(told.append).attempt(len, "abcd"))
    assert found == [3, 4]
    assert "no limit of time here: setitimer: Operation not permitted" in told[0]


def _outcome(bounded: BoundedSearch, pattern: "re.Pattern[str] | re.Pattern[bytes]", text: object) -> object:
    """The place of a match, False if there is none, None if nobody knows."""
    try:
        match = bounded.attempt(pattern.search, text)  # type: ignore[arg-type]
    except SearchTooLongError:
        return None
    return match.span() if match else False


def _children() -> str:
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()


def _cpu_s(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began
