r"""Whole chunks of text made safe to stand inside JSON quotes; `\n` still ends lines, for the frame."""

from typing import Final

JOINT: Final = b"\xff"
"""Stands for a line end *inside* a message; valid UTF-8 never contains this byte."""

_LEFT_ALONE: Final = b"\n" + bytes(range(0x20, 0x100))
_SHORT: Final = {0x09: b"\\t", 0x0D: b"\\r", 0x08: b"\\b", 0x0C: b"\\f"}


def utf8(data: bytes) -> bytes:
    """`data` if it is valid UTF-8, else with every invalid part replaced by U+FFFD."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


def json_text(text: bytes) -> bytes:
    r"""Escape valid UTF-8 for a JSON string (RFC 8259 section 7), except for `\n`, which still ends lines.

    A handful of passes in C over the chunk: several gigabytes per second, where a call per line would cost
    more than everything else together.
    """
    if b"\\" in text:
        text = text.replace(b"\\", b"\\\\")
    if b'"' in text:
        text = text.replace(b'"', b'\\"')
    for code in set(text.translate(None, _LEFT_ALONE)):
        text = text.replace(bytes((code,)), _SHORT.get(code) or b"\\u%04x" % code)
    return text.replace(JOINT, b"\\n")


def json_string(text: str) -> bytes:
    r"""One value, quoted, with `\n` escaped too."""
    return b'"' + json_text(text.encode(errors="replace")).replace(b"\n", b"\\n") + b'"'
