"""Picking records of the log: by stream, level and time, as far as the log's format tells them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from pidone.control.messages import Refusal

MOST_LINES: Final = 10_000
_TIMES: Final = ("timestamp", "time", "@timestamp")
_STREAMS: Final = ("stream", "labels.stream", "type")
_STDERR: Final = ("stderr", "err", "error")


def choose(*, errors_only: bool, since: float | None) -> Callable[[str], bool]:
    """What decides about a record; `since` is in seconds since 1970.

    Only formats whose records are objects (or logfmt) tell the stream and the full time; a record that tells
    nothing is kept, because leaving out what was asked for is worse than showing too much.
    """
    if not errors_only and since is None:
        return lambda _record: True

    def wanted(record: str) -> bool:
        fields = _fields(record)
        if errors_only and (stream := _first(fields, _STREAMS)) is not None and stream not in _STDERR:
            return False
        if errors_only and fields and "event" in fields and stream is None:
            return fields.get("level") in ("error", "fatal")
        return since is None or (at := _time(_first(fields, _TIMES))) is None or at >= since

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


def _fields(record: str) -> dict[str, Any]:
    if record.startswith("{"):
        try:
            value = json.loads(record)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
    if record.startswith("ts="):  # logfmt: what we need stands before the message and has no quotes
        words = record.partition(" msg=")[0].split(" ")
        pairs = dict(word.split("=", 1) for word in words if "=" in word)
        return {"timestamp": pairs.pop("ts", None), **pairs}
    return {}


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> object:
    return next((fields[name] for name in names if name in fields), None)


def _time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None
