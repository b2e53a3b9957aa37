"""OpenMetrics text, as much of it as we need; prometheus_client would cost ten times our own metrics' memory.

Format: https://prometheus.io/docs/specs/om/open_metrics_spec/ (tests read the result with that library).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END: Final = "# EOF\n"
Labels = Mapping[str, str]
_UNITS: Final = ("seconds", "bytes")


class Family:
    """One metric with its samples."""

    def __init__(self, name: str, kind: str, text: str) -> None:
        """`kind` is `gauge`, `counter`, `histogram` or `info`; a counter's name comes without `_total`."""
        self._name = name
        self._kind = kind
        self._lines = [f"# TYPE {name} {kind}\n"]
        if name.rpartition("_")[2] in _UNITS:
            self._lines.append(f"# UNIT {name} {name.rpartition('_')[2]}\n")
        self._lines.append(f"# HELP {name} {_escaped(text)}\n")
        self._has_samples = False

    def add(self, value: float | None, labels: Labels | None = None) -> "Family":
        """One sample; a value that is not known is left out."""
        if value is not None:
            suffix = {"counter": "_total", "info": "_info"}.get(self._kind, "")
            self._sample(suffix, labels or {}, value)
        return self

    def add_histogram(
        self, bounds: Sequence[float], counts: Sequence[int], total: float, labels: Labels
    ) -> "Family":
        """`counts` has one entry per bound and one for what is above all of them."""
        cumulated = 0
        for bound, count in zip([*map(_number, bounds), "+Inf"], counts, strict=True):
            cumulated += count
            self._sample("_bucket", {**labels, "le": bound}, cumulated)
        self._sample("_count", labels, cumulated)
        self._sample("_sum", labels, total)
        return self

    def _sample(self, suffix: str, labels: Labels, value: float) -> None:
        self._has_samples = True
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        braces = f"{{{inner}}}" if inner else ""
        self._lines.append(f"{self._name}{suffix}{braces} {_number(value)}\n")

    def text(self) -> str:
        """The family, or nothing if it has no samples."""
        return "".join(self._lines) if self._has_samples else ""


def render(families: Iterable[Family]) -> bytes:
    """The whole answer."""
    return ("".join(family.text() for family in families) + END).encode(errors="replace")


def _number(value: float) -> str:
    return repr(round(value, 6)) if isinstance(value, float) else str(int(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
