"""What was seen of each server, as the table of docs/clusters.md has it."""

from dataclasses import dataclass, field


@dataclass
class Row:
    """One server."""

    name: str
    ready_by: str = ""
    ready_s: float = 0.0
    latency: float | None = None
    """Median of a request on a kept connection, as a multiple of that of the server alone."""
    evenness: float | None = None
    requests: int = 0
    new_lost: int | None = None
    kept_lost: int | None = None
    slowest_s: float = 0.0
    stop_s: float = 0.0
    codes: set[int] = field(default_factory=set)
    errors: int = 0

    def __str__(self) -> str:
        cells = (
            self.name,
            self.ready_by,
            "" if self.evenness is None else f"{100 * self.evenness:.0f}",
            "" if self.latency is None else f"{self.latency:.2f}",
            "" if self.new_lost is None else f"{self.new_lost} of {self.requests:,}",
            "" if self.kept_lost is None else str(self.kept_lost),
            "" if self.new_lost is None else f"{self.slowest_s:.2f}",
            f"{self.stop_s:.2f}",
            ", ".join(map(str, sorted(self.codes))),
            str(self.errors),
        )
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| server | ready by | points from even | keep-alive, alone = 1 | new lost | kept cut "
    "| slowest, s | stop, s | ends with | false errors |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
