"""More pods and fewer, under load."""

from k8s.live.client import load
from k8s.live.space import Figure, Space


def test_one_five_two_lose_no_request(backend: Space, figure: Figure) -> None:
    """From one pod to five to two at 200 requests a second: none fails."""
    backend.scale(1)
    with load(backend) as program:
        backend.scale(5)
        backend.scale(2)
        backend.settle(2)
        report = program.finish()
    figure(f"from one pod to five to two: {report}")
    assert report["failed"] == 0, report
