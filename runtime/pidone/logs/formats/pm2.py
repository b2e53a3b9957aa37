"""PM2's formats: `--json`, `--format` and `--formatted`, with one record per line and not per read()."""

import json
from typing import TYPE_CHECKING, Final

from pidone.logs.escape import JOINT, json_text, printable_lines
from pidone.logs.formats.objects import compact
from pidone.logs.formats.shape import LONG_LINE, Format, Frame, RecordIdentity, Shape, fields_of
from pidone.logs.formats.text import Console, under

if TYPE_CHECKING:
    from logging import LogRecord

STATUS: Final = {
    "instance.start": "start",
    "instance.online": "online",
    "instance.exit": "exit",
    "instance.backoff": "restart",
    "instance.errored": "restart overlimit",
    "instance.stop": "stop",
    "app.reload": "reload",
}
"""PM2's words for what happens to a process (Bus `process:event`)."""


def pm2_json_format() -> Format:
    """PM2's `--json`."""
    return Format(shape=pm2_json_shape, event=_event)


def pm2_format_format(*, colour: bool) -> Format:
    """PM2's `--format`: `timestamp=2026-11-20-23:04:39+0000 app=app id=0 type=out message=...`, unquoted."""
    return Format(shape=_format_shape, event=Console(colour=colour).event)


def pm2_formatted_format(*, colour: bool) -> Format:
    """PM2's `--formatted`: `0|app  | ...`, green or red; PM2 cannot switch the colour off, we can."""

    def shape(origin: RecordIdentity) -> Shape:
        code = "\x1b[31m" if origin.stream == "stderr" else "\x1b[32m"
        start, stop = (code, "\x1b[39m") if colour else ("", "")
        who = f"{origin.pm_id}|{origin.called}  "
        frame = f"{start}{who}| {stop}".encode(errors="replace"), b""
        return Shape(
            escape=printable_lines, around=lambda *_: frame, least_line=LONG_LINE, joint=under(len(who))
        )

    return Format(shape=shape, event=Console(colour=colour).event)


def pm2_json_shape(origin: RecordIdentity) -> Shape:
    """Also that of the lines in files with `log_type = "json"`."""
    kind = "err" if origin.stream == "stderr" else "out"
    who = f'"type":"{kind}","process_id":{origin.pm_id},"app_name":{json.dumps(origin.called)}}}'

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del level, partial
        return b'{"message":"', f'","timestamp":"{timestamp}",{who}'.encode()

    return Shape(escape=json_text, around=around, least_line=LONG_LINE)


def _format_shape(origin: RecordIdentity) -> Shape:
    kind = "error" if origin.stream == "stderr" else "out"
    who = f"+0000 app={origin.called} id={origin.pm_id} type={kind} message="

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del level, partial
        return f"timestamp={timestamp[:10]}-{timestamp[11:19]}{who}".encode(errors="replace"), b""

    return Shape(escape=_on_one_line, around=around, least_line=LONG_LINE)


def _on_one_line(text: bytes) -> bytes:
    return printable_lines(text).replace(JOINT, b"\\n")


def _event(record: "LogRecord") -> str:
    """PM2 has records for what happens to processes, and plain lines for the rest; ours are all records."""
    fields = fields_of(record)
    app = {"app_name": fields["app"]} if "app" in fields else {}
    if status := STATUS.get(fields["event"]):
        return compact({"timestamp": fields["timestamp"], "type": "process_event", "status": status, **app})
    told = {key: value for key, value in fields.items() if key not in ("timestamp", "message", "app")}
    shown = {"message": fields["message"], "timestamp": fields["timestamp"], "type": "PM2"}
    return compact({**shown, **app, **told}, default=str)
