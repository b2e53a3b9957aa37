"""What a record looks like: a format is an escape for the text and a frame that is put around each line."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from runtime.logs.escape import JOINT, json_string, json_text
from runtime.record import Record

Frame: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the text of a line."""


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
    """The frame for a timestamp, a level, and whether the line goes on in the next record."""


def json_shape(origin: Origin) -> Shape:
    """`{"timestamp","level","app","instance","pid","stream","message"}`, one object per line."""
    identity = b",".join(
        b"%s:%s" % (json_string(key), value)
        for key, value in {
            "app": json_string(origin.app),
            "instance": b"%d" % origin.instance,
            "pid": b"%d" % origin.pid,
            "stream": json_string(origin.stream),
            **{key: json_string(value) for key, value in origin.fields.items()},
        }.items()
    )

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        head = f'{{"timestamp":"{timestamp}","level":"{level}",'.encode()
        return head + identity + b',"message":"', b'","partial":true}' if partial else b'"}'

    return Shape(escape=json_text, around=around)


def plain(text: bytes) -> bytes:
    """No escape at all; joined lines become lines again."""
    return text.replace(JOINT, b"\n")


SHAPES: Final[Mapping[str, Callable[[Origin], Shape]]] = {
    "json": json_shape,
}
"""By the name that `log_format` has in the configuration."""
