"""A pod that has to go: what it has begun is finished, and it goes in time."""

from k8s.live.client import Program, load
from k8s.live.space import Figure, Space, when

from pidone.ecosystem.values.quantities import parse_duration

PORT = 8000
LATE_S = 0.5
"""A post whose sender was later with it than that, for it had no processor, is not one of three seconds."""


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
    told = when(drain)
    taken = [post for post in report["posts"] if post["began"] < told]  # by the server, which has said so
    in_time = [post for post in taken if post["sent"] - post["began"] < report["takes_s"] + LATE_S]
    assert any(post["sent"] > told for post in in_time), report
    assert [post for post in in_time if " 201 " not in post["outcome"]] == []


def test_a_websocket_is_sent_away_and_comes_back(backend: Space) -> None:
    """A member of a room is told 1012 by the pod that goes, comes back to another, and has missed nothing."""
    (pod, *_) = backend.names()
    joined, service = f"{address(backend, pod)}:{PORT}", f"backend.{backend.name}"
    with Program("chatter", f"room-{pod}", joined, service) as program:
        backend.kubectl("delete", "pod", pod)
        report = program.finish()
    # More than once where the Service, on a busy node, has not yet heard that the pod goes.
    assert set(report["codes"]) == {1012}, report
    assert report["lost"] == [], report
    assert report["in_order"], report
    assert report["acknowledged"] > 1, report  # before and after


def test_it_ends_in_time(backend: Space, figure: Figure) -> None:
    """Under load, a pod ends by itself; within `shutdown_delay`, drain and one second, a figure says."""
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
    allowed = parse_duration(ecosystem["runtime"]["shutdown_delay"]) + parse_duration(api["kill_timeout"]) + 1
    verdict = "met" if took <= allowed else "MISSED"
    figure(f"the pod ended {took:.2f} s after SIGTERM, target <= {allowed:g} s: {verdict}")
    assert report["failed"] == 0, report
