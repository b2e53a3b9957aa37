"""Scenario 2, the delivery backend: API, aggregator and worker."""

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import harness
import pytest
from clusters.load import Load
from harness import eventually, free_port
from scenarios.driving import System, request, running

FIGURES = ("cpu_percent", "memory_bytes")
CONFIGS = ["delivery/ecosystem.toml", "delivery/ecosystem.config.js"]


@pytest.fixture(params=CONFIGS)
def delivery(request: pytest.FixtureRequest, redis: str) -> Iterator[tuple[System, int]]:
    """The running system and its port."""
    port = free_port()
    with running(request.param, "--env", "production", PORT=str(port), REDIS_URL=redis) as system:
        system.online("aggregator")
        system.online("worker")
        system.online("api", system.cpus())
        # Without a readiness report an app is online after a second, which may be before it handles signals.
        for queue in ("events", "work"):
            system.run.expect(message=f"consuming {queue}")
        yield system, port


def test_an_api_on_every_cpu_one_aggregator_and_one_worker(delivery: tuple[System, int]) -> None:
    """`max` is the number of CPUs of this container; the others are single."""
    system, port = delivery
    cpus = system.cpus()
    counts = {app: len(system.pids(app)) for app in ("api", "aggregator", "worker")}
    assert counts == {"api": cpus, "aggregator": 1, "worker": 1}
    assert request(port, "/health").status == 200
    system.stop()
    assert system.ends() == {("api", 0): cpus, ("aggregator", 0): 1, ("worker", 0): 1}


def test_the_api_starts_last_and_stops_first(redis: str) -> None:
    """With `depends_on`, which PM2 does not have: the API waits until the others are ready."""
    port = free_port()
    with running("delivery/ecosystem.toml", PORT=str(port), REDIS_URL=redis) as system:
        system.online("api", system.cpus())
        told = [(record.get("event"), record.get("app")) for record in system.run.records]
        first_start = told.index(("instance.start", "api"))
        for app in ("aggregator", "worker"):
            assert told.index(("instance.online", app)) < first_start
        assert system.stop()[0] == "api"


def test_sessions_and_work_do_not_depend_on_the_instance(delivery: tuple[System, int]) -> None:
    """A hundred users at once: a session is known everywhere, every delivery is counted and assigned once."""
    system, port = delivery
    tokens = [request(port, "/login", {"user": f"user {n}"}).body["token"] for n in range(20)]

    def use(n: int) -> tuple[int, str]:
        me = request(port, "/me", **{"x-session": tokens[n % 20]})
        assert me.body["user"] == f"user {n % 20}"
        order = request(port, "/deliveries", {"city": f"city {n % 3}"})
        return order.status, me.body["answered_by"]

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(use, range(300)))
    assert Counter(status for status, _ in done) == {202: 300}
    answered = {int(instance) for _, instance in done}

    def known_everywhere() -> bool:
        # On a busy machine one may answer many before it is the other's turn.
        with ThreadPoolExecutor(16) as pool:
            burst = pool.map(lambda n: request(port, "/me", **{"x-session": tokens[n % 20]}), range(64))
            answered.update(int(me.body["answered_by"]) for me in burst)
        return answered == set(system.pids("api"))

    eventually(known_everywhere, "answers of every instance")

    def settled() -> bool:
        stats = request(port, "/stats").body
        return bool(stats.get("deliveries") == stats.get("assigned") == 300)

    eventually(settled, "everything counted and assigned")
    assert request(port, "/stats").body["city:city 0"] == 100


def assigned(port: int, count: int) -> bool:
    """Whether the worker has done this much."""
    return bool(request(port, "/stats").body.get("assigned") == count)


def test_each_part_is_replaced_after_kill_9(delivery: tuple[System, int]) -> None:
    """Only the part that died is replaced, and the work goes on."""
    system, port = delivery
    parts = ("api", "aggregator", "worker")
    for done, app in enumerate(parts):
        before = {name: system.pids(name) for name in parts}
        successor = system.kill(app)
        assert {name: system.pids(name) for name in parts} == {**before, app: {**before[app], 0: successor}}
        assert request(port, "/deliveries", {"city": "x"}).status == 202
        wanted = partial(assigned, port, done + 1)
        eventually(wanted, "the work is done")
    system.stop(signal.SIGINT)


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "one request per connection"])
def test_a_restart_without_downtime(delivery: tuple[System, int], *, keep_alive: bool) -> None:
    """A hundred users while every API process is replaced: no request fails."""
    system, port = delivery
    before = system.pids("api")
    with Load(port, keep_alive=keep_alive, clients=100, path="/health", pause=0.05) as load:
        load.more(200)
        system.command("reload", "api")
        load.more(200)
        failures = load.finish()
        assert failures == [], system.story()
    assert not set(system.pids("api").values()) & set(before.values())
    system.stop()


def measured(looks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The apps of the last look, if it has figures of all."""
    apps: list[dict[str, Any]] = looks[-1]["apps"] if looks else []
    figures = [instance[key] for app in apps for instance in app["instances"] for key in FIGURES]
    return [] if None in figures else apps


def test_monit_shows_every_process_and_what_it_uses(delivery: tuple[System, int]) -> None:
    """The API on each CPU, aggregator and worker: all online, with memory and CPU."""
    system, _ = delivery
    system.run.expect(event="control.listening")
    with harness.Running([harness.PIDONE, "monit", "--json"], env=system.environ) as monit:
        apps = eventually(lambda: measured(monit.records), "figures of all")
        monit.signal(signal.SIGINT)
        monit.wait()
    counts = {app["name"]: len(app["instances"]) for app in apps}
    assert counts == {"api": system.cpus(), "aggregator": 1, "worker": 1}
    assert {instance["state"] for app in apps for instance in app["instances"]} == {"online"}
    system.stop()
