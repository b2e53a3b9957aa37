"""What the runtime's own events look like in every format; see `shapes` for the lines of apps."""

import json
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pidone.logs.escape import printable, printable_word
from pidone.logs.own import Renderer
from pidone.logs.shapes import ECS_VERSION, gcp_severity, logfmt_value

_FIRST: Final = ("timestamp", "level", "event", "message")
_UNDER: Final = "\n" + " " * len("00:00:00.000 pidone ") + "| "
_PM2_STATUS: Final = {
    "instance.start": "start",
    "instance.online": "online",
    "instance.exit": "exit",
    "instance.backoff": "restart",
    "instance.errored": "restart overlimit",
    "instance.stop": "stop",
    "app.reload": "reload",
}
"""PM2's words for what happens to a process (Bus `process:event`)."""


def own_renderer(name: str, *, colour: bool) -> Renderer:
    """For one of `shapes.SHAPES`."""
    return _RENDERERS[name](colour)


def _json(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    del colour
    return _json_formatter({}).format


def _gcp(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    del colour
    render = _json_formatter({"timestamp": "time", "level": "severity"}).format

    def gcp(record: logging.LogRecord) -> str:
        _fields(record)["level"] = gcp_severity(_fields(record)["level"])
        return render(record)

    return gcp


def _ecs(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    del colour
    names = {
        "timestamp": "@timestamp",
        "level": "log.level",
        "event": "event.action",
        "exc_info": "error.stack_trace",
    }
    fixed = {"ecs.version": ECS_VERSION, "service.name": "pidone"}
    return _json_formatter({**names, "app": "labels.app"}, fixed).format


def _json_formatter(names: Mapping[str, str], fixed: Mapping[str, Any] | None = None) -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - heavy, see OwnEvents

    return JsonFormatter(
        "".join(f"%({name})s" for name in _FIRST),  # their order
        json_serializer=_compact,
        json_default=str,
        rename_fields=dict(names),
        static_fields=dict(fixed or {}),
    )


def _compact(value: Any, **options: Any) -> str:
    return json.dumps(value, **{**options, "separators": (",", ":"), "ensure_ascii": False})


def _logfmt(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    del colour
    names = {"timestamp": "ts", "message": "msg"}

    def logfmt(record: logging.LogRecord) -> str:
        pairs = [f"{names.get(k, k)}={logfmt_value(v)}" for k, v in _complete(record).items()]
        return " ".join(pairs)

    return logfmt


def _text(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    start, stop = ("\x1b[1m", "\x1b[0m") if colour else ("", "")

    def text(record: logging.LogRecord) -> str:
        fields = _complete(record)
        said = f" {printable(str(fields['message']))}".replace("\n", _UNDER) if fields["message"] else ""
        rest = "".join(
            f" {key}={printable_word(logfmt_value(value))}"
            for key, value in fields.items()
            if key not in (*_FIRST, "exc_info")
        )
        trace = f"\n{printable(fields['exc_info'])}".replace("\n", _UNDER) if "exc_info" in fields else ""
        return f"{fields['timestamp'][11:23]} {start}pidone{stop} | {fields['event']}{said}{rest}{trace}"

    return text


def _pm2(colour: bool) -> Renderer:  # noqa: FBT001 - one signature for all
    """PM2 has records for what happens to processes, and plain lines for the rest; ours are all records."""
    del colour

    def pm2(record: logging.LogRecord) -> str:
        fields = _complete(record)
        app = {"app_name": fields["app"]} if "app" in fields else {}
        if status := _PM2_STATUS.get(fields["event"]):
            return _compact(
                {"timestamp": fields["timestamp"], "type": "process_event", "status": status, **app}
            )
        told = {key: value for key, value in fields.items() if key not in ("timestamp", "message", "app")}
        return _compact(
            {"message": fields["message"], "timestamp": fields["timestamp"], "type": "PM2", **app, **told},
            default=str,
        )

    return pm2


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What `OwnEvents` has put into the record."""
    assert isinstance(record.msg, dict)  # noqa: S101 - for the type checker
    return record.msg


def _complete(record: logging.LogRecord) -> dict[str, Any]:
    """All fields, with the stack trace if there is one."""
    fields = _fields(record)
    if record.exc_info:
        fields = {**fields, "exc_info": logging.Formatter().formatException(record.exc_info)}
    return fields


_RENDERERS: Final[Mapping[str, Callable[[bool], Renderer]]] = MappingProxyType(
    {
        "json": _json,
        "gcp": _gcp,
        "ecs": _ecs,
        "logfmt": _logfmt,
        "text": _text,
        "raw": _text,
        "pm2": _pm2,
        "pm2-format": _text,
        "pm2-formatted": _text,
    }
)
