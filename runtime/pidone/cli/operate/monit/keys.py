"""Keys and the mouse: each makes another state, some ask for something."""

from collections.abc import Callable
from typing import Final

from pidone.cli.operate.monit import actions, rows
from pidone.cli.operate.monit.layout import layout
from pidone.cli.operate.monit.logbook import Log
from pidone.cli.operate.monit.state import LEVELS, CommandRequest, Pane, Screen, Typing
from pidone.cli.operate.monit.views.table import column_at
from pidone.cli.operate.patterns import target_of

_ALIASES: Final = {
    "k": "up",
    "j": "down",
    "g": "home",
    "G": "end",
    "ctrl c": "q",
    "h": "left",
    "ctrl b": "page up",
    "ctrl f": "page down",
}
_WHEEL: Final = {4: "up", 5: "down"}
"""Buttons of the mouse, as terminals number them."""
_STEP: Final = 3
"""Lines that a wheel moves."""
_MOVES: Final = ("up", "down", "page up", "page down", "home", "end")


def press(state: Screen, key: str, log: Log) -> tuple[Screen, CommandRequest | None]:
    """The state after a key, and what is to be asked of the runtime for it."""
    if state.typing is not None:
        return _type(state, key, log), None
    if state.question is not None:
        return _answer(state, state.question, key)
    if state.help:
        return state.but(help=False, over=key == "ctrl c"), None
    key = _ALIASES.get(key, key)
    if key in actions.ACTIONS:
        return _act(state, actions.ACTIONS[key])
    if key in _MOVES:
        return _move(state, key, log), None
    handler = _KEYS.get(key)
    return (state if handler is None else handler(state, log)), None


def click(state: Screen, button: int, column: int, row: int, log: Log) -> Screen:
    """The state after the mouse: a row is chosen, a head sorts, a wheel scrolls what it is over."""
    if state.question is not None or state.typing is not None or state.help:
        return state
    place = layout(state, len(rows.all_rows(state)), rows.position(state))
    if button in _WHEEL:
        return _turn(state, _WHEEL[button], over_pane=row >= place.pane_head, log=log)
    if button != 1:
        return state
    if row == place.table_head:
        name = column_at(state, column)
        return _sort(state, name) if name else state
    return (
        state.but(in_pane=True)
        if row >= place.pane_head
        else _choose(state, row - place.table + place.first, log)
    )


def _turn(state: Screen, key: str, *, over_pane: bool, log: Log) -> Screen:
    """The wheel: it moves what it is over."""
    state = state.but(in_pane=over_pane)
    for _ in range(_STEP if over_pane else 1):
        state = _move(state, key, log)
    return state


def _choose(state: Screen, number: int, log: Log) -> Screen:
    """A row is clicked at; one that is chosen already folds its app."""
    shown = rows.all_rows(state)
    if not 0 <= number < len(shown):
        return state
    if shown[number].key == state.cursor:
        return _fold(state, log)
    return _look_at(state.but(in_pane=False), shown[number].key)


def _act(state: Screen, action: actions.Action) -> tuple[Screen, CommandRequest | None]:
    asked = actions.request(state, action)
    if asked is None:
        return state, None
    return (state.but(question=asked), None) if action.asks else (_tell(state, asked), asked)


def _answer(state: Screen, asked: CommandRequest, key: str) -> tuple[Screen, CommandRequest | None]:
    state = state.but(question=None, said="not done", said_style="dim")
    return (_tell(state, asked), asked) if key == "y" else (state, None)


def _tell(state: Screen, asked: CommandRequest) -> Screen:
    return state.but(said=f"{actions.in_words(asked)} ({actions.does(asked)}) …", said_style="wait")


def _look_at(state: Screen, key: str) -> Screen:
    changed = rows.of_app(key) != rows.of_app(state.cursor) and not state.all_logs
    return state.but(cursor=key, scroll=0, log_end=None if changed else state.log_end)


def _move(state: Screen, key: str, log: Log) -> Screen:
    shown = rows.all_rows(state)
    place = layout(state, len(shown), rows.position(state))
    if state.in_pane or state.is_full:
        step = {"up": -1, "down": 1, "page up": 1 - place.pane_rows, "page down": place.pane_rows - 1}.get(
            key
        )
        return _scroll(state, key, step, log)
    if not shown:
        return state
    page = max(1, place.table_rows - 1)
    step = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -len(shown)}.get(
        key, len(shown)
    )
    return _look_at(state, shown[max(0, min(len(shown) - 1, rows.position(state) + step))].key)


