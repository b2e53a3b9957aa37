"""A pod that has to go: what it has begun is finished, and it goes in time."""

import json
import subprocess
import time
from datetime import datetime
from typing import Any

from k8s.live.client import Program, load
from k8s.live.space import Figure, Space

from runtime.ecosystem.quantities import parse_duration

PORT = 8000


def address(space: Space, pod: str) -> str:
    """Where a pod is, past its Service."""
    return str(space.get(f"pod/{pod}")["status"]["podIP"])


def test_requests_of_three_seconds_are_finished(backend: Space) -> None:
    """Posts that take three seconds, begun up to two seconds before the drain, are all stored."""
    (pod, *_) = backend.names()
    spec = backend.get(f"pod/{pod}")["spec"]["containers"][0]
    pre_stop = spec["lifecycle"]["preStop"]["sleep"]["seconds"]
    delay = parse_duration(backend.ecosystem()["runtime"]["shutdown_delay"])
    with Program("slow", address(backend, pod), str(PORT)) as program:
        backend.kubectl("delete", "pod", pod, "--wait=false")
        time.sleep(pre_stop + delay - 2)  # the pod says nothing that could be waited for
        report = program.finish()
    assert report["sent"] > 4 * (pre_stop + delay - 3)
    assert report["failed"] == [], report


def test_a_websocket_is_sent_away_and_comes_back(backend: Space) -> None:
    """A member of a room is told 1012 by the pod that goes, comes back to another, and has missed nothing."""
    (pod, *_) = backend.names()
    joined, service = f"{address(backend, pod)}:{PORT}", f"backend.{backend.name}"
    with Program("chatter", f"room-{pod}", joined, service) as program:
        backend.kubectl("delete", "pod", pod)
        report = program.finish()
    assert report["codes"] == [1012], report
    assert report["lost"] == [], report
    assert report["in_order"], report
    assert report["acknowledged"] > 10, report


def test_it_ends_in_time(backend: Space, figure: Figure) -> None:
    """Under load, a pod ends within `shutdown_delay`, drain and one second from SIGTERM."""
    (pod, *_) = backend.names()
    ecosystem = backend.ecosystem()
    (api,) = [app for app in ecosystem["apps"] if app["name"] == "api"]
    follow = ["kubectl", "--namespace", backend.name, "logs", "--follow", "--tail=1", pod]
    with load(backend) as program, subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
        backend.kubectl("delete", "pod", pod)
        said, _ = following.communicate(timeout=30)
        report = program.finish()
    records = [json.loads(line) for line in said.splitlines()]
    (told,) = [record for record in records if record.get("event") == "runtime.stop"]
    ended = records[-1]
    assert (ended["event"], ended["code"]) == ("runtime.exit", 0)
    took = when(ended) - when(told)
    figure(f"the pod ended {took:.2f} s after SIGTERM")
    allowed = parse_duration(ecosystem["runtime"]["shutdown_delay"]) + parse_duration(api["kill_timeout"]) + 1
    assert took <= allowed
    assert report["failed"] == 0, report


def when(record: dict[str, Any]) -> float:
    """A record's time, in seconds."""
    return datetime.fromisoformat(record["timestamp"]).timestamp()
