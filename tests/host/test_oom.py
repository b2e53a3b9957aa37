"""A real OOM kill is recognised and named; other kills are not blamed on the kernel."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from host.trees import CONTAINER, hybrid, lay, v1, v2

from pidone.host.cgroup import Box
from pidone.host.oom import OomCounters, OomLedger, OomVerdict, judge, read_oom_counters

NONE = OomCounters(0, 0)
ONE = OomCounters(1, 1)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (NONE, ONE, OomVerdict.YES),
        (OomCounters(7, 9), OomCounters(8, 10), OomVerdict.YES),
        (ONE, ONE, OomVerdict.NO),
        (NONE, OomCounters(0, 5), OomVerdict.NO),
        (OomCounters(None, 0), OomCounters(None, 1), OomVerdict.LIKELY),
        (OomCounters(None, 1), OomCounters(None, 1), OomVerdict.NO),
    ],
)
def test_verdict(before: OomCounters, after: OomCounters, verdict: OomVerdict) -> None:
    """Only a death while the container's counter moved is an OOM kill."""
    assert judge(before, after) is verdict


def ledger(readings: Iterable[OomCounters]) -> OomLedger:
    """A ledger that gets these readings one after the other."""
    values = iter(readings)
    return OomLedger(lambda: next(values))


def test_one_kill_explains_one_death() -> None:
    """Of two processes that died by SIGKILL after one counted kill, only the first is an OOM victim."""
    book = ledger([NONE, ONE, ONE])
    assert book.judge_exit() is OomVerdict.YES
    assert book.judge_exit() is OomVerdict.NO


def test_two_kills_seen_at_once_explain_two_deaths() -> None:
    """The second death finds its kill although the counter did not move since the first."""
    book = ledger([NONE, OomCounters(2, 2), OomCounters(2, 2)])
    assert book.judge_exit() is OomVerdict.YES
    assert book.judge_exit() is OomVerdict.YES


def test_a_killed_helper_process_is_unexplained_once() -> None:
    """A kill without a death of ours is told once, and does not blame a later one."""
    book = ledger([NONE, ONE, ONE, ONE])
    assert book.outstanding() == 1
    book.settle(1)
    assert book.outstanding() == 0
    assert book.judge_exit() is OomVerdict.NO


def test_a_judged_death_is_explained() -> None:
    """What was credited to a death is not told again."""
    book = ledger([NONE, ONE, ONE])
    assert book.judge_exit() is OomVerdict.YES
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


def _v1(place: str) -> str:
    return f"/sys/fs/cgroup/memory{place}/memory.oom_control"


def _v2(place: str) -> str:
    return f"/sys/fs/cgroup{place}/memory.events"


DOCKER = f"/docker/{CONTAINER}"
SERVICE = "/system.slice/web.service"
BURSTABLE = "/kubepods.slice/pod1.slice/cri-1.scope"
CONTAINERS = {
    "v1 in the host's namespace": (v1(DOCKER, DOCKER, {}), _v1("")),
    "v1 in a private namespace": (v1("/", "/", {}), _v1("")),
    "v1 with the whole tree in sight": (v1(DOCKER, "/", {}), _v1(DOCKER)),
    "v2 in a private namespace": (v2("/", "/", {}), _v2("")),
    "v2 in the host's namespace": (v2(DOCKER, "/", {}), _v2(DOCKER)),
    "v2 in a pod, seen from the host's namespace": (v2(BURSTABLE, "/", {}), _v2(BURSTABLE)),
    "v2, the kill in a group below the container's": (v2("/app", "/", {}), _v2("")),
    "hybrid": (hybrid(SERVICE, {}), _v1(SERVICE)),
}


@pytest.mark.parametrize(("tree", "counter"), CONTAINERS.values(), ids=CONTAINERS)
def test_a_kill_is_recognised_in_every_kind_of_container(
    tmp_path: Path, tree: dict[str, str], counter: str
) -> None:
    """Wherever the kernel counts it; what the machine counted elsewhere meanwhile plays no part."""
    shown = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n" if "oom_control" in counter else "oom_kill {}\n"

    def have(container: int, machine: int) -> None:
        lay(tmp_path, {counter: shown.format(container), "/proc/vmstat": f"oom_kill {machine}\n"})

    lay(tmp_path, tree)
    have(3, 10)
    box = Box.find(tmp_path)
    ledger = OomLedger(lambda: read_oom_counters(box))
    have(3, 11)
    assert ledger.judge_exit() is OomVerdict.NO
    have(4, 12)
    assert ledger.judge_exit() is OomVerdict.YES
    assert ledger.judge_exit() is OomVerdict.NO


@pytest.mark.parametrize(
    "tree",
    [
        {"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": ""},
        v2("/", "/", {}),
        v1("/", "/", {}, controllers=("cpu,cpuacct", "pids")),
    ],
    ids=["nothing mounted", "the memory controller is not delegated", "v1 without the memory controller"],
)
def test_without_a_counter_of_its_own_the_machines_makes_it_likely(
    tmp_path: Path, tree: dict[str, str]
) -> None:
    """More than a guess cannot be had there, and it is called one."""
    lay(tmp_path, {**tree, "/proc/vmstat": "oom_kill 10\n"})
    box = Box.find(tmp_path)
    ledger = OomLedger(lambda: read_oom_counters(box))
    assert ledger.judge_exit() is OomVerdict.NO
    lay(tmp_path, {"/proc/vmstat": "oom_kill 11\n"})
    assert ledger.judge_exit() is OomVerdict.LIKELY


def test_an_earlier_starting_point() -> None:
    """Kills of others, and of an earlier life of the container, are not credited."""
    book = OomLedger(lambda: OomCounters(6, 101), host_before=100)
    assert book.judge_exit() is OomVerdict.YES
    assert book.judge_exit() is OomVerdict.NO
    elsewhere = OomLedger(lambda: OomCounters(0, 101), host_before=100)
    assert elsewhere.judge_exit() is OomVerdict.NO