def _scroll(state: Screen, key: str, step: int | None, log: Log) -> Screen:
    if state.pane is not Pane.LOG:
        to = {"home": 0, "end": 10**6}.get(key, state.scroll + (step or 0))
        return state.but(scroll=max(0, to))
    if key == "home":
        first = log.before(log.first + 1, 1, state)
        return state.but(log_end=(first[0][0] if first else log.first) + 1)
    if key == "end":
        return state.but(log_end=None)
    end = log.end if state.log_end is None else state.log_end
    if (step or 0) < 0:
        passed = log.before(end, 1 - (step or 0), state)
        return state.but(log_end=passed[0][0] + 1 if passed else end)
    after = end
    for _ in range(step or 0):
        while after < log.end and not log.before(after + 1, 1, state):
            after += 1
        after += 1
    return state.but(log_end=None if after >= log.end else after)


def _type(state: Screen, key: str, log: Log) -> Screen:
    name = str(state.typing)
    text: str = getattr(state, name)
    if key == "enter":
        state = state.but(typing=None)
        return _search(state, log, forward=False) if name == "search" and text else state
    if key in ("esc", "ctrl c"):
        return state.but(typing=None, **{name: ""})
    if key == "backspace":
        return state.but(**{name: text[:-1]})
    if key in ("up", "down"):
        return _move(state, key, log)
    return state.but(**{name: text + key}) if len(key) == 1 else state


def _search(state: Screen, log: Log, *, forward: bool) -> Screen:
    if not state.search:
        return state.but(said="nothing is searched for yet: tab, then /", said_style="dim")
    end = log.end + 1 if state.log_end is None else state.log_end
    found = log.find_after(state.search, end) if forward else log.find(state.search, end - 1)
    if found is None:
        return state.but(
            said=f"no {'later' if forward else 'earlier'} line has {state.search!r}", said_style="wait"
        )
    return state.but(log_end=found, pane=Pane.LOG, said="")


def _sort(state: Screen, name: str) -> Screen:
    if state.sort == name:
        return state.but(descending=not state.descending)
    return state.but(sort=name, descending=name in ("cpu", "memory", "restarts"))


def _next_column(state: Screen, log: Log) -> Screen:
    del log
    order = ("", *rows.COLUMNS)
    name = order[(order.index(state.sort) + 1) % len(order)]
    return _sort(state.but(descending=False), name).but(
        said=f"sorted by {name or 'problems'}", said_style="dim"
    )


def _fold(state: Screen, log: Log) -> Screen:
    del log
    key = rows.of_app(state.cursor)
    return state.but(folded=state.folded ^ {key}, cursor=key)


def _fold_all(state: Screen, log: Log) -> Screen:
    del log
    every = frozenset(target_of(app) for app in state.shot.apps if app["scale"] != 1)
    return state.but(folded=frozenset() if state.folded >= every else every, cursor=rows.of_app(state.cursor))


def _mark(state: Screen, log: Log) -> Screen:
    row = rows.chosen(state)
    return state if row is None else _move(state.but(marked=state.marked ^ {row.key}, said=""), "down", log)


def _pause(state: Screen, log: Log) -> Screen:
    return state.but(log_end=log.end if state.log_end is None else None, pane=Pane.LOG)


def _escape(state: Screen, log: Log) -> Screen:
    del log
    return state.but(
        filter="", search="", marked=frozenset(), is_full=False, in_pane=False, log_end=None, said=""
    )


def _show(pane: Pane) -> Callable[[Screen, Log], Screen]:
    def handle(state: Screen, log: Log) -> Screen:
        del log
        return state.but(pane=Pane.LOG if state.pane is pane else pane, scroll=0)

    return handle


_KEYS: Final[dict[str, Callable[[Screen, Log], Screen]]] = {
    "q": lambda state, _: state.but(over=True),
    "?": lambda state, _: state.but(help=True),
    "esc": _escape,
    "tab": lambda state, _: state.but(in_pane=not state.in_pane),
    "enter": _fold,
    "left": _fold,
    "right": _fold,
    "F": _fold_all,
    " ": _mark,
    "/": lambda state, _: state.but(
        typing=Typing.SEARCH if state.in_pane or state.is_full else Typing.FILTER
    ),
    "n": lambda state, log: _search(state, log, forward=False),
    "N": lambda state, log: _search(state, log, forward=True),
    "o": _next_column,
    "O": lambda state, _: state.but(descending=not state.descending),
    "d": _show(Pane.DETAILS),
    "e": _show(Pane.EVENTS),
    "l": lambda state, _: state.but(pane=Pane.LOG),
    "a": lambda state, _: state.but(all_logs=not state.all_logs, pane=Pane.LOG, log_end=None),
    "p": _pause,
    "w": lambda state, _: state.but(wraps=not state.wraps),
    "z": lambda state, _: state.but(is_full=not state.is_full),
    "v": lambda state, _: state.but(
        level=LEVELS[(LEVELS.index(state.level) + 1) % len(LEVELS)], pane=Pane.LOG
    ),
}
