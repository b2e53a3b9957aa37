"""For people: the format `text`, what commands show of records on a terminal, and the format `raw`."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pidone.ecosystem.spec import Bytes
from pidone.logs import levels
from pidone.logs.escape import printable, printable_lines, printable_word, without_colours
from pidone.logs.formats import widths
from pidone.logs.formats.logfmt import logfmt_value
from pidone.logs.formats.shape import FIRST, LONG_LINE, Format, Frame, RecordIdentity, Shape, fields_of

if TYPE_CHECKING:
    from logging import LogRecord

_OURS: Final = "pidone"
_LEAST_NAME: Final = 8
_WIDEST: Final = 24
"""Longer names push their own lines to the right, and not those of everybody."""
_PALETTE: Final = (36, 35, 34, 32, 96, 95, 94, 92)
_LEVEL_COLOURS: Final = {"error": 31, "fatal": 31, "warning": 33, "debug": 90, "trace": 90}
_MESSAGES: Final = ("message", "msg")
_IDENTITY: Final = frozenset(("app", "instance", "namespace", "pid", "stream"))
_MANY_LINES: Final = ("exc_info", "stack")
_TIMES: Final = frozenset(("timestamp", "time", "@timestamp", "ts"))
_ALWAYS_THE_SAME: Final = frozenset(("hostname", "app_pid", "v", "@version"))
"""Of pino, bunyan, logback: who writes and in which format, which is known already."""
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,3})?"
_RESET: Final = "\x1b[0m"


def text_format(*, colour: bool) -> Format:
    """The time, who, and what."""
    console = Console(colour=colour)
    return Format(shape=console.shape, event=console.event)


def raw_format(*, colour: bool) -> Format:
    """Whole lines, otherwise untouched; the relay sends those of stderr to stderr."""
    shape = Shape(escape=bytes, around=lambda *_: (b"", b""), least_line=LONG_LINE, verbatim=True)
    return Format(shape=lambda _origin: shape, event=Console(colour=colour).event)


def under(width: int) -> bytes:
    """The lines of a joined message stand under their first one, so that none poses as another's."""
    return b"\n" + b" " * width + b"| "


