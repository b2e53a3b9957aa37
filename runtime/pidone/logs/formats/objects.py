"""The formats whose records are JSON objects: `json`, `gcp`, `ecs`."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pidone.logs.escape import json_text
from pidone.logs.formats.merge import MergeKeys, Merger
from pidone.logs.formats.shape import FIRST, Format, Frame, RecordIdentity, Shape
from pidone.record import EMPTY, Record

if TYPE_CHECKING:
    from logging import LogRecord

_ECS: Final = {"ecs.version": "8.11.0"}
_GCP_SEVERITY: Final = {"trace": "DEBUG", "fatal": "CRITICAL"}


class _Names(Record, kw_only=True):
    """How a format calls what records have."""

    timestamp: str = "timestamp"
    level: str = "level"
    level_text: Callable[[str], str] = str
    """One of `levels.LEVELS` in the format's own words."""
    identity: Callable[[RecordIdentity], Mapping[str, Any]]
    event_names: Mapping[str, str] = EMPTY
    """Further keys that events of our own have under another name."""
    event_fields: Mapping[str, str] = EMPTY
    """What events of our own have besides."""


def json_format() -> Format:
    """`{"timestamp","level","app","instance","pid","stream","message"}`, one object per line."""
    return _format(_Names(identity=_identity))


def gcp_format() -> Format:
    """Google Cloud Logging's special fields: https://cloud.google.com/logging/docs/structured-logging."""
    return _format(_Names(identity=_identity, timestamp="time", level="severity", level_text=_gcp_severity))


def ecs_format() -> Format:
    """Elastic Common Schema, dotted names as its own loggers write them."""
    return _format(
        _Names(
            timestamp="@timestamp",
            level="log.level",
            identity=_ecs_identity,
            event_names={"event": "event.action", "exc_info": "error.stack_trace", "app": "labels.app"},
            event_fields={**_ECS, "service.name": "pidone"},
        )
    )


def compact(value: Any, **options: Any) -> str:
    """JSON without spaces, in UTF-8."""
    return json.dumps(value, **{**options, "separators": (",", ":"), "ensure_ascii": False})


def _gcp_severity(level: str) -> str:
    return _GCP_SEVERITY.get(level) or level.upper()


def _identity(origin: RecordIdentity) -> dict[str, Any]:
    return origin.identity


def _ecs_identity(origin: RecordIdentity) -> dict[str, Any]:
    return {
        **_ECS,
        "service.name": origin.app,
        "service.node.name": f"{origin.app}.{origin.instance}",
        "process.pid": origin.pid,
        "labels.stream": origin.stream,
    }


def _format(names: _Names) -> Format:
    return Format(shape=lambda origin: _shape(names, origin), event=_event_renderer(names), has_fields=True)


def _shape(names: _Names, origin: RecordIdentity) -> Shape:
    keys = MergeKeys(
        timestamp=names.timestamp,
        level=names.level,
        level_text=names.level_text,
        identity=names.identity(origin),
        extra=origin.fields,
    )
    fixed = json.dumps({**keys.identity, **keys.extra}, separators=(",", ":"))[1:-1] + ',"message":"'

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        head = f'{{"{keys.timestamp}":"{timestamp}","{keys.level}":"{keys.level_text(level)}",'
        return (head + fixed).encode(), b'","partial":true}' if partial else b'"}'

    return Shape(escape=json_text, around=around, merger=Merger(keys))


def _event_renderer(names: _Names) -> "Callable[[LogRecord], str]":
    """python-json-logger does the work, and is imported for the first event."""
    formatter: Any = None

    def event(record: "LogRecord") -> str:
        nonlocal formatter
        if formatter is None:
            from pidone.logs.formats.json_logger import make_formatter  # noqa: PLC0415 - see above

            formatter = make_formatter(
                lambda record: compact(record, default=str),
                fmt="".join(f"%({name})s" for name in FIRST),  # their order
                rename_fields={"timestamp": names.timestamp, "level": names.level, **names.event_names},
                static_fields=dict(names.event_fields),
            )
        told = record.msg
        assert isinstance(told, dict)  # noqa: S101 - for the type checker
        record.msg = {**told, "level": names.level_text(told["level"])}
        try:
            return str(formatter.format(record))
        finally:
            record.msg = told

    return event
