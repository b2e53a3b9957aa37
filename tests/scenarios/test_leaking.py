"""Scenario 3, the leaking service."""

import signal
from pathlib import Path

import pytest
from harness import eventually, free_port
from scenarios.driving import request, running

COMPONENTS = [f"component {name} started" for name in ("configuration", "cache", "scheduler", "http")]
CONFIGS = ["leaking/ecosystem.toml", "leaking/ecosystem.config.js"]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_service_leaks_and_comes_back_in_order(config: str) -> None:
    """It really grows; killed, it is replaced, and its components start in their order again."""
    port = free_port()
    with running(config, PORT=str(port), LEAK_KB="1024") as system:
        system.online("leaky")
        [first] = system.pids("leaky").values()
        assert system.lines("leaky", first) == COMPONENTS
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
