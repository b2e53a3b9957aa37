"""Schedules: every form of an expression, both changes of the clock, overlaps, clocks that are set."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.ecosystem.cron import Schedule, parse_schedule
from pidone.ecosystem.spec import Overlap
from pidone.errors import ConfigError
from pidone.supervise.times.schedule import (
    LONGEST_WAIT,
    Due,
    RunDecision,
    Runs,
    Timetable,
)

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def at(text: str) -> datetime:
    """A moment with its offset, such as `2024-03-31T01:59:00+01:00`."""
    return datetime.fromisoformat(text)


def times(text: str, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next `count` times as text with their offsets."""
    schedule, moment, found = parse_schedule(text, zone), at(start), []
    for _ in range(count):
        following = schedule.next_after(moment)
        assert following is not None
        assert following > moment
        moment = following
        found.append(moment.astimezone(zone).isoformat())
    return found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("*/5 * * * *", "2024-06-12T10:05:00+02:00"),
        ("0 3 * * *", "2024-06-13T03:00:00+02:00"),
        ("30 4 * * mon-fri", "2024-06-13T04:30:00+02:00"),
        ("0 0 1,15 * *", "2024-06-15T00:00:00+02:00"),
        ("0 12 29 2 *", "2028-02-29T12:00:00+01:00"),
        ("0 0 L * *", "2024-06-30T00:00:00+02:00"),
        ("0 9 * * mon#1", "2024-07-01T09:00:00+02:00"),
        ("0 0 ? * 7", "2024-06-16T00:00:00+02:00"),
        ("0 0 * * 7", "2024-06-16T00:00:00+02:00"),
        ("*/10 * * * * *", "2024-06-12T10:00:40+02:00"),
        ("15,45 0 * * * *", "2024-06-12T10:00:45+02:00"),
        ("0 30 2 * * *", "2024-06-13T02:30:00+02:00"),
        ("@hourly", "2024-06-12T11:00:00+02:00"),
        ("@daily", "2024-06-13T00:00:00+02:00"),
        ("@midnight", "2024-06-13T00:00:00+02:00"),
        (" @Weekly ", "2024-06-16T00:00:00+02:00"),
        ("@monthly", "2024-07-01T00:00:00+02:00"),
        ("@yearly", "2025-01-01T00:00:00+01:00"),
    ],
)
def test_next_time(text: str, first: str) -> None:
    """Five fields, six with seconds first, names, and the @ forms."""
    assert times(text, "2024-06-12T10:00:33.5+02:00", 1) == [first]


def test_strictly_after() -> None:
    """A run that starts on the dot does not find itself again."""
    assert times("0 3 * * *", "2024-06-12T03:00:00+02:00", 1) == ["2024-06-13T03:00:00+02:00"]
    assert times("0 3 * * *", "2024-06-12T02:59:59.999+02:00", 1) == ["2024-06-12T03:00:00+02:00"]


