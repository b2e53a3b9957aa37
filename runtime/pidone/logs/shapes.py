"""What a record looks like: a format is an escape for the text and a frame that is put around each line."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pidone.ecosystem.spec import Bytes
from pidone.logs.escape import JOINT, json_text, printable_lines
from pidone.logs.merge import MergeKeys, Merger
from pidone.record import Record

Frame: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the text of a line."""

ECS_VERSION: Final = "8.11.0"
LONG_LINE: Final[Bytes] = 1024 * 1024
"""Where lines are cut in formats that have no means to say that they were cut."""
_GCP_SEVERITY: Final = {"trace": "DEBUG", "fatal": "CRITICAL"}


class Origin(Record, kw_only=True):
    """Who wrote a line: the identity keys of its record."""

    app: str
    instance: int
    pid: int
    stream: str
    """`stdout` or `stderr`."""
    fields: Mapping[str, str]
    """`log_fields`."""


class Shape(Record, kw_only=True):
    """One format, made for one origin."""

    escape: Callable[[bytes], bytes]
    """Valid UTF-8 lines to lines that may stand in a frame."""
    around: Callable[[str, str, bool], Frame]
    """The frame for a timestamp, a level, and whether the line goes on in the next record.

    What stands after the text is the same for all levels.
    """
    merger: Merger | None = None
    """For formats whose records are objects that can take in an app's own fields."""
    least_line: Bytes = 0
    """A `max_line` below this does not apply."""
    joint: bytes = b"\n"
    """What stands between the lines of a joined message."""
    verbatim: bool = False
    """Bytes pass as they are, valid or not."""


def json_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """`{"timestamp","level","app","instance","pid","stream","message"}`, one object per line."""
    del colour
    return _object_shape(MergeKeys(identity=_identity(origin), extra=origin.fields))


def gcp_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """Google Cloud Logging's special fields: https://cloud.google.com/logging/docs/structured-logging."""
    del colour
    return _object_shape(
        MergeKeys(
            timestamp="time",
            level="severity",
            level_text=gcp_severity,
            identity=_identity(origin),
            extra=origin.fields,
        )
    )


def ecs_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """Elastic Common Schema, dotted names as its own loggers write them."""
    del colour
    identity = {
        "ecs.version": ECS_VERSION,
        "service.name": origin.app,
        "service.node.name": f"{origin.app}.{origin.instance}",
        "process.pid": origin.pid,
        "labels.stream": origin.stream,
    }
    return _object_shape(
        MergeKeys(timestamp="@timestamp", level="log.level", identity=identity, extra=origin.fields)
    )


def logfmt_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """`ts=... level=... app=... msg="..."`, values quoted where they need it and messages always."""
    del colour
    identity = " ".join(f"{k}={logfmt_value(v)}" for k, v in {**_identity(origin), **origin.fields}.items())

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        head = f'ts={timestamp} level={level} {identity} msg="'
        return head.encode(errors="replace"), b'" partial=true' if partial else b'"'

    return Shape(escape=json_text, around=around)


def pm2_json_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """PM2's `--json`, except that a record is a line and not whatever one read() returned."""
    del colour
    kind = "err" if origin.stream == "stderr" else "out"
    who = f'"type":"{kind}","process_id":{origin.instance},"app_name":{json.dumps(origin.app)}}}'

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del level, partial
        return b'{"message":"', f'","timestamp":"{timestamp}",{who}'.encode()

    return Shape(escape=json_text, around=around, least_line=LONG_LINE)


def pm2_format_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """PM2's `--format`: `timestamp=2026-11-20-23:04:39+0000 app=app id=0 type=out message=...`, unquoted."""
    del colour
    kind = "error" if origin.stream == "stderr" else "out"
    who = f"+0000 app={origin.app} id={origin.instance} type={kind} message="

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del level, partial
        return f"timestamp={timestamp[:10]}-{timestamp[11:19]}{who}".encode(errors="replace"), b""

    return Shape(escape=_on_one_line, around=around, least_line=LONG_LINE)


