"""The guard of the container: whom it recycles when all of them together use too much."""

from supervise.memory_history import FULL, MIB, NINETY, ROOMY, History, recycled, spec

from pidone.contracts import InstanceId
from pidone.host.memory import Memory
from pidone.supervise.memory.policy import Act, Wish

CACHE = Memory(limit=1000 * MIB, usage=990 * MIB, inactive_file=500 * MIB)
NO_LIMIT = spec()


def two_apps(history: History, api: int, worker: int, memory: Memory) -> list[Wish]:
    """One sample of two apps of one instance each."""
    return history.sample_all(
        {InstanceId("api", 0, 1): api * MIB, InstanceId("worker", 0, 1): worker * MIB}, memory
    )


def test_the_guard_recycles_the_largest_that_has_grown() -> None:
    """At 90% of the container the largest instance goes, whatever its app, and with no limit of its own."""
    history = History(NO_LIMIT, apps=("api", "worker"), guard=NINETY)
    assert two_apps(history, 100, 100, ROOMY) == []
    (decision,) = two_apps(history, 300, 600, FULL)
    assert decision.act is Act.REPLACE
    assert decision.who == InstanceId("worker", 0, 1)
    assert decision.reason == "memory_guard"
    assert decision.message == (
        "the container uses 940 MiB, memory_guard is 900 MiB: "
        "it is being restarted, as the container has no room for two of them"
    )


def test_the_guard_starts_the_new_one_beside_the_old_only_where_there_is_room() -> None:
    """A copy that would not fit causes the very OOM kill that the guard is there to prevent."""
    for start_size, overlap in ((50, True), (80, False)):
        history = History(NO_LIMIT, guard=NINETY)
        assert history.sample(start_size) == []
        (decision,) = history.sample(700, memory=FULL)
        assert decision.act is Act.REPLACE
        assert decision.overlap is overlap


def test_the_guard_ignores_page_cache() -> None:
    """Inactive file pages go by themselves."""
    history = History(NO_LIMIT, guard=NINETY)
    assert history.sample(100) == []
    assert history.sample(400, memory=CACHE) == []


def test_the_guard_waits_for_what_it_started() -> None:
    """One replacement at a time in the whole container, and a pause to see its effect."""
    history = History(NO_LIMIT, apps=("api", "worker"), guard=NINETY)
    assert two_apps(history, 100, 100, ROOMY) == []
    (first,) = recycled(two_apps(history, 300, 600, FULL))
    history.now += 20
    assert two_apps(history, 300, 600, FULL) == []  # still under way
    history.replace(first)
    (second,) = recycled(two_apps(history, 300, 600, FULL))
    assert second.app == "api"
    history.replace(second)
    assert history.sample_all({}, FULL) == []  # within the pause


def test_the_guard_says_so_once_when_nobody_has_grown() -> None:
    """Where recycling frees nothing it is not done over and over."""
    history = History(NO_LIMIT, guard=NINETY)
    decisions = [decision for _ in range(10) for decision in history.sample(900, memory=FULL)]
    assert [(wish.act, wish.event, wish.who) for wish in decisions] == [(Act.TELL, "runtime.memory", None)]
    assert decisions[0].message.startswith("the container uses 940 MiB, memory_guard is 900 MiB, and no")


def test_the_guard_needs_a_limit() -> None:
    """Where the container has no limit there is nothing to guard."""
    history = History(NO_LIMIT, guard=NINETY)
    history.sample(10)
    assert history.sample(900, memory=Memory(usage=990 * MIB, host_total=1000 * MIB)) == []
    assert history.sample(900, memory=Memory()) == []
