"""One measured figure beside its target, and how a benchmark prints them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its spread; `target` is what the project promises, in words."""

    name: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    target: str = ""
    met: bool | None = None

    def line(self) -> str:
        """One row of the report."""
        text = f"{self.name:<58} {_spread(self.ours)} {self.unit}"
        if self.peer:
            text += f"   {self.peer_name} {_spread(self.peer)}"
        if self.target:
            verdict = {None: "", True: "  ok", False: "  MISSED"}[self.met]
            text += f"   target: {self.target}{verdict}"
        return text


def _spread(values: Sequence[float]) -> str:
    median = statistics.median(values)
    if len(values) == 1:
        return f"{median:.4g}"
    return f"{median:.4g} [{min(values):.4g}..{max(values):.4g}]"