def pm2_formatted_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """PM2's `--formatted`: `0|app  | ...`, green or red; PM2 cannot switch the colour off, we can."""
    start, stop = (
        ("\x1b[31m" if origin.stream == "stderr" else "\x1b[32m", "\x1b[39m") if colour else ("", "")
    )
    frame = f"{start}{origin.instance}|{origin.app}  | {stop}".encode(errors="replace"), b""
    return Shape(
        escape=printable_lines,
        joint=_under(len(f"{origin.instance}|{origin.app}  ") - 2),
        around=lambda *_: frame,
        least_line=LONG_LINE,
    )


def text_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """For people at a terminal: the time, who, and the line."""
    name = f"{origin.app}.{origin.instance}"
    if colour:
        name = f"\x1b[{_PALETTE[sum(origin.app.encode()) % len(_PALETTE)]}m{name}\x1b[0m"

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del partial
        bar = f"\x1b[{_LEVEL_COLOURS[level]}m|\x1b[0m" if colour and level in _LEVEL_COLOURS else "|"
        return f"{timestamp[11:23]} {name} {bar} ".encode(errors="replace"), b""

    return Shape(
        escape=printable_lines,
        joint=_under(len(f"00:00:00.000 {origin.app}.{origin.instance} ")),
        around=around,
        least_line=LONG_LINE,
    )


def raw_shape(origin: Origin, *, colour: bool = False) -> Shape:
    """Whole lines, otherwise untouched; the relay sends those of stderr to stderr."""
    del origin, colour
    return Shape(escape=_as_is, around=lambda *_: (b"", b""), least_line=LONG_LINE, verbatim=True)


SHAPES: Final[Mapping[str, Callable[..., Shape]]] = MappingProxyType(
    {
        "json": json_shape,
        "text": text_shape,
        "raw": raw_shape,
        "logfmt": logfmt_shape,
        "ecs": ecs_shape,
        "gcp": gcp_shape,
        "pm2": pm2_json_shape,
        "pm2-format": pm2_format_shape,
        "pm2-formatted": pm2_formatted_shape,
    }
)
"""By the name that `log_format` has in the configuration; `auto` is one of these by the kind of stdout."""

_PALETTE: Final = (36, 35, 34, 32, 96, 95, 94, 92)
_LEVEL_COLOURS: Final = {"error": 31, "fatal": 31, "warning": 33, "debug": 90, "trace": 90}


def gcp_severity(level: str) -> str:
    """One of `levels.LEVELS` in Google's words."""
    return _GCP_SEVERITY.get(level) or level.upper()


def logfmt_value(value: object) -> str:
    """`value` as it may stand behind a `=`."""
    text = str(value)
    if text and text.isprintable() and not any(c in ' "=\\' for c in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _identity(origin: Origin) -> dict[str, Any]:
    return {
        "app": origin.app,
        "instance": origin.instance,
        "pid": origin.pid,
        "stream": origin.stream,
    }


def _object_shape(keys: MergeKeys) -> Shape:
    """The formats that are an object per line."""
    fixed = json.dumps({**keys.identity, **keys.extra}, separators=(",", ":"))[1:-1] + ',"message":"'

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        head = f'{{"{keys.timestamp}":"{timestamp}","{keys.level}":"{keys.level_text(level)}",'
        return (head + fixed).encode(), b'","partial":true}' if partial else b'"}'

    return Shape(escape=json_text, around=around, merger=Merger(keys))


def _as_is(text: bytes) -> bytes:
    return text


def _under(width: int) -> bytes:
    """The lines of a joined message stand under their first one, so that none poses as another's."""
    return b"\n" + b" " * width + b"| "


def _on_one_line(text: bytes) -> bytes:
    return printable_lines(text).replace(JOINT, b"\\n")
