"""The terminal: urwid turns keys and the mouse into calls, and lines into what has changed on the screen."""

import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Hashable
from typing import Any, Final

import urwid

from pidone.cli.operate.client import Client
from pidone.cli.operate.monit import charset, keys, rows
from pidone.cli.operate.monit.feed import LogFeed
from pidone.cli.operate.monit.gather import Answered, Gatherer, News
from pidone.cli.operate.monit.logbook import Log
from pidone.cli.operate.monit.state import Description, Pane, Screen, Snapshot
from pidone.cli.operate.monit.typed import Typed
from pidone.cli.operate.monit.views import screen
from pidone.cli.operate.patterns import target_of
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import SIGNAL_BASE

_FRAME: Final[Seconds] = 0.2
"""Between two pictures that nobody asked for by a key."""
_CUT: Final[Seconds] = 0.25
"""For the rest of a key's sequence, on a line that cuts it in two."""
_SETTLED: Final[Seconds] = 0.15
"""So long the cursor rests on an app before its log is followed."""
_FOLD_FROM: Final = 30
"""Rows from which on apps that are well begin folded."""

_COLOURS: Final = (
    "black", "dark red", "dark green", "brown", "dark blue", "dark magenta", "dark cyan", "light gray",
)  # fmt: skip
_CURSOR: Final = "dark blue"
PALETTE: Final = (
    ("good", "dark green", ""),
    ("wait", "brown", ""),
    ("bad", "light red", ""),
    ("dim", "dark gray", ""),
    ("cpu", "dark cyan", ""),
    ("bold", "bold", ""),
    ("head", "bold", ""),
    ("head focus", "light cyan,bold", ""),
    ("key", "light cyan", ""),
    ("event", "light blue", ""),
    ("mark", "yellow,bold", ""),
    ("found", "black", "yellow"),
    ("fine", "black", "dark green"),
    ("alarm", "white,bold", "dark red"),
    ("ask", "black", "yellow"),
    ("cursor", "white,bold", _CURSOR),
    ("cursor good", "light green,bold", _CURSOR),
    ("cursor wait", "yellow,bold", _CURSOR),
    ("cursor bad", "light red,bold", _CURSOR),
    ("cursor mark", "yellow,bold", _CURSOR),
    *((f"sgr{number}", colour, "") for number, colour in enumerate(_COLOURS)),
    *(
        (f"name{number}", colour, "")
        for number, colour in enumerate(
            ("dark cyan", "dark magenta", "light blue", "dark green", "light magenta", "brown")
        )
    ),
)
_PLAIN: Final = {
    "fine": "standout",
    "alarm": "standout",
    "ask": "standout",
    "found": "standout",
    "key": "bold",
}
"""Without colours (https://no-color.org)."""


def run(runtime: Client) -> None:
    """Until somebody leaves. Raises what the terminal raises."""
    Driver(runtime).run()


