"""More pods and fewer, under load."""

from k8s.live.client import load
from k8s.live.figures import figure
from k8s.live.space import Space


def test_one_five_two_lose_no_request(backend: Space) -> None:
    """From one pod to five to two at 200 requests a second: none fails."""
    backend.scale(1)
    with load(backend) as program:
        backend.scale(5)
        backend.scale(2)
        backend.settle(2)
        report = program.finish()
    figure(report)
    assert report["failed"] == 0, report
