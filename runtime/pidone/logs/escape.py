r"""Text made safe for who reads it: whole chunks for JSON quotes, and anything at all for a terminal.

A terminal obeys what it is shown: `\r`, ESC [2K and OSC let an app overwrite another's line, hide it, or
write to the clipboard (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html). So whatever shows an app's
words to people shows control characters as `cat -v` does, `^[` for ESC. Colours may stay in lines, and end
with them.
"""

import functools
import re
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


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first needed."""
    return re.compile(pattern)


_PLAIN: Final = b"\t\n" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_COLOUR: Final = r"\x1b\[[0-9;:]*m"  # SGR of ECMA-48, 8.3.117
# Besides C0 and DEL: C1 (ECMA-48, 8.2.2), and what changes the order of what stands around it (UAX #9).
_CONTROL: Final = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]"
_COLOURED_TO_THE_END: Final = rf"({_COLOUR})(?<!\[m)(?<!\[0m)([^\x1b\n]*)$"


def printable_lines(lines: bytes) -> bytes:
    r"""Valid UTF-8 lines for a terminal: colours end with their line, no other control has an effect."""
    if lines.isascii() and not lines.translate(None, _PLAIN):
        return lines
    text = lines.decode(errors="surrogateescape")  # JOINT is no UTF-8
    return printable(text).encode(errors="surrogateescape")


def printable(text: str) -> str:
    r"""Text of one or more lines for a terminal; tabs, line ends and colours stay."""
    if text.isprintable():
        return text
    shown = _compiled(f"{_COLOUR}|{_CONTROL}").sub(_shown, text)
    if "\x1b" not in shown:
        return shown
    return _compiled(f"(?m){_COLOURED_TO_THE_END}").sub("\\1\\2\x1b[0m", shown)


def without_colours(text: str) -> str:
    """Text as it is where there are none."""
    return _compiled(_COLOUR).sub("", text) if "\x1b" in text else text


def printable_word(text: str) -> str:
    """A name or a status for a terminal, within a line or a table: it can neither end that nor colour it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _caret(each) for each in text)


def _shown(found: re.Match[str]) -> str:
    return found[0] if found[0].endswith("m") and len(found[0]) > 1 else _caret(found[0])


def _caret(character: str) -> str:
    """As `cat -v` and `less` show it."""
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return f"<{code:02x}>" if code < 0x100 else f"<U+{code:04X}>"
