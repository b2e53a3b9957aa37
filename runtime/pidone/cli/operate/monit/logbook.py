"""The lines of log that are kept, and which of them are to be seen; records are read when they are shown."""

from typing import Any, Final

from pidone.cli.operate.monit import cells
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.state import LEVELS, Screen
from pidone.logs.escape import printable, printable_word
from pidone.logs.fields import fields_of
from pidone.logs.formats import widths
from pidone.logs.formats.text import in_words

KEPT: Final = 5000
_STYLES: Final = {"error": "bad", "fatal": "bad", "warning": "wait", "debug": "dim", "trace": "dim"}
_SEVERITY: Final = {"trace": 0, "debug": 0, "info": 1, "warning": 2, "error": 3, "fatal": 3}
_OWN: Final = ("timestamp", "level", "event", "message", "app", "instance", "namespace", "pid", "stream")
_LEAST_WHO: Final = 10
"""Columns for who says something, at least; else a quarter of the screen."""
_NAMES: Final = 6
"""Styles `name0` to `name5`."""


class Log:
    """Records as JSON, numbered from the first one that ever came."""

    def __init__(self) -> None:
        """Empty."""
        self._records: list[str] = []
        self._first = 0

    @property
    def end(self) -> int:
        """The number that the next record gets."""
        return self._first + len(self._records)

    @property
    def first(self) -> int:
        """The number of the oldest record that is kept."""
        return self._first

    def add(self, records: list[str]) -> None:
        """New ones; the oldest go."""
        self._records += records
        if (over := len(self._records) - KEPT) > KEPT // 4:
            del self._records[:over]
            self._first += over

    def clear(self) -> None:
        """Those of another app come now."""
        self._first = self.end
        self._records = []

    def before(self, end: int | None, most: int, state: Screen) -> list[tuple[int, dict[str, Any]]]:
        """The last `most` records before number `end` that the filters let pass, the oldest first."""
        number = self.end if end is None else min(end, self.end)
        least = LEVELS.index(state.level)
        found: list[tuple[int, dict[str, Any]]] = []
        while number > self._first and len(found) < most:
            number -= 1
            fields = fields_of(self._records[number - self._first])
            if least and _SEVERITY.get(str(fields.get("level")), 1) < least:
                continue
            if _is_of(fields, state):
                found.append((number, fields))
        return found[::-1]

    def find(self, text: str, end: int) -> int | None:
        """The number after the last record before `end` in which a text is."""
        wanted = text.lower()
        for number in range(min(end, self.end) - 1, self._first - 1, -1):
            if wanted in self._records[number - self._first].lower():
                return number + 1
        return None

    def find_after(self, text: str, begin: int) -> int | None:
        """The number after the first record from `begin` on in which a text is."""
        wanted = text.lower()
        for number in range(max(begin, self._first), self.end):
            if wanted in self._records[number - self._first].lower():
                return number + 1
        return None


def _is_of(fields: dict[str, Any], state: Screen) -> bool:
    """Whether it is of the one instance that is marked, where one is."""
    if state.all_logs or ":" not in state.cursor:
        return True
    return str(fields.get("instance", "")) == state.cursor.rpartition(":")[2]


def in_pieces(fields: dict[str, Any], state: Screen) -> Line:
    """A record as a line: time, who, what."""
    level = str(fields.get("level", "info"))
    style = _STYLES.get(level, "")
    who, words = "pidone", ""
    if "stream" in fields:
        who = f"{fields.get('app', '?')}:{fields.get('instance', 0)}"
        own = {key: value for key, value in fields.items() if key not in _OWN or key == "message"}
        words = in_words(own)
    else:
        whose = str(fields.get("app", "")) + (f":{fields['instance']}" if "instance" in fields else "")
        said = str(fields.get("message", ""))
        more = [
            f"{key}={value}" for key, value in fields.items() if key not in _OWN and str(value) not in said
        ]
        words = " ".join(filter(None, (str(fields.get("event", "")), whose, said, *more)))
    if not style and "event" in fields and "stream" not in fields:
        style = "event"
    text = printable(words).replace("\n", " ⏎ ").replace("\t", "  ")
    line: Line = [
        ("dim", str(fields.get("timestamp", ""))[11:19] + " "),
        (
            f"name{sum(map(ord, who.partition(':')[0])) % _NAMES}" if who != "pidone" else "bold",
            widths.middle(printable_word(who), max(_LEAST_WHO, state.width // 4)),
        ),
        (style or "dim", " ┃ " if style in ("bad", "wait") else " │ "),
        *cells.coloured(text, style),
    ]
    return marked(line, state.search) if state.search else line


def marked(line: Line, wanted: str) -> Line:
    """The line with what was searched for made visible."""
    found: Line = []
    for style, text in line:
        at, low = 0, text.lower()
        while (here := low.find(wanted.lower(), at)) >= 0:
            found += [(style, text[at:here]), ("found", text[here : here + len(wanted)])]
            at = here + len(wanted)
        found.append((style, text[at:]))
    return [(style, text) for style, text in found if text]