@pytest.mark.parametrize("text", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_the_spring_skips_runs_right_after_the_change(text: str) -> None:
    """02:30 does not exist on 31 March 2024 in Berlin: the job runs at 03:00, and once."""
    assert times(text, "2024-03-30T12:00:00+01:00", 3) == [
        "2024-03-31T03:00:00+02:00",
        "2024-04-01T02:30:00+02:00",
        "2024-04-02T02:30:00+02:00",
    ]


def test_a_time_with_seconds_that_the_spring_skips() -> None:
    """A sixth field changes nothing about that."""
    assert times("20 30 2 * * *", "2024-03-31T01:00:00+01:00", 1) == ["2024-03-31T03:00:20+02:00"]


@pytest.mark.parametrize("text", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_the_autumn_repeats_runs_once(text: str) -> None:
    """02:30 comes twice on 27 October 2024 in Berlin; the job runs at the first."""
    assert times(text, "2024-10-26T12:00:00+02:00", 2) == [
        "2024-10-27T02:30:00+02:00",
        "2024-10-28T02:30:00+01:00",
    ]
    assert times(text, "2024-10-27T02:10:00+01:00", 1) == ["2024-10-28T02:30:00+01:00"]


def test_frequent_jobs_keep_their_pace_through_both_changes() -> None:
    """Every 30 minutes is every 30 minutes of real time."""
    for start in ("2024-03-31T00:45:00+01:00", "2024-10-27T01:45:00+02:00"):
        moments = [at(text) for text in times("*/30 * * * *", start, 8)]
        assert {b - a for a, b in pairwise(moments)} == {timedelta(minutes=30)}


def test_hourly_in_autumn_runs_in_both_equal_hours() -> None:
    """`0 * * * *` runs at 02:00 summer time and at 02:00 winter time."""
    assert times("0 * * * *", "2024-10-27T01:30:00+02:00", 3) == [
        "2024-10-27T02:00:00+02:00",
        "2024-10-27T02:00:00+01:00",
        "2024-10-27T03:00:00+01:00",
    ]


def test_other_zones_change_elsewhere() -> None:
    """New York's spring is on 10 March 2024; Lord Howe changes by half an hour."""
    assert times("30 2 * * *", "2024-03-09T12:00:00-05:00", 1, NEW_YORK) == ["2024-03-10T03:00:00-04:00"]
    assert times("15 2 * * *", "2024-10-05T12:00:00+10:30", 1, LORD_HOWE) == ["2024-10-06T02:30:00+11:00"]


def test_the_zone_of_the_question_does_not_matter() -> None:
    """The same moment written in UTC gets the same answer."""
    schedule = parse_schedule("0 3 * * *", BERLIN)
    moment = at("2024-06-12T10:00:00+02:00")
    assert schedule.next_after(moment) == schedule.next_after(moment.astimezone(UTC))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "number of fields"),
        ("* * * *", "number of fields"),
        ("* * * * * * *", "number of fields"),
        ("61 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * funday", "bad day-of-week"),
        ("60 * * * * *", "bad second"),
        ("*/0 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("every day", "number of fields"),
        ("@fortnightly", "@daily"),
        ("@reboot", "is unknown"),
        ("0 0 */29 2 mon#5", "never comes true"),
    ],
)
def test_nonsense(text: str, problem: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(ConfigError, match=problem):
        parse_schedule(text, BERLIN)


@given(st.text(alphabet="0123456789*/,-LW#@ MONdaily", max_size=24))
def test_any_text_is_a_schedule_or_a_config_error(text: str) -> None:
    """Nothing else is ever raised, and what is accepted has a next time."""
    try:
        schedule = parse_schedule(text, BERLIN)
    except ConfigError:
        return
    assert schedule.next_after(at("2024-06-12T10:00:00+02:00"))


FIELD = st.sampled_from(["*", "*/7", "0", "30", "2", "1-3", "5,20"])


@given(
    st.tuples(FIELD, st.sampled_from(["*", "2", "*/2", "1-3", "2,14"])),
    st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE]),
    st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 30)),  # noqa: DTZ001 (hypothesis wants naive bounds)
)
def test_times_only_go_forward(fields: tuple[str, str], zone: ZoneInfo, naive: datetime) -> None:
    """From any moment of a year with two changes, each next time is later, and asking in between agrees."""
    schedule = parse_schedule(f"{fields[0]} {fields[1]} * * *", zone)
    moment = naive.replace(tzinfo=UTC)
    for _ in range(5):
        following = schedule.next_after(moment)
        assert following is not None
        assert following > moment
        middle = moment + (following - moment) / 2
        assert schedule.next_after(middle) == following
        moment = following


NOON = datetime(2024, 6, 12, 12, tzinfo=UTC)


def hourly() -> Schedule:
    """At every full hour."""
    return parse_schedule("0 * * * *", BERLIN)