class Console:
    """Shows records, names aligned, each in a colour; of an app's words only colours have an effect."""

    def __init__(self, *, colour: bool, width: int | None = None) -> None:
        """Of a terminal that is `width` columns wide, names get a quarter at most."""
        self._colour = colour
        self._longest = None if width is None else max(width // 4, _LEAST_NAME)
        self._colours: dict[str, int] = {}
        """By app, in the order in which they spoke first: those that fit do not collide."""
        self._width = len(_OURS)

    def shape(self, origin: RecordIdentity) -> Shape:
        """For lines of apps."""
        name = f"{origin.app}.{origin.instance}"

        def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
            del partial
            return self._frame(timestamp, origin.app, name, level).encode(errors="replace"), b""

        self._frame("", origin.app, name, "info")
        return Shape(
            escape=printable_lines,
            around=around,
            merger=_Objects(self, origin),
            least_line=LONG_LINE,
            joint=under(len("00:00:00.000 ") + self._width + 1),
        )

    def event(self, record: "LogRecord") -> str:
        """One of the runtime's own events."""
        return self._own(fields_of(record))

    def record(self, fields: Mapping[str, Any]) -> str:
        """A record of the format `json`, an app's or the runtime's own; in colours or without any."""
        if "stream" not in fields:
            return self._own(fields)
        app = str(fields.get("app", "?"))
        level = levels.of_fields(fields) or "info"  # an app may spell its own as it likes
        name = f"{app}.{fields.get('instance', 0)}"
        own = {key: value for key, value in fields.items() if key not in _IDENTITY}
        text = in_words(own) if self._colour else without_colours(in_words(own))
        return self._framed(str(fields.get("timestamp", "")), app, name, level, text)

    def _own(self, fields: Mapping[str, Any]) -> str:
        """Each fact once: what the message says is not repeated."""
        level, message = str(fields.get("level", "info")), str(fields.get("message", ""))
        who = str(fields.get("app", ""))
        if who and fields.get("instance") is not None:
            who += f".{fields['instance']}"
        others = unsaid(fields)
        start = str(fields.get("event", "")) + (f" {printable_word(who)}" if who else "")
        text = " ".join((start + (":" if who and message else ""), *filter(None, (message, *others))))
        text += "".join(f"\n{fields[key]}" for key in _MANY_LINES if key in fields)
        return self._framed(str(fields.get("timestamp", "")), _OURS, _OURS, level, text)

    def _framed(self, timestamp: str, app: str, name: str, level: str, text: str) -> str:
        frame = self._frame(timestamp, app, name, level)
        text = printable(text).replace("\n", under(len("00:00:00.000 ") + self._width + 1).decode())
        if self._colour and app == _OURS and level in _LEVEL_COLOURS:
            return f"{frame}\x1b[{_LEVEL_COLOURS[level]}m{text}{_RESET}"
        return frame + text

    def _frame(self, timestamp: str, app: str, name: str, level: str) -> str:
        name = printable_word(name)
        if self._longest is not None:
            name = widths.middle(name, self._longest)  # which instance it is stays
        columns = widths.width(name)
        self._width = max(self._width, min(columns, _WIDEST))
        padding = " " * (self._width - columns)
        if not self._colour:
            return f"{_clock(timestamp)} {name}{padding} | "
        number = self._colours.setdefault(app, len(self._colours))
        code = 1 if app == _OURS else _PALETTE[number % len(_PALETTE)]
        bar = f"\x1b[{_LEVEL_COLOURS[level]}m|{_RESET}" if level in _LEVEL_COLOURS else "|"
        return f"{_clock(timestamp)} \x1b[{code}m{name}{_RESET}{padding} {bar} "

    def line_of(self, origin: RecordIdentity, own: Mapping[str, Any], timestamp: str, level: str) -> str:
        """A line of an app that is a JSON object."""
        name = f"{origin.app}.{origin.instance}"
        return self._framed(timestamp, origin.app, name, levels.of_fields(own) or level, in_words(own))


def unsaid(fields: Mapping[str, Any], hidden: Collection[str] = ("app", "instance")) -> list[str]:
    """What an event tells beside its message: each fact once."""
    said = {word.strip("\"'.,:;()") for word in str(fields.get("message", "")).split()}
    return [
        f"{key}={printable_word(logfmt_value(value))}"
        for key, value in fields.items()
        if key not in (*FIRST, *_MANY_LINES, *hidden) and str(value) not in said
    ]


def _clock(timestamp: str) -> str:
    """The time of day in twelve characters, whatever an app's own logger leaves out of it."""
    found = re.match(_CLOCK, timestamp[11:])
    if found is None:
        return timestamp[11:23].ljust(12)
    clock, _, fraction = found[0].replace(",", ".").partition(".")
    return f"{clock}.{fraction:0<3}"


def in_words(own: Mapping[str, Any]) -> str:
    """An object as an app's logger wrote it: its message, then what else it tells, without level and time."""
    key = next((key for key in (*_MESSAGES, "event") if isinstance(own.get(key), str)), None)
    hidden = {key, *_TIMES, *levels.FIELDS, *_ALWAYS_THE_SAME}
    others = [f"{name}={_value(value)}" for name, value in own.items() if name not in hidden]
    return " ".join((*([own[key]] if key else []), *others))


def _value(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return logfmt_value(value)


class _Objects:
    """`ObjectLines` of the format `text`."""

    def __init__(self, console: Console, origin: RecordIdentity) -> None:
        self._console = console
        self._origin = origin

    def records(self, lines: bytes, timestamp: str, level: str, most: Bytes) -> bytes | None:
        """People read slowly: one by one is fast enough."""
        del lines, timestamp, level, most
        return None

    def are_objects(self, lines: Sequence[bytes]) -> list[bool]:
        """Nobody needs to know that beforehand."""
        return [False for _ in lines]

    def record(self, line: bytes, timestamp: str, level: str) -> bytes | None:
        """See `ObjectLines`."""
        try:
            own = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not own:  # a dict for sure: the line begins with a brace
            return None
        return self._console.line_of(self._origin, own, timestamp, level).encode(errors="replace") + b"\n"
