"""The format `logfmt`: `ts=... level=... app=... msg="..."`, values quoted where they need it."""

import json
from typing import TYPE_CHECKING, Final

from pidone.logs.escape import json_text
from pidone.logs.formats.shape import Format, Frame, RecordIdentity, Shape, fields_of

if TYPE_CHECKING:
    from logging import LogRecord

_NAMES: Final = {"timestamp": "ts", "message": "msg"}


def logfmt_format() -> Format:
    """Key=value pairs as https://brandur.org/logfmt has them."""
    return Format(shape=_shape, event=_event, has_fields=True)


def logfmt_value(value: object) -> str:
    """`value` as it may stand behind a `=`."""
    text = str(value)
    if text and text.isprintable() and not any(c in ' "=\\' for c in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _shape(origin: RecordIdentity) -> Shape:
    identity = " ".join(f"{k}={logfmt_value(v)}" for k, v in {**origin.identity, **origin.fields}.items())

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        head = f'ts={timestamp} level={level} {identity} msg="'
        return head.encode(errors="replace"), b'" partial=true' if partial else b'"'

    return Shape(escape=json_text, around=around)


def _event(record: "LogRecord") -> str:
    fields = fields_of(record)
    return " ".join(f"{_NAMES.get(key, key)}={logfmt_value(value)}" for key, value in fields.items())
