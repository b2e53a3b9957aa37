"""Scenario 1, the coordinator: behaviour, and its owners' 32 checks of the configuration."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from harness import free_port
from scenarios.driving import HERE, System, request, running

from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.spec import AppSpec, ExecMode, KillMode

CONFIGS = ["coordinator/ecosystem.toml", "coordinator/ecosystem.config.cjs"]
SECRET = re.compile(r"(?i)password|passwd|secret|token|api_?key|private_?key|-----BEGIN")


@pytest.fixture(params=CONFIGS)
def queens(request: pytest.FixtureRequest) -> Iterator[tuple[System, int]]:
    """The running system in production and its port."""
    port = free_port()
    with running(request.param, "--env", "production", PORT=str(port)) as system:
        system.online("queen", system.cpus())
        yield system, port


def test_every_queen_reports_ready_before_it_counts_as_online(queens: tuple[System, int]) -> None:
    """`wait_ready`: online means that the process has said so, after it loaded its state."""
    system, port = queens
    # It is said before the report, but on another way.
    system.run.expect(message="state loaded", count=system.cpus())
    said = [r for r in system.run.records if r.get("message") == "state loaded"]
    assert {record["instance"] for record in said} == set(system.pids("queen"))
    assert all(record["port"] == port for record in said)  # JSON lines are merged into the record
    for online in system.run.find(event="instance.online"):
        assert online["timestamp"] >= min(r["timestamp"] for r in said if r["instance"] == online["instance"])


def test_the_named_environment_is_applied(queens: tuple[System, int]) -> None:
    """`--env production` lays env_production over env, NODE_OPTIONS included."""
    _, port = queens
    assert request(port, "/env").body == {
        "NODE_ENV": "production",
        "PORT": str(port),
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "json",
        "CLUSTER_MODE": "true",
        "PM_FAILOVER_ENABLED": "true",
        "NODE_OPTIONS": "--max-old-space-size=2048",
    }
    assert request(port, "/").body["heap_limit"] >= 2048 * 1024 * 1024


def test_a_killed_queen_is_replaced_and_a_stop_answers_what_has_begun(queens: tuple[System, int]) -> None:
    """Failover and graceful shutdown: nobody else is touched, requests in progress are answered."""
    system, port = queens
    others = {n: pid for n, pid in system.pids("queen").items() if n != 0}
    system.kill("queen")
    assert {n: pid for n, pid in system.pids("queen").items() if n != 0} == others
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(request, port, "/slow") for _ in range(4)]
        system.run.expect(message="thinking", count=4)
        assert request(port, "/health").status == 200
        assert system.stop(signal.SIGTERM) == ["queen"]
        assert [answer.result().status for answer in slow] == [200] * 4
    assert system.run.find(message="failover handed on", level="warn") or system.run.find(
        message="failover handed on", level="warning"
    )


# The owners' validation suite: every line is one check of the resolved configuration.
Check = Callable[[AppSpec], bool]
CHECKS: dict[str, Check] = {
    # mode
    "runs as a cluster": lambda app: app.exec_mode is ExecMode.CLUSTER,
    "uses every CPU": lambda app: app.instances == 0,
    "instances know their number": lambda app: app.instance_var == "NODE_APP_INSTANCE",
    "one connection queue for all": lambda app: app.balance == "shared",
    # memory
    "has a memory limit": lambda app: app.max_memory_restart is not None,
    "the limit is 2 GB": lambda app: app.max_memory_restart == 2 * 1024**3,
    "the heap fits the limit": lambda app: app.env["NODE_OPTIONS"] == "--max-old-space-size=2048",
    # environment
    "NODE_ENV is production": lambda app: app.env["NODE_ENV"] == "production",
    "has a port": lambda app: app.env["PORT"] == "8080",
    "logs at info": lambda app: app.env["LOG_LEVEL"] == "info",
    "logs as JSON": lambda app: app.env["LOG_FORMAT"] == "json",
    "knows that it is clustered": lambda app: app.env["CLUSTER_MODE"] == "true",
    "failover is on": lambda app: app.env["PM_FAILOVER_ENABLED"] == "true",
    "every variable is a text": lambda app: all(isinstance(value, str) for value in app.env.values()),
    # start and graceful shutdown
    "waits for readiness": lambda app: app.ready.ipc,
    "for at most 10 s": lambda app: app.listen_timeout == 10.0,
    "has 5 s to stop": lambda app: app.kill_timeout == 5.0,
    "is asked before it is killed": lambda app: app.kill_signal in (signal.SIGTERM, signal.SIGINT),
    "its children end with it": lambda app: app.kill_mode is not KillMode.PROCESS,
    # restart
    "restarts": lambda app: app.autorestart,
    "starts with the runtime": lambda app: app.autostart,
    "gives up after 10 crashes": lambda app: app.max_restarts == 10,
    "is stable after a minute": lambda app: app.min_uptime == 60.0,
    "backs off from 100 ms": lambda app: app.exp_backoff_restart_delay == pytest.approx(0.1),
    "no exit code means stop": lambda app: app.stop_exit_codes == (),
    # logging
    "JSON records": lambda app: app.log_type == "json",
    "with timestamps": lambda app: app.log_date_format == "YYYY-MM-DDTHH:mm:ss.SSSZ",
    "merged over the cluster": lambda app: app.merge_logs,
    "logs are not thrown away": lambda app: not app.disable_logs,
    # the file itself
    "no secrets": lambda app: not any(SECRET.search(f"{name}={value}") for name, value in app.env.items()),
    "the script exists": lambda app: Path(app.argv[-1]).is_file(),
    "the folder exists": lambda app: Path(app.cwd).is_dir(),
}


@cache
def queen_of(config: str) -> AppSpec:
    """The resolved configuration in production."""
    options = LoadOptions(env_name="production", environ={"PATH": os.environ["PATH"]})
    [app] = load(HERE / config, options).apps
    return app


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("check", CHECKS)
def test_the_configuration_passes(config: str, check: str) -> None:
    """The owners accept a configuration only when all 32 checks pass."""
    assert CHECKS[check](queen_of(config))


def test_there_are_32_checks() -> None:
    """As many as the owners have."""
    assert len(CHECKS) == 32
