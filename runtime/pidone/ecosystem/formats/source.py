"""The bytes of a file, or of standard input, as text: sizes, kinds of file, encodings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem.document import KeyPath
from pidone.ecosystem.files import read_file, read_stdin
from pidone.errors import ConfigError
from pidone.record import EMPTY, Record

MAX_SOURCE_BYTES: Final = 1 << 20
"""Larger than any ecosystem file ever seen (the largest of 285 public ones has 40 KiB)."""

_UTF16_OR_32: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Source(Record, kw_only=True):
    """A text and what to call it."""

    path: Path | None
    """As the user wrote it; None for standard input."""
    text: str
    """Without byte order mark; line ends are as in the file."""

    @property
    def name(self) -> str:
        """How messages name the file."""
        return str(self.path) if self.path else "<stdin>"


class Parsed(Record):
    """What a text says, in plain values, before anybody looks for apps in it."""

    value: Any
    notices: tuple[str, ...] = ()
    lines: Mapping[KeyPath, int] = EMPTY
    """Of every key, if the parser tells."""
    env: Mapping[str, str | None] = EMPTY
    """As in Document."""


def load(path: Path | None) -> Source:
    """Read `path`, or standard input.

    Raises:
        ConfigError: it cannot be read, is a folder, is empty, too large or not UTF-8.
    """
    name = str(path) if path else "<stdin>"
    try:
        data = read_file(path, MAX_SOURCE_BYTES + 1) if path else read_stdin(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        is_url = name.partition("/")[0].endswith(":")
        hint = "; files are read, and no URLs: `curl URL | pidone -`" if is_url else ""
        raise ConfigError(f"{name}: {error.strerror}{hint}") from None
    text = decode(data, name)
    if not text.strip():
        raise ConfigError(f"{name}: is empty; an ecosystem is an object with apps: [{{script: 'server.js'}}]")
    return Source(path=path, text=text)


def decode(data: bytes, name: str) -> str:
    """UTF-8 with or without byte order mark.

    Raises:
        ConfigError: the bytes are too many or are something else.
    """
    if len(data) > MAX_SOURCE_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_SOURCE_BYTES >> 10} KiB, which no ecosystem file needs")
    if data.startswith(_UTF16_OR_32):
        raise ConfigError(f"{name}: is UTF-16 or UTF-32; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError(
            f"{name}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise ConfigError(
            f"{name}:{line}: holds a NUL byte; it is binary, or UTF-16 that must be saved as UTF-8"
        )
    return text
