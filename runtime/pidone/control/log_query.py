"""Picking records of the log: by stream, level and time."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pidone.control.messages import Refusal

MOST_LINES: Final = 10_000


def choose(*, errors_only: bool, since: float | None) -> Callable[[str], bool]:
    """What decides about a record; `since` is in seconds since 1970.

    An app may give its lines times of its own; one that cannot be read is kept, because leaving out what was
    asked for is worse than showing too much.
    """
    if not errors_only and since is None:
        return lambda _record: True

    def wanted(record: str) -> bool:
        fields = json.loads(record)
        is_error = (
            fields["stream"] == "stderr" if "stream" in fields else fields["level"] in ("error", "fatal")
        )
        if errors_only and not is_error:
            return False
        return since is None or (at := _time(fields.get("timestamp"))) is None or at >= since

    return wanted


def parse_since(text: str, now: float) -> float | None:
    """`10m`, `2h`, `30s`, `1d`, seconds since 1970, or an ISO time; None if empty. Raises Refusal."""
    if not text:
        return None
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1])
    try:
        if unit is not None:
            return now - float(text[:-1]) * unit
        if text.replace(".", "", 1).isdigit():
            return float(text)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Refusal(
            400, "since: expected a duration such as 10m, or a time such as 2026-01-31T12:00:00Z"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def parse_count(text: str, default: int) -> int:
    """How many lines. Raises Refusal."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise Refusal(400, "lines: expected a number")
    return min(int(text), MOST_LINES)


def _time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None
