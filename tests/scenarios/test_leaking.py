"""Scenario 3, the leaking service."""

import json
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import PYTHON, eventually, free_port
from scenarios.driving import HERE, System, listens, request, running

COMPONENTS = [f"component {name} started" for name in ("configuration", "cache", "scheduler", "http")]
CONFIGS = ["leaking/ecosystem.toml", "leaking/ecosystem.config.js"]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_service_leaks_and_comes_back_in_order(config: str) -> None:
    """It really grows; killed, it is replaced, and its components start in their order again."""
    port = free_port()
    with running(config, PORT=str(port), LEAK_KB="1024") as system:
        system.online("leaky")
        [first] = system.pids("leaky").values()
        eventually(lambda: system.lines("leaky", first) == COMPONENTS, "components in order")
        start = request(port, "/health").body["rss"]
        for _ in range(40):
            assert request(port, "/").status == 200
        assert request(port, "/health").body["rss"] > start + 30 * 1024 * 1024

        second = system.kill("leaky")
        eventually(lambda: system.lines("leaky", second) == COMPONENTS, "components in order")
        assert request(port, "/health").body["rss"] < start + 20 * 1024 * 1024
        assert request(port, "/").body["kept"] == 1
        assert system.stop() == ["leaky"]
        assert system.lines("leaky", second)[-2:] == ["stopping on SIGTERM", "stopped"]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_heap_limit_reaches_the_interpreter(config: str) -> None:
    """`interpreter_args` stand before the script, so they are Node's own."""
    port = free_port()
    with running(config, PORT=str(port)) as system:
        system.online("leaky")
        [pid] = system.pids("leaky").values()
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert words[1] == "--max-old-space-size=200"
        assert words[2].endswith("service.js")
        system.stop(signal.SIGINT)


def memory_test(port: int, seconds: float, *limits: str) -> dict[str, Any]:
    """The owners' script at the owners' rate; it judges by itself."""
    script = str(HERE / "leaking/memory_test.py")
    done = subprocess.run(
        [PYTHON, script, f"http://127.0.0.1:{port}/", "--seconds", str(seconds), *limits],
        capture_output=True,
        text=True,
        timeout=seconds + 20,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def recycled(system: System) -> list[dict[str, Any]]:
    """Lives that began because the one before had grown too large."""
    return [r for r in system.run.find(event="instance.start") if "memory" in str(r.get("reason"))]


def recovered(system: System, port: int) -> bool:
    """What the owners' other script says."""
    script = str(HERE / "leaking/validate_recovery.py")
    words = [PYTHON, script, f"http://127.0.0.1:{port}/health"]
    return subprocess.run(words, env=system.environ, capture_output=True, check=False).returncode == 0


def test_it_runs_for_ever_and_no_request_fails() -> None:
    """Recycled at 150 MB under load: the next life serves before the last one leaves."""
    port = free_port()
    with running("leaking/ecosystem.toml", PORT=str(port), LEAK_KB="1024", ADMIN_PORT="0") as system:
        system.online("leaky")

        def twice() -> bool:
            found = memory_test(port, 4, "--success", "100")
            assert found["growth_mb_per_hour"] > 5.78 * 50  # faster than the real one by far
            return len(recycled(system)) >= 2

        eventually(twice, "two recyclings", timeout=60)
        lives = recycled(system)
        for life in lives[:-1]:
            assert system.lines("leaky", life["pid"])[:4] == COMPONENTS
        for told in system.run.find(event="instance.memory"):
            assert told["rss_bytes"] > told["limit_bytes"] * 0.9
        # The load may have ended while the last one was due.
        eventually(lambda: recovered(system, port), "a recovery that its owners find valid", every=0.2)
        assert system.stop() == ["leaky"]


def test_pm2s_own_configuration_is_away_for_less_than_ten_seconds() -> None:
    """In fork mode the port is the process's own, so the old life ends first; the owners allow 10 s."""
    port = free_port()
    with running("leaking/ecosystem.config.js", PORT=str(port), LEAK_KB="1024") as system:
        system.online("leaky")
        listens(port)

        def replaced() -> bool:
            found = memory_test(port, 8, "--success", "0", "--gap", "10")
            # One gap in each life, which in the real service lasts a quarter of an hour.
            assert found["longest_gap_s"] < 0.04 * 15 * 60
            return bool(found["replaced"] >= 1)

        eventually(replaced, "another life under load", timeout=60)
        assert recycled(system)
        system.stop()


@pytest.mark.parametrize("config", CONFIGS)
def test_log_files_are_rotated_at_10_mb(config: str) -> None:
    """And the rotated ones are kept for 30 days."""
    port = free_port()
    with running(config, PORT=str(port), LEAK_KB="1", ADMIN_PORT="0") as system:
        system.online("leaky")
        listens(port)
        for _ in range(11):
            assert request(port, "/noise").status == 200
        name = "leaky-0.log" if config.endswith(".js") else "leaky.log"  # PM2 puts its id into unmerged ones
        [aside] = eventually(lambda: list(system.folder.glob(f"{name}.*")), "a rotated file")
        assert aside.stat().st_size == pytest.approx(10 * 1024 * 1024, rel=0.01)
        eventually((system.folder / name).exists, "its successor, which the next line makes")
        shown = json.loads(system.command("check", str(HERE / config), "--json").stdout)["apps"][0]
        assert (shown["log_max_size"], shown["log_retain"]) == (10 * 1024 * 1024, "30d")
        system.stop()


def test_the_dashboard_shows_it_and_alerts_fire() -> None:
    """A page on the admin port (9615, unless somebody says otherwise), and an alert at 5% of errors."""
    port, admin = free_port(), free_port()
    settings = {"PORT": str(port), "ADMIN_PORT": str(admin), "LEAK_KB": "1"}
    with running("leaking/ecosystem.toml", **settings) as system:
        system.online("leaky")
        system.run.expect(event="control.listening", address=f"127.0.0.1:{admin}")
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/", timeout=10) as page:
            assert "text/html" in page.headers["content-type"]
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/apps", timeout=10) as answer:
            assert [app["name"] for app in json.load(answer)["apps"]] == ["leaky"]

        def fired() -> bool:
            for _ in range(5):
                request(port, "/broken")
            return bool(system.run.find(event="alert.fired", alert="errors", app="leaky"))

        eventually(fired, "the alert", every=0.2)
        system.stop()


def test_more_than_ten_restarts_an_hour_are_an_alarm() -> None:
    """Ten are not."""
    port = free_port()
    with running("leaking/ecosystem.toml", PORT=str(port), ADMIN_PORT="0") as system:
        system.online("leaky")
        system.command("ls")
        for _ in range(10):
            system.kill("leaky")
        eventually(lambda: system.states("leaky") == ["online"], "the tenth successor")
        assert not system.run.find(event="alert.fired")
        system.kill("leaky")
        system.run.expect(event="alert.fired", alert="too many restarts")
        system.stop()
