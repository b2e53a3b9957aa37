"""Scenario 4, five services in one ecosystem."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import free_port
from scenarios.driving import System, listens, request, running

SERVICES = ["auth", "backend", "ai", "data-sources", "gateway"]
PORTS = ["GATEWAY_PORT", "AUTH_PORT", "BACKEND_PORT", "AI_PORT", "DATA_PORT"]
FORMATS = ["toml", "config.js"]


@pytest.fixture
def ports() -> dict[str, str]:
    """A free port for each service."""
    return {name: str(free_port()) for name in PORTS}


@pytest.fixture(params=FORMATS)
def services(request: pytest.FixtureRequest, ports: dict[str, str]) -> Iterator[System]:
    """All five, online."""
    with running(f"services/ecosystem.{request.param}", **ports) as system:
        for name in SERVICES:
            system.online(name, system.cpus() if name == "backend" else 2)
        for port in ports.values():
            listens(int(port))
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