class Driver(urwid.Widget):
    """The one widget: all that is on the screen."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, runtime: Client) -> None:
        """Everything is made, nothing begins."""
        super().__init__()
        self._state = Screen()
        self._log = Log()
        self._news: deque[News] = deque()
        self._gatherer = Gatherer(runtime, self._tell)
        self._feed = LogFeed(runtime, self._wake)
        self._followed: str | None = ""
        self._encode = charset.encoder(os.environ)
        self._drawn = 0.0
        self._planned: Any = None
        self._settling: Any = None
        self._typed = Typed()
        display = _Display(bracketed_paste_mode=True)
        display.set_input_timeouts(complete_wait=_CUT)
        # They are keys like others here: Ctrl-C leaves as `q` does, Ctrl-S stops nothing.
        display.tty_signal_keys("undefined", "undefined", "undefined", "undefined", "undefined")
        self._loop = urwid.MainLoop(self, _palette(), display, pop_ups=False)
        self._pipe = self._loop.watch_pipe(self._woken)

    def run(self) -> None:
        """The alternate screen; everything as it was afterwards, whatever happens."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: sys.exit(SIGNAL_BASE + number))
        self._gatherer.start()
        self._loop.run()

    def render(  # type: ignore[override] # it is a box, and gets both
        self,
        size: tuple[int, int],
        focus: bool = False,  # noqa: FBT001, FBT002 (urwid's)
    ) -> urwid.Canvas:
        """See urwid.Widget."""
        del focus
        width, height = size
        self._state = self._state.but(width=width, height=height)
        self._drawn = time.monotonic()
        texts: list[bytes] = []
        styles: list[list[tuple[Hashable, int]]] = []
        for line in screen.lines(self._state, self._log):
            encoded = [(style or None, self._encode(text)) for style, text in line if text]
            texts.append(b"".join(text for _, text in encoded))
            styles.append([(style, len(text)) for style, text in encoded])
        return urwid.TextCanvas(texts, styles, maxcol=width, check_width=False)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        """See urwid.Widget."""
        del size
        for each in self._typed.keys(key, is_text=self._state.typing is not None):
            state, asked = keys.press(self._state, each, self._log)
            if asked is not None:
                self._gatherer.ask(asked)
            self._become(state)
        return None

    def mouse_event(  # type: ignore[override]
        self,
        size: tuple[int, int],
        event: str,
        button: int,
        col: int,
        row: int,
        focus: bool,  # noqa: FBT001
    ) -> bool:
        """See urwid.Widget."""
        del size, focus
        if event != "mouse press":
            return False
        self._become(keys.click(self._state, button, col, row, self._log))
        return True

    def _become(self, state: Screen) -> None:
        if state.over:
            raise urwid.ExitMainLoop
        self._state = state
        row = rows.chosen(state)
        key = "" if row is None else rows.of_app(row.key)
        self._gatherer.describe("" if state.pane is Pane.LOG else key)
        wanted = None if state.all_logs else key
        if wanted not in (self._followed, ""):
            self._followed = wanted
            if self._settling is not None:
                self._loop.remove_alarm(self._settling)
            self._settling = self._loop.set_alarm_in(_SETTLED, self._follow)
        self._invalidate()

    def _follow(self, *_: object) -> None:
        self._settling = None
        self._log.clear()
        self._feed.follow(self._followed)

    def _tell(self, news: News) -> None:
        """Called in another thread."""
        self._news.append(news)
        self._wake()

    def _wake(self) -> None:
        os.write(self._pipe, b"!")

    def _woken(self, _data: bytes) -> bool:
        """Something has come: it is shown soon, together with what comes until then."""
        if self._planned is None:
            due = max(0.0, self._drawn + _FRAME - time.monotonic())
            self._planned = self._loop.set_alarm_in(due, self._take)
        return True

    def _take(self, *_: object) -> None:
        self._planned = None
        self._log.add(self._feed.take())
        state = self._state
        while self._news:
            state = _with(state, self._news.popleft())
        self._become(state)


class _Display(urwid.display.raw.Screen):
    """A terminal that may not know its size yet: `docker exec -t` tells it a moment after the start."""

    def get_cols_rows(self) -> tuple[int, int]:
        """See urwid."""
        width, height = super().get_cols_rows()
        return (width, height) if width > 0 and height > 0 else shutil.get_terminal_size()


def _with(state: Screen, news: News) -> Screen:
    """The state with what was told."""
    if isinstance(news, Answered):
        return state.but(said=news.text, said_style=news.style)
    if isinstance(news, Description):
        return state.but(description=news)
    if not state.shot.overview and news.overview:
        state = _begin(state, news)
    if state.shot.trouble and not news.trouble:
        state = state.but(said="the runtime answers again", said_style="good")
    state = state.but(shot=news)
    row = rows.chosen(state)
    return state.but(cursor=row.key) if row is not None and row.key != state.cursor else state


def _begin(state: Screen, shot: Snapshot) -> Screen:
    """The first picture: where there are many rows, apps that are well are folded."""
    many = sum(len(app["instances"]) for app in shot.apps)
    well = (target_of(app) for app in shot.apps if app["scale"] > 1 and app["ready"])
    return state.but(folded=frozenset(well) if many > _FOLD_FROM else frozenset())


def _palette() -> list[tuple[str, str, str]]:
    if os.environ.get("NO_COLOR"):
        names = [name for name, _, _ in PALETTE]
        return [
            (
                name,
                "standout"
                if name.startswith("cursor")
                else _PLAIN.get(name, "bold" if name in ("head", "bold") else ""),
                "",
            )
            for name in names
        ]
    return list(PALETTE)
