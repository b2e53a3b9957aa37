"""The book of what everybody uses."""

import os

import pytest

from pidone.host.processes import ProcessUsage, TreeSampler, TreeUsage
from pidone.host.usage import UsageBook


class Stand:
    """A sampler that has seen one process, begun some time ago."""

    def __init__(self, *, age: float, cpu_s: float) -> None:
        mine = TreeSampler().sample([os.getpid()])[os.getpid()]
        started = round((mine.at - age) * os.sysconf("SC_CLK_TCK"))
        root: ProcessUsage = mine.root._replace(started_ticks=started, cpu_s=cpu_s)
        self.tree = TreeUsage(root, (), mine.at)

    def sample(self, roots: object) -> dict[int, TreeUsage]:
        return {1: self.tree}


@pytest.mark.parametrize(
    ("age", "cpu_s", "expected"), [(0.01, 0.04, 0.04), (0.0, 0.02, 0.02), (10.0, 20.0, 2.0)]
)
def test_a_process_that_has_just_begun_does_not_look_busy(age: float, cpu_s: float, expected: float) -> None:
    """Its first hundredths of a second say nothing about its share, which alerts and people look at."""
    book = UsageBook(lambda: [1], now=lambda: 0.0, call_soon=print, sampler=Stand(age=age, cpu_s=cpu_s))
    assert book.usage()[1].cpus == pytest.approx(expected, rel=0.05)
