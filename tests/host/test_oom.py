"""A real OOM kill is recognised and named; other kills are not blamed on the kernel."""

from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL, SIGSEGV, SIGTERM

import pytest
from host.trees import lay, v2

from runtime.host.cgroup import Box
from runtime.host.oom import OomCounters, OomLedger, OomVerdict, judge, read_oom_counters

NONE = OomCounters(0, 0)
ONE = OomCounters(1, 1)


@pytest.mark.parametrize(
    ("before", "after", "number", "ours", "verdict"),
    [
        (NONE, ONE, SIGKILL, False, OomVerdict.YES),
        (OomCounters(7, 9), OomCounters(8, 10), SIGKILL, False, OomVerdict.YES),
        (ONE, ONE, SIGKILL, False, OomVerdict.NO),
        (NONE, ONE, SIGKILL, True, OomVerdict.NO),
        (NONE, ONE, SIGTERM, False, OomVerdict.NO),
        (NONE, ONE, SIGSEGV, False, OomVerdict.NO),
        (NONE, ONE, 0, False, OomVerdict.NO),
        (NONE, OomCounters(0, 5), SIGKILL, False, OomVerdict.NO),
        (OomCounters(None, 0), OomCounters(None, 1), SIGKILL, False, OomVerdict.LIKELY),
        (OomCounters(None, 1), OomCounters(None, 1), SIGKILL, False, OomVerdict.NO),
    ],
)
def test_verdict(
    before: OomCounters,
    after: OomCounters,
    number: int,
    ours: bool,  # noqa: FBT001  (a column of the table)
    verdict: OomVerdict,
) -> None:
    """Only a SIGKILL that the runtime did not send, while the container's counter moved, is an OOM kill."""
    assert judge(before, after, signal_number=number, ours=ours) is verdict


def ledger(readings: Iterable[OomCounters]) -> OomLedger:
    """A ledger that gets these readings one after the other."""
    values = iter(readings)
    return OomLedger(lambda: next(values))


def test_one_kill_explains_one_death() -> None:
    """Of two processes that died by SIGKILL after one counted kill, only the first is an OOM victim."""
    book = ledger([NONE, ONE, ONE])
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.NO


def test_two_kills_seen_at_once_explain_two_deaths() -> None:
    """The second death finds its kill although the counter did not move since the first."""
    book = ledger([NONE, OomCounters(2, 2), OomCounters(2, 2)])
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES


def test_our_own_kill_takes_no_credit() -> None:
    """A process we had killed leaves the kill to the one the kernel meant."""
    book = ledger([NONE, ONE])
    assert book.judge_exit(signal_number=SIGKILL, ours=True) is OomVerdict.NO
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES


def test_a_killed_helper_process_is_unexplained_once() -> None:
    """A kill without a death of ours is told once, and does not blame a later one."""
    book = ledger([NONE, ONE, ONE, ONE])
    assert book.outstanding() == 1
    book.settle(1)
    assert book.outstanding() == 0
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.NO


def test_a_judged_death_is_explained() -> None:
    """What was credited to a death is not told again."""
    book = ledger([NONE, ONE, ONE])
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES
    assert book.outstanding() == 0


def test_counters_are_read_from_the_group_and_the_machine(tmp_path: Path) -> None:
    """The container's kills and the machine's."""
    tree = v2("/", "/", {"memory.events": "oom 3\noom_kill 2\n"}) | {
        "/proc/vmstat": "pgfault 5\noom_kill 9\n"
    }
    assert read_oom_counters(Box.find(lay(tmp_path, tree))) == OomCounters(2, 9)


def test_without_a_memory_group_the_container_is_unknown(tmp_path: Path) -> None:
    """Unknown is not zero: then the machine's counter has to do."""
    assert read_oom_counters(Box.find(lay(tmp_path, {"/proc/vmstat": "oom_kill 9\n"}))) == OomCounters(
        None, 9
    )


def test_an_earlier_starting_point() -> None:
    """Kills of others, and of an earlier life of the container, are not credited."""
    book = OomLedger(lambda: OomCounters(6, 101), host_before=100)
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.YES
    assert book.judge_exit(signal_number=SIGKILL) is OomVerdict.NO
    elsewhere = OomLedger(lambda: OomCounters(0, 101), host_before=100)
    assert elsewhere.judge_exit(signal_number=SIGKILL) is OomVerdict.NO