def test_timetable_waits_for_the_next_time() -> None:
    """It wakes at least every minute, is due at the time and not before, and then looks at the next."""
    table = Timetable(hourly(), NOON)
    assert table.wait(NOON) == LONGEST_WAIT
    assert table.take(NOON) is None
    almost = NOON + timedelta(minutes=59, seconds=30)
    assert table.wait(almost) == 30
    due = NOON + timedelta(hours=1)
    assert table.wait(due) == 0
    assert table.take(due + timedelta(seconds=2)) == Due(late=2, missed=False)
    assert table.take(due + timedelta(seconds=2)) is None
    assert table.next == due + timedelta(hours=1)


def test_missed_times_count_as_one() -> None:
    """After two hours of sleep (a laptop, a paused container) one run is made up for."""
    table = Timetable(hourly(), NOON)
    now = NOON + timedelta(hours=2, minutes=30)
    taken = table.take(now)
    assert taken is not None
    assert not taken.missed
    assert table.take(now) is None
    assert table.next == NOON + timedelta(hours=3)


def test_what_is_late_by_hours_is_left_out() -> None:
    """A nightly restart does not hit the morning's traffic because the container was paused all night."""
    table = Timetable(parse_schedule("0 3 * * *", BERLIN), NOON)
    taken = table.take(NOON + timedelta(hours=21))
    assert taken is not None
    assert taken.missed


def test_a_clock_set_back_a_little_repeats_nothing() -> None:
    """Times that come again after a correction have run already."""
    table = Timetable(hourly(), NOON)
    assert table.take(NOON + timedelta(hours=1))
    assert table.take(NOON + timedelta(minutes=50)) is None
    assert table.take(NOON + timedelta(hours=1)) is None
    assert table.next == NOON + timedelta(hours=2)


def test_a_clock_set_back_by_years_starts_anew() -> None:
    """A container that started with a wrong clock does not wait for years."""
    table = Timetable(hourly(), NOON.replace(year=2031))
    assert table.take(NOON) is None
    assert table.next == NOON + timedelta(hours=1)


def test_a_schedule_that_never_comes_again_waits_for_ever() -> None:
    """The first of a month is never its fifth Monday; the library looks 50 years ahead."""
    never = Schedule("never", minutes="0 0 */29 2 mon#5", seconds=(0,), zone=BERLIN)
    table = Timetable(never, NOON)
    assert table.next is None
    assert table.wait(NOON) is None
    assert table.take(NOON) is None


def test_overlap_skip() -> None:
    """What is due during a run is left out."""
    runs = Runs(Overlap.SKIP)
    assert [runs.due(), runs.due(), runs.due()] == [RunDecision.START, RunDecision.SKIP, RunDecision.SKIP]
    assert runs.ended() is False
    assert runs.due() is RunDecision.START


def test_overlap_queue() -> None:
    """One run waits for the end of the other, and only one."""
    runs = Runs(Overlap.QUEUE)
    assert [runs.due(), runs.due(), runs.due()] == [RunDecision.START, RunDecision.WAIT, RunDecision.SKIP]
    assert runs.ended() is True
    assert runs.running
    assert runs.ended() is False
    assert not runs.running


def test_overlap_replace() -> None:
    """The old run is stopped, once, and the new one starts when it has ended."""
    runs = Runs(Overlap.REPLACE)
    assert [runs.due(), runs.due(), runs.due()] == [RunDecision.START, RunDecision.STOP, RunDecision.SKIP]
    assert runs.ended() is True
    assert [runs.due()] == [RunDecision.STOP]


@given(st.sampled_from(list(Overlap)), st.lists(st.sampled_from(["due", "ended"]), max_size=30))
def test_any_history_never_runs_two_at_once(overlap: Overlap, events: list[str]) -> None:
    """Starts and ends alternate, whatever the order of events."""
    runs, alive = Runs(overlap), 0
    for event in events:
        if event == "due":
            alive += runs.due() is RunDecision.START
        elif alive:
            alive += runs.ended() - 1
        assert alive in (0, 1)
        assert runs.running is bool(alive)
