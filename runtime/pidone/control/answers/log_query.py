"""Picking records of the log: by app, stream, level and time. Texts are looked for by whoever asks."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from pidone.control.http.messages import Refusal
from pidone.logs.fields import fields_of
from pidone.logs.levels import LEVELS, of_fields

MOST_LINES: Final = 10_000
PARAMETERS: Final = ("app", "err", "level", "since", "until", "events")
_YES: Final = ("1", "true")
_NO: Final = ("0", "false")

Pick: TypeAlias = tuple[str, str, int | None]
"""The namespace and name of an app, and which instance; None for all."""
Check: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""Asked of the fields of a record."""


def choose(query: Mapping[str, str], now: float, picks: Collection[Pick] = ()) -> Callable[[str], bool]:
    """What decides about a record; without `picks` those of every app are wanted. Raises Refusal."""
    checks = [check for check in (_picked(picks), *_asked(query, now)) if check is not None]
    if not checks:
        return lambda _record: True

    def wanted(record: str) -> bool:
        fields = fields_of(record)
        return all(check(fields) for check in checks)

    return wanted


def _asked(query: Mapping[str, str], now: float) -> tuple[Check | None, ...]:
    return (
        (lambda fields: "stream" in fields) if query.get("events") in _NO else None,
        _is_error if query.get("err", "") in _YES else None,
        _at_least(query.get("level", "")),
        _within(
            parse_time("since", query.get("since", ""), now), parse_time("until", query.get("until", ""), now)
        ),
    )


def _picked(picks: Collection[Pick]) -> Check | None:
    if not picks:
        return None

    def check(fields: Mapping[str, Any]) -> bool:
        # Lines do not tell their namespace: whoever picks, reads no others.
        space = None if "stream" in fields else fields.get("namespace", "default")
        return any(
            fields.get("app") == app
            and space in (None, namespace)
            and index in (None, fields.get("instance", index))
            for namespace, app, index in picks
        )

    return check


def _is_error(fields: Mapping[str, Any]) -> bool:
    if "stream" in fields:
        return bool(fields["stream"] == "stderr")
    return fields.get("level") in ("error", "fatal")


def _at_least(level: str) -> Check | None:
    if not level:
        return None
    if level not in LEVELS:
        raise Refusal(400, f"level: expected one of {', '.join(LEVELS)}")
    wanted = LEVELS[LEVELS.index(level) :]
    return lambda fields: (of_fields(fields) or "info") in wanted  # an app may spell its level as it likes


def _within(since: float | None, until: float | None) -> Check | None:
    """An app may give its lines times of its own; one that cannot be read is kept.

    Leaving out what was asked for is worse than showing too much.
    """
    if since is None and until is None:
        return None

    def check(fields: Mapping[str, Any]) -> bool:
        at = _time(fields.get("timestamp"))
        return at is None or ((since is None or at >= since) and (until is None or at <= until))

    return check


def parse_time(name: str, text: str, now: float) -> float | None:
    """`10m`, `2h`, `30s`, `1d` ago, seconds since 1970, or an ISO time; None if empty. Raises Refusal."""
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
            400, f"{name}: expected a duration such as 10m, or a time such as 2026-01-31T12:00:00Z"
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
