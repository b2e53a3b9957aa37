"""Scenario 4, five services in one ecosystem."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from clusters.load import Load
from harness import eventually, free_port
from scenarios.driving import System, listens, request, running

SERVICES = ["auth", "backend", "ai", "data-sources", "gateway"]
PORTS = ["GATEWAY_PORT", "AUTH_PORT", "BACKEND_PORT", "AI_PORT", "DATA_PORT"]
FORMATS = ["toml", "config.js"]


@pytest.fixture
def ports() -> dict[str, str]:
    """A free port for each service."""
    return {name: str(free_port()) for name in PORTS}


@pytest.fixture
def services(ports: dict[str, str]) -> Iterator[System]:
    """All five, online, by PM2's file; the other is tried where the gateway opens last, and alone."""
    with running("services/ecosystem.config.js", **ports) as system:
        for name in SERVICES:
            system.online(name, system.cpus() if name == "backend" else 2)
        # PM2 takes a program of another language as online after a second, whether it listens or not.
        for said in ("ai listens", "data listens"):
            system.run.expect(message=said, count=2)
        yield system


def test_clients_reach_every_service_through_the_gateway(services: System, ports: dict[str, str]) -> None:
    """Five services, two languages, one door."""
    gateway = int(ports["GATEWAY_PORT"])
    assert request(gateway, "/backend/orders").body["path"] == "/orders"
    assert request(gateway, "/ai/hello").body["score"] == len("/hello")
    assert request(gateway, "/data/").body["sources"] == ["weather", "traffic", "parcels"]
    signed = request(gateway, "/auth/sign", {"user": "ann"})
    assert signed.status == 201
    assert request(gateway, "/auth/check", signed.body).status == 200
    assert request(gateway, "/auth/check", {"user": "bob", "token": signed.body["token"]}).status == 403
    services.stop()


def test_the_gateway_opens_last_and_closes_first(ports: dict[str, str]) -> None:
    """With `depends_on`, which PM2 does not have: nobody meets a gateway without services behind it."""
    with running("services/ecosystem.toml", **ports) as system:
        system.online("gateway", 2)
        for service in ("auth", "backend", "ai", "data"):
            assert request(int(ports["GATEWAY_PORT"]), f"/{service}/health").status == 200
        assert system.stop()[0] == "gateway"


def test_manual_garbage_collection_is_available(services: System, ports: dict[str, str]) -> None:
    """`--expose-gc` reaches every Node service."""
    for name in ("GATEWAY_PORT", "AUTH_PORT", "BACKEND_PORT"):
        assert request(int(ports[name]), "/health").body["gc"] == "function"
    services.stop()


def test_a_crash_of_one_service_is_nobody_elses_business(services: System, ports: dict[str, str]) -> None:
    """The other services keep their processes, and the one that crashed answers again."""
    gateway = int(ports["GATEWAY_PORT"])
    paths = {"data-sources": "/data/health", "gateway": "/health"}
    for service in SERVICES:
        before = {name: services.pids(name) for name in SERVICES}
        successor = services.kill(service)
        after = {name: services.pids(name) for name in SERVICES}
        assert after == {**before, service: {**before[service], 0: successor}}
        assert request(gateway, paths.get(service, f"/{service}/health")).status == 200
    services.stop()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("folder", ["gateway", "auth", "backend", "ai", "data"])
def test_each_service_runs_alone(folder: str, ending: str, ports: dict[str, str], tmp_path: Path) -> None:
    """A service's own config works without the others, from any working directory."""
    with running(f"services/{folder}/ecosystem.{ending}", **ports) as system:
        name = {"data": "data-sources"}.get(folder, folder)
        system.online(name, 2)
        port = int(ports[f"{folder.upper()}_PORT"])
        listens(port)
        assert request(port, "/health").body["service"] == folder
        assert system.stop() == [name]


@pytest.mark.parametrize("ending", FORMATS)
def test_some_services_can_be_chosen(ending: str, ports: dict[str, str]) -> None:
    """`--only` runs a part of the root config."""
    with running(f"services/ecosystem.{ending}", "--only", "ai,data-sources", **ports) as system:
        system.online("ai", 2)
        system.online("data-sources", 2)
        assert {record["app"] for record in system.run.find(event="instance.start")} == {"ai", "data-sources"}
        system.stop()


def test_one_service_is_reloaded_while_the_others_stay(services: System, ports: dict[str, str]) -> None:
    """Rolling, one process after the other, and nobody at the gateway notices."""
    before = {name: services.pids(name) for name in SERVICES}
    with Load(int(ports["GATEWAY_PORT"]), keep_alive=False, clients=8, path="/backend/orders") as load:
        load.more(50)
        services.command("reload", "backend")
        load.more(50)
        assert load.finish() == []
    after = {name: services.pids(name) for name in SERVICES}
    assert {name: pids for name, pids in after.items() if name != "backend"} == {
        name: pids for name, pids in before.items() if name != "backend"
    }
    assert not set(after["backend"].values()) & set(before["backend"].values())
    services.stop()


def test_commands_for_one_and_for_all(services: System) -> None:
    """stop, start, restart, status and logs."""
    services.command("stop", "ai")
    assert services.states("ai") == ["stopped", "stopped"]
    assert services.states("auth") == ["online", "online"]
    services.command("start", "ai")
    eventually(lambda: services.states("ai") == ["online", "online"], "ai online")
    before = services.pids("auth")
    services.command("restart", "all")
    eventually(lambda: {*services.states("all")} == {"online"}, "all online")
    assert not set(services.pids("auth").values()) & set(before.values())
    assert "auth listens" in services.command("logs", "auth", "-n", "20").stdout
    assert "gateway listens" in services.command("logs").stdout
    services.stop()


def test_each_service_has_its_log_files(services: System) -> None:
    """Out, err and both, one set for all instances of a service."""
    for name, said in {"auth": "auth listens", "ai": "ai listens", "data-sources": "data listens"}.items():
        for file in (f"{name}-out.log", f"{name}.log"):
            eventually(partial(services.logged, file, said, 2), f"{said} in {file}")
    services.stop()
    assert not (services.folder / "auth-err.log").exists()  # nothing was written there


@pytest.mark.parametrize("ending", FORMATS)
def test_who_uses_much_memory_is_asked_to_free_it(ending: str, ports: dict[str, str], redis: str) -> None:
    """All instances are watched; one that is asked collects garbage and trims its caches, and lives on."""
    port = int(ports["BACKEND_PORT"])
    settings = {**ports, "SOFT_LIMIT": "150M", "REDIS_URL": redis}
    with running(f"services/backend/ecosystem.{ending}", **settings) as system:
        system.online("backend", system.cpus())
        big = request(port, "/big?megabytes=150")
        asked = system.run.expect(event="instance.memory_soft", instance=int(big.instance or 0))
        assert asked["rss_bytes"] > 150 * 1024 * 1024
        system.run.expect(message="memory trimmed", pid=big.pid)
        freed = system.run.expect(event="instance.memory_softened", instance=int(big.instance or 0))
        assert freed["after_bytes"] < freed["before_bytes"] - 100 * 1024 * 1024
        assert big.pid in system.pids("backend").values()
        system.stop()
