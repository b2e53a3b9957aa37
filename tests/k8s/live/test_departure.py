"""A pod that has to go: what it has begun is finished, and it goes in time."""

from k8s.live.client import Program, load
from k8s.live.space import Figure, Space, when

from pidone.ecosystem.values.quantities import parse_duration

PORT = 8000
GRACE_S = 0.5
"""What is begun less than that before the drain may come too late: the pod is busy."""


def address(space: Space, pod: str) -> str:
    """Where a pod is, past its Service."""
    return str(space.get(f"pod/{pod}")["status"]["podIP"])


def test_requests_of_three_seconds_are_finished(backend: Space) -> None:
    """Posts that take three seconds, begun until the apps are told to stop, are all stored."""
    (pod, *_) = backend.names()
    with Program("slow", address(backend, pod), str(PORT)) as program, backend.following(pod) as records:
        backend.kubectl("delete", "pod", pod, "--wait=false")
        drain = next(record for record in records if record.get("event") == "instance.stop")
        report = program.finish()
    last = when(drain) - GRACE_S
    unfinished = last - report["takes_s"]
    posts = [(began, outcome) for began, outcome in report["posts"] if began < last]
    assert len([began for began, _ in posts if began > unfinished]) > 5, report
    assert [outcome for _, outcome in posts if " 201 " not in outcome] == []


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
    with load(backend) as program, backend.following(pod) as following:
        backend.kubectl("delete", "pod", pod)
        records = list(following)
        report = program.finish()
    (told,) = [record for record in records if record.get("event") == "runtime.stop"]
    ended = records[-1]
    assert (ended["event"], ended["code"]) == ("runtime.exit", 0)
    took = when(ended) - when(told)
    figure(f"the pod ended {took:.2f} s after SIGTERM")
    allowed = parse_duration(ecosystem["runtime"]["shutdown_delay"]) + parse_duration(api["kill_timeout"]) + 1
    assert took <= allowed
    assert report["failed"] == 0, report
