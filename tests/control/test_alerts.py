"""Alerts: each condition over written histories, and the real thing end to end."""

import http.server
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from control.operated import operated
from harness import PYTHON, eventually

from pidone.control.alerts.watch import AlertWatch, AppReading, InstanceReading
from pidone.ecosystem.spec import Alert

MIB = 1 << 20


def reading(
    *,
    ready: bool = True,
    restarts: int = 0,
    memory: int = 0,
    cpu: float = 0.0,
    life: int = 1,
    lines: int = 0,
    errors: int = 0,
) -> AppReading:
    """An app with one instance."""
    instance = InstanceReading(index=0, incarnation=life, memory=memory, cpu_percent=cpu)
    return AppReading(
        key=("default", "api"),
        ready=ready,
        restarts=restarts,
        lines=lines,
        error_lines=errors,
        instances=(instance,),
    )


def fires(alert: Alert, history: list[tuple[float, dict[str, Any]]]) -> list[float]:
    """The times at which the alert fires."""
    watch = AlertWatch((alert,))
    return [at for at, keys in history if watch.judge([reading(**keys)], at, ceiling=1000 * MIB)]


@pytest.mark.parametrize(
    ("keys", "history", "expected"),
    [
        ({"restarts_per_hour": 2}, [(t * 10.0, {"restarts": t}) for t in range(5)], [30.0]),
        ({"restarts_per_hour": 2}, [(t * 2000.0, {"restarts": t}) for t in range(9)], []),
        ({"restarts_per_hour": 2}, [(2.0, {"restarts": 3}), (9.0, {"restarts": 3})], [2.0]),
        ({"not_ready_for": 60.0}, [(t * 30.0, {"ready": False}) for t in range(4)], [60.0]),
        ({"not_ready_for": 60.0}, [(t * 30.0, {"ready": t == 1}) for t in range(4)], []),
        ({"memory": 100 * MIB}, [(0.0, {"memory": 100 * MIB}), (1.0, {"memory": 101 * MIB})], [1.0]),
        ({"cpu": 80.0}, [(0.0, {"cpu": 80.0}), (1.0, {"cpu": 81.0})], [1.0]),
        (
            {"error_rate": 5.0},
            [(0.0, {}), (1.0, {"lines": 100, "errors": 5}), (2.0, {"lines": 200, "errors": 20})],
            [2.0],
        ),
        ({"error_rate": 5.0}, [(0.0, {}), (1.0, {"lines": 10, "errors": 10})], []),
        (
            {"memory_not_falling": True},
            [
                (0.0, {"memory": 90 * MIB}),
                (1.0, {"memory": 9 * MIB, "life": 2}),
                (12.0, {"memory": 89 * MIB, "life": 2}),
                (13.0, {"memory": 89 * MIB, "life": 2}),
            ],
            [12.0],
        ),
        (
            {"memory_not_falling": True},
            [(0.0, {"memory": 90 * MIB}), (1.0, {"life": 2}), (12.0, {"memory": 50 * MIB, "life": 2})],
            [],
        ),
        (
            {"cpu": 80.0, "memory": MIB},
            [(0.0, {"cpu": 90.0}), (1.0, {"cpu": 90.0, "memory": 2 * MIB})],
            [1.0],
        ),
    ],
)
def test_conditions(
    keys: dict[str, Any], history: list[tuple[float, dict[str, Any]]], expected: list[float]
) -> None:
    """Each condition fires when it holds, all of those that are set together."""
    assert fires(Alert(name="a", **keys), history) == expected


def test_apps_of_one_name_in_two_namespaces_do_not_mix() -> None:
    """The restarts of one, counted from the start, are not new ones beside the other's none."""
    watch = AlertWatch((Alert(name="a", restarts_per_hour=2),))
    there = reading().but(key=("there", "api"))
    for second in range(9):
        assert not watch.judge([reading(restarts=2), there], second * 2.0, ceiling=None)


def test_the_cool_down_keeps_it_quiet() -> None:
    """A condition that goes on to hold fires again only after the cool-down."""
    alert = Alert(name="a", cpu=1.0, cooldown=100.0)
    assert fires(alert, [(t * 40.0, {"cpu": 5.0}) for t in range(7)]) == [0.0, 120.0, 240.0]


def test_an_alert_becomes_an_event_a_command_and_a_request(tmp_path: Path) -> None:
    """End to end: the event is logged, the command gets its facts, the webhook its body."""
    bodies = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 (the library's name)

    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ecosystem = f"""
        [[apps]]
        name = "fat"
        script = "{PYTHON}"
        args = ["-c", "import time; time.sleep(1000)"]
        ready_delay = 0
        [[alerts]]
        name = "memory"
        memory = "1M"
        exec = ["/bin/sh", "-c", "echo $PIDONE_ALERT $PIDONE_APP > {tmp_path}/told"]
        webhook = "http://127.0.0.1:{server.server_port}/hidden-path"
        [[alerts]]
        name = "broken"
        memory = "1M"
        exec = ["/bin/false"]
        """
        with operated(tmp_path, ecosystem) as it:
            assert "MiB of memory" in it.run.expect(event="alert.fired", alert="memory")["message"]
            eventually(
                lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text() == "memory fat\n"
            )
            assert eventually(lambda: bodies)[0]["app"] == "fat"
            it.run.expect(event="alert.failed", alert="broken")
            assert it.run.out is not None
            assert "hidden-path" not in it.run.out.text()
        server.shutdown()
        thread.join()
