"""Limits: too many lines, a stdout that does not keep up, what is remembered, and who follows."""

import json
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs.relaying import Reader, app, stage

from pidone.logs import app_streams
from pidone.logs.history import FOLLOWER_LIMIT, KEPT, History
from pidone.logs.limits import RateLimit


def test_a_rate_limit_lets_the_first_lines_pass_and_reports_the_rest() -> None:
    """What was dropped is counted, per app and stream, and told in a record."""
    with stage() as it:
        outlet = it.open(app(rate_limit=100))
        it.say(outlet, b"".join(b"%d\n" % n for n in range(1000)))
        outlet.spawned(1)
        outlet.finish()
        counts = it.relay.counts()[("default", "api"), "stdout"]
        assert (counts.lines, counts.dropped) == (1000, 900)
        it.turn(lambda: b"log.dropped" in it.relay.last())
        *lines, report = it.records()
        assert [r["message"] for r in lines] == [str(n) for n in range(100)]
        assert (report["event"], report["lines"], report["reason"]) == ("log.dropped", 900, "rate_limit")


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50)), max_size=40))
def test_no_window_admits_more_than_its_share(history: list[tuple[float, int]]) -> None:
    """Never more than a burst of one second plus the rate over the time."""
    now, admitted = [0.0], 0
    limit = RateLimit(20, lambda: now[0])
    for pause, count in history:
        now[0] += pause
        passed, dropped = limit.admit(b"x\n" * count)
        assert passed.count(b"\n") + dropped == count
        admitted += passed.count(b"\n")
    assert admitted <= 20 + 20 * now[0] + 1


def test_overflow_drop_keeps_the_app_going_and_says_what_is_missing() -> None:
    """With a stalled stdout the app finishes; lines that did not fit are counted and reported."""
    read, write = os.pipe()
    with stage(stdout_fd=write) as it:
        it.spawn(app(overflow="drop"), ["seq", "200000"])
        it.run()
        reader = Reader(read)
        it.turn(lambda: b"log.dropped" in it.relay.last())
        it.close()
        os.close(write)
        records = [json.loads(line) for line in reader.join().splitlines()]
        os.close(read)
    got = [int(r["message"]) for r in records if "event" not in r]
    dropped = sum(r["lines"] for r in records if r.get("event") == "log.dropped")
    assert dropped > 0
    assert got == sorted(got)
    assert len(got) + dropped == 200_000


TRACE = "Traceback (most recent call last):\\n  File x\\nKeyError"


@pytest.mark.parametrize(
    "keys",
    [
        {"rate_limit": 5000},
        {"rate_limit": 5000, "multiline": "auto"},
        {"overflow": "drop"},
        {"overflow": "drop", "multiline": "auto"},
        {"overflow": "drop", "rate_limit": 150_000},
    ],
    ids=str,
)
def test_what_is_missing_adds_up_with_what_is_there(keys: dict[str, Any]) -> None:
    """Lines in are lines out and lines reported as dropped; also of long lines, traces, and at the end."""
    source = (
        "import sys\n"
        "for n in range(40_000):\n"
        f"    print(f'{{n}}\\n{TRACE}' if n % 3 else 'x' * 30_000 if n % 500 == 0 else n)\n"
    )
    written = 40_000 + 3 * len([n for n in range(40_000) if n % 3])
    read, write = os.pipe()
    with stage(stdout_fd=write) as it:
        it.spawn(app(**keys), [sys.executable, "-c", source])
        if "overflow" in keys:
            it.run()
            reader = Reader(read)
        else:
            reader = Reader(read)
            it.run()
        counts = it.relay.counts()[("default", "api"), "stdout"]
        it.close()
        os.close(write)
        records = [json.loads(line) for line in reader.join().splitlines()]
        os.close(read)
    assert records[-1]["event"] == "instance.exit"
    reports = [r for r in records if r.get("event") == "log.dropped"]
    dropped = sum(r["lines"] for r in reports)
    out = sum(
        1 + r["message"].count("\n") for r in records if "event" not in r and not r.get("partial", False)
    )
    assert (counts.lines, counts.dropped) == (written, dropped)
    assert out + dropped == written
    assert dropped > 0
    assert {r["reason"] for r in reports} <= keys.keys()


def test_a_long_line_counts_as_one_for_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records it makes; one that is refused leaves none."""
    # The clock stands: half a second would earn the third line its place.
    monkeypatch.setattr(app_streams, "RateLimit", lambda rate, _clock: RateLimit(rate, lambda: 0.0))
    with stage() as it:
        outlet = it.open(app(rate_limit=2))
        keep = os.dup(outlet.stdout)
        outlet.spawned(1)
        counts = it.relay.counts()[("default", "api"), "stdout"]

        def say(letter: bytes) -> None:
            before = counts.bytes
            os.write(keep, letter * 100_000)
            it.turn(lambda: counts.bytes > before + 80_000)
            os.write(keep, b"\n")

        for letter in (b"a", b"b", b"c"):
            say(letter)
        os.close(keep)
        outlet.finish()
        *records, report = it.records()
    assert "".join(r["message"] for r in records) == "a" * 100_000 + "b" * 100_000
    assert (report["event"], report["lines"]) == ("log.dropped", 1)


def test_the_last_records_are_remembered_within_bounds() -> None:
    """The newest lines of each app, in the order they came when all are asked for."""
    history = History()
    for number in range(50_000):
        history.add(("", "ab"[number % 2]), b"%d\n" % number)
    last = history.last(("", "a"))
    assert last.endswith(b"49996\n49998\n")
    assert KEPT - 7 < len(last) <= KEPT
    numbers = [int(n) for n in history.last().split()]
    assert numbers == sorted(numbers)
    history.add(("", "a"), b"".join(b"%06d\n" % n for n in range(100_000)))
    assert KEPT - 7 < len(history.last(("", "a"))) <= KEPT


def test_a_follower_gets_new_records_and_is_dropped_when_it_is_slow() -> None:
    """A slow follower costs at most its bound and never anybody's time."""
    history, woken = History(), []
    follower = history.follow(lambda: woken.append(1), ("", "a"))
    history.add(("", "a"), b"one\n")
    history.add(("", "b"), b"other\n")
    history.add(("", "a"), b"two\n")
    assert (follower.take(), len(woken)) == (b"one\ntwo\n", 1)
    for _ in range(FOLLOWER_LIMIT // 1000 + 2):
        history.add(("", "a"), b"x" * 999 + b"\n")
    assert follower.lost
    assert len(follower.take()) <= FOLLOWER_LIMIT


def test_a_log_line_can_be_waited_for() -> None:
    """on_line sees the lines until it has seen enough."""
    seen: list[str] = []

    def on_line(line: str) -> bool:
        seen.append(line)
        return line == "ready"

    with stage() as it:
        outlet = it.open(app(), on_line=on_line)
        it.say(outlet, b"one\nready\nmore\n")
        outlet.spawned(1)
        outlet.finish()
    assert seen == ["one", "ready"]
