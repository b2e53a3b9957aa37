"""Order and time of a stop, of any apps whatever: also of two generations of a file beside each other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.ecosystem.spec import AppSpec, Condition, Dependency, ExecMode, Hook, RuntimeSpec
from pidone.ecosystem.stopping import (
    HOOK_KILL_AFTER,
    dependencies,
    drain_time,
    longest_chain,
    stop_time,
    time_to_stop,
)


def app(name: str, *needs: str, condition: Condition = Condition.READY, **keys: Any) -> AppSpec:
    depends_on = tuple(Dependency(app=each, condition=condition) for each in needs)
    return AppSpec(name=name, argv=("/bin/app",), depends_on=depends_on, **{"kill_timeout": 8.0, **keys})


def names(apps: list[AppSpec]) -> dict[str, set[str]]:
    return {key[1]: {other[1] for other in needed} for key, needed in dependencies(apps).items()}


def test_names_mean_the_own_namespace_first() -> None:
    """As when they start."""
    here, there = app("db", namespace="b"), app("db", namespace="a")
    api = app("api", "db", namespace="a")
    assert dependencies([here, there, api])[api.key()] == {there.key()}


def test_an_app_that_is_gone_orders_nobody() -> None:
    """A reload dropped it, and the reload of who names it has failed."""
    assert names([app("api", "db")]) == {"api": set()}


def test_a_circle_is_cut() -> None:
    """Two generations may name each other: whoever is not ordered then stops at once, and nothing raises."""
    graph = names([app("a", "b"), app("b", "c"), app("c", "a")])
    assert sorted(len(needed) for needed in graph.values()) == [0, 1, 1]
    assert names([app("a", "a")]) == {"a": set()}


NAMES = ["a", "b", "c", "d", "e"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from([*NAMES, "gone"]))), max_size=6))
def test_every_graph_can_be_stopped(found: list[tuple[str, list[str]]]) -> None:
    """Whatever names whom, somebody always is needed by nobody, until nobody is left."""
    apps = list({name: app(name, *needs) for name, needs in found}.values())
    graph = dict(dependencies(apps))
    while graph:
        needed = set().union(*graph.values())
        free = [key for key in graph if key not in needed]
        assert free
        for key in free:
            del graph[key]
    assert longest_chain(apps) <= 8.0 * len(apps)


def test_the_time_of_a_stop_is_that_of_the_longest_chain() -> None:
    """Dependents stop first, each with its drain, its own stop and its hooks; others stop beside them.

    A hook that ignores the SIGTERM of its timeout has HOOK_KILL_AFTER on top.
    """
    hooks = {"pre_stop": Hook(command=("x",), timeout=5.0)}
    chain = [
        app("db"),
        app("api", "db", drain_timeout=20.0, kill_timeout=3.0),
        app("web", "api", hooks=hooks),
    ]
    beside = app("job", kill_timeout=30.0)
    assert longest_chain([*chain, beside]) == 8 + (20 + 3) + (8 + 5 + HOOK_KILL_AFTER)
    assert stop_time(RuntimeSpec(), chain, 4.0) == 4 + 44 + HOOK_KILL_AFTER + 1
    assert stop_time(RuntimeSpec(shutdown_timeout=9.0), chain, 4.0) == 9.0


def test_a_job_that_had_to_be_completed_adds_nothing() -> None:
    """A migration has ended long ago when its dependents stop."""
    assert longest_chain([app("migrate"), app("api", "migrate", condition=Condition.COMPLETED)]) == 8.0


@pytest.mark.parametrize("drained_for", [0.0, 0.5, 6.0])
def test_drain_and_stop_share_the_time_unless_a_drain_has_its_own(drained_for: float) -> None:
    """So that a container of one app with the defaults keeps to the ten seconds of Docker."""
    shared = app("web", exec_mode=ExecMode.CLUSTER)
    assert drain_time(shared) + time_to_stop(shared, drain_time(shared)) == shared.kill_timeout
    assert drained_for + time_to_stop(shared, drained_for) == shared.kill_timeout
    own = shared.but(drain_timeout=20.0)
    assert (drain_time(own), time_to_stop(own, drained_for)) == (20.0, 8.0)
    assert stop_time(RuntimeSpec(), [shared], 0.0) < 10.0
