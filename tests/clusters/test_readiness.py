"""How the real thing learns that a process can work, and that it no longer does."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from clusters.site import UNHURRIED, Site, get, listening, node_app, python_app, running
from harness import eventually


def program(code: str, **keys: Any) -> dict[str, Any]:
    """A Python one-liner."""
    app = {"name": "web", "script": sys.executable, "interpreter": "none", "args": ["-c", code]}
    return {**app, **UNHURRIED, "instances": 1, "env": {}, **keys}


def online_after(site: Site) -> float:
    """Seconds from start to online of the only instance."""
    return float(site.run.expect(event="instance.online")["after_s"])


def test_cluster_worker_says_ready(tmp_path: Path, node: str, port: int) -> None:
    """With `wait_ready` it is the message that counts, not that it listens."""
    app = node_app(
        node, port, script="worker_ready.cjs", instances=1, wait_ready=True, env={"READY_AFTER": "400"}
    )
    with running(tmp_path, app) as site:
        assert online_after(site) >= 0.4
        assert not site.run.find(event="instance.not_ready")


def test_late_worker_counts_as_online(tmp_path: Path, node: str, port: int) -> None:
    """As under PM2, after `listen_timeout` a process that never said "ready" is taken as it is."""
    app = node_app(node, port, script="worker_ready.cjs", instances=1, wait_ready=True, listen_timeout=300)
    with running(tmp_path, app) as site:
        assert online_after(site) >= 0.3
        assert site.run.find(event="instance.not_ready")[0]["level"] == "warning"
        eventually(lambda: listening(port), "it to listen, which nobody waited for")
        get(port)


def test_late_worker_can_be_a_failure(tmp_path: Path, node: str, port: int) -> None:
    """`on_ready_timeout = "fail"` makes that a failed start; enough of them end the container with 75."""
    app = node_app(
        node,
        port,
        script="worker_ready.cjs",
        instances=1,
        wait_ready=True,
        listen_timeout=300,
        on_ready_timeout="fail",
        max_restarts=2,
        min_uptime="60s",  # with its stop, a life may take longer than its start may
    )
    site = Site(tmp_path, app)
    with site.run:
        assert site.run.wait() == 75
        assert site.count("instance.online") == 0
        assert site.count("instance.not_ready") == 2


@pytest.mark.parametrize("mode", ["fork", "cluster"])
def test_shutdown_by_message(tmp_path: Path, node: str, port: int, mode: str) -> None:
    """`shutdown_with_message` reaches process.on('message'); no signal is sent, and it ends by itself."""
    script = "ipc.cjs" if mode == "fork" else "worker_ready.cjs"
    app = node_app(
        node,
        port,
        script=script,
        exec_mode=mode,
        instances=2,
        wait_ready=True,
        shutdown_with_message=True,
        env={"READY_AFTER": "50"},
    )
    with running(tmp_path, app) as site:
        pass
    assert len(site.run.find(message="goodbye")) == 2
    assert not site.run.find(message="a signal came instead")
    assert {record["how"] for record in site.run.find(event="instance.stop")} == {"message"}
    assert {record["code"] for record in site.run.find(event="instance.exit")} == {0}


def test_sd_notify(tmp_path: Path, port: int) -> None:
    """READY=1 of a daemon is readiness."""
    app = python_app("notifier.py", port=port, ready="notify", instances=2)
    with running(tmp_path, app) as site:
        assert not site.run.find(event="instance.not_ready")


def test_systemds_own_notify(tmp_path: Path) -> None:
    """A shell script may call systemd-notify."""
    import shutil

    if shutil.which("systemd-notify") is None:
        pytest.skip("no systemd-notify")
    app = program("", ready="notify") | {
        "script": "/bin/sh",
        "args": ["-c", "systemd-notify --ready --status=fine; exec sleep 3600"],
    }
    with running(tmp_path, app) as site:
        assert not site.run.find(event="instance.not_ready")


def test_silent_watchdog(tmp_path: Path, port: int) -> None:
    """A process that stops saying WATCHDOG=1 is replaced."""
    env = {"WATCHDOG_USEC": "500000", "BEATS": "4"}
    app = python_app("notifier.py", port=port, ready="notify", instances=1, env=env)
    with running(tmp_path, app) as site:
        unhealthy = site.run.expect(event="instance.unhealthy")
        assert "no WATCHDOG=1 for 0.5 s" in unhealthy["message"]
        site.run.expect(event="instance.online", count=2)


def test_log_line(tmp_path: Path) -> None:
    """The first line that matches is readiness."""
    code = "import time; time.sleep(0.3); print('serving on 80', flush=True); time.sleep(3600)"
    with running(tmp_path, program(code, ready="log:serving on [0-9]+")) as site:
        assert online_after(site) >= 0.3
        assert not site.run.find(event="instance.not_ready")


def test_notify_descriptor(tmp_path: Path) -> None:
    """A newline on the descriptor is readiness, as under s6."""
    code = "import os, time; time.sleep(0.3); os.write(7, b'\\n'); os.close(7); time.sleep(3600)"
    with running(tmp_path, program(code, ready="fd:7")) as site:
        assert online_after(site) >= 0.3
        assert not site.run.find(event="instance.not_ready")


@pytest.mark.parametrize("kind", ["http", "tcp", "exec"])
def test_probe_of_an_own_port(tmp_path: Path, port: int, kind: str) -> None:
    """An app with a port of its own is ready when a probe succeeds for the first time."""
    flag = tmp_path / "flag"
    target = {"http": "/", "tcp": str(port), "exec": f"test -e {flag}"}[kind]
    code = (
        "import http.server, pathlib, time; time.sleep(0.3); "
        f"pathlib.Path({str(flag)!r}).touch(); "
        f"http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    app = program(code, ready={kind: target, "interval": "0.1s"}, env={"PORT": str(port)})
    with running(tmp_path, app) as site:
        assert online_after(site) >= 0.3
        assert not site.run.find(event="instance.not_ready")


@pytest.mark.parametrize("kind", ["http", "tcp", "exec"])
def test_health_probe_replaces(tmp_path: Path, port: int, kind: str) -> None:
    """Failures in a row replace an instance that is online; before that it is left alone."""
    sick = tmp_path / "sick"
    target = {"http": "/", "tcp": str(port), "exec": f"test ! -e {sick}"}[kind]
    health = {kind: target, "interval": "0.05s", "timeout": "0.5s", "failures": 3}
    app = python_app("patient.py", port=port, health=health, ready="log:healthy", instances=1)
    app["env"]["SICK"] = str(sick)
    with running(tmp_path, app) as site:
        first = site.pids()
        sick.touch()
        unhealthy = site.run.expect(event="instance.unhealthy")
        assert "health check failed 3 times in a row" in unhealthy["message"]
        site.run.expect(event="instance.exit")
        sick.unlink(missing_ok=True)
        eventually(lambda: site.pids() and site.pids() != first, "a successor")
        site.run.expect(event="instance.online", count=2)


def test_unhealthy_cluster_member(tmp_path: Path, node: str, port: int) -> None:
    """In a cluster the sick one serves until its replacement is ready."""
    sick = tmp_path / "sick"
    # The look that finds it sick is the only one: the replacement is well from its first moment.
    look = f"sh -c '! rm {sick} 2>/dev/null'"
    health = {"exec": look, "interval": "0.05s", "timeout": "60s", "failures": 1}
    with running(tmp_path, node_app(node, port, instances=1, health=health)) as site:
        sick.touch()
        site.run.expect(event="instance.unhealthy")
        site.run.expect(event="app.reloaded")
        order = [r["event"] for r in site.run.records if r.get("event", "").startswith("instance.")]
        assert order.index("instance.exit") > len(order) - 1 - order[::-1].index("instance.online")
        assert get(port) == f"{site.pids()[-1]} 0"


def test_nonsense_on_the_channel(tmp_path: Path, node: str, port: int) -> None:
    """A process that babbles and dies in the middle of a message disturbs nobody, and its log says why."""
    from clusters.load import Load

    babbler = python_app("babbler.py", port=port, name="babbler", instances=2, wait_ready=True)
    babbler |= {"max_restarts": 3, "min_uptime": "60s"}  # a short life may take long on a busy machine
    site = Site(tmp_path, node_app(node, port), babbler)
    with site.run:
        site.run.expect(event="instance.online", app="web", count=3)
        with Load(port, keep_alive=True) as load:
            load.more(500)
            site.run.expect(event="instance.errored", app="babbler", count=2)
            load.more(500)
            assert load.finish() == []
        assert site.run.find(event="channel.ignored", app="babbler")
        assert len(site.run.find(event="instance.start", app="web")) == 3
        os.kill(site.run.pid, signal.SIGTERM)
        assert site.run.wait() == 0
