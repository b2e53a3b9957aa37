"""The whole screen."""

from typing import Final

from pidone.cli.operate.monit import actions, cells, logbook, rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.layout import Layout, layout
from pidone.cli.operate.monit.logbook import Log
from pidone.cli.operate.monit.state import LEVELS, Pane, Screen, Typing
from pidone.cli.operate.monit.views import details, header, help, table  # noqa: A004 (it is a view of ours)
from pidone.logs.formats import widths

_LEAST_HEIGHT: Final = 8
"""Below that there are only the two lines of the header."""
_HINTS: Final = (
    *(
        ("?", "all keys"),
        ("q", "leave"),
        ("d", "details"),
        ("/", "filter"),
        ("r", "reload"),
        ("R", "restart"),
    ),
    *(
        ("s", "stop"),
        ("S", "start"),
        ("+ -", "scale"),
        ("a", "all logs"),
        ("p", "pause"),
        ("z", "full screen"),
    ),
    *(("e", "events"), ("v", "level"), ("w", "wrap"), ("o", "sort"), ("F", "fold")),
)


def lines(state: Screen, log: Log) -> list[Line]:
    """Exactly as many lines, each exactly as wide, as the screen has."""
    shown = rows.all_rows(state)
    place = layout(state, len(shown), rows.position(state))
    drawn = header.lines(state)
    if state.height < _LEAST_HEIGHT:
        return [cells.fit(line, state.width) for line in (drawn + [[]] * state.height)[: state.height]]
    if state.help:
        room = state.height - len(drawn) - 2
        drawn += help.lines()[:room] + [[]] * max(0, room - len(help.lines()))
    else:
        if not state.is_full:
            drawn += table.lines(state, shown, place)
            drawn += [[]] * (place.pane_head - len(drawn))
        drawn.append(_pane_head(state, log))
        drawn += _pane(state, log, place)
    drawn = [*drawn[: state.height - 2], *[[]] * (state.height - 2 - len(drawn)), _said(state), _hints(state)]
    return [cells.fit(line, state.width) for line in drawn[: state.height]]


def _pane(state: Screen, log: Log, place: Layout) -> list[Line]:
    if state.pane is not Pane.LOG:
        found = details.details(state) if state.pane is Pane.DETAILS else details.timeline(state)
        begin = min(state.scroll, max(0, len(found) - place.pane_rows))
        if state.pane is Pane.EVENTS and not state.scroll:
            begin = max(0, len(found) - place.pane_rows)
        found = found[begin:]
    else:
        records = log.before(state.log_end, place.pane_rows, state)
        found = [logbook.in_pieces(fields, state) for _, fields in records]
    if state.wraps:
        found = [part for line in found for part in _folded(line, state.width)]
        if state.pane is Pane.LOG:
            found = found[max(0, len(found) - place.pane_rows) :]
    return found[: place.pane_rows] + [[]] * (place.pane_rows - len(found))


def _folded(line: Line, columns: int) -> list[Line]:
    """A line over as many as it takes."""
    done: list[Line] = [[]]
    left = columns
    for style, text in line:
        first, *rest = widths.fold(text, left) if widths.width(text) > left else [text]
        done[-1].append((style, first))
        for part in rest:
            while widths.width(part) > columns:
                piece, *others = widths.fold(part, columns)
                done.append([(style, piece)])
                part = "".join(others)  # noqa: PLW2901 (what is left of it)
            done.append([(style, part)])
        left = columns - cells.length(done[-1])
    return done


def _pane_head(state: Screen, log: Log) -> Line:
    row = rows.chosen(state)
    whose = "all apps" if state.all_logs and state.pane is Pane.LOG else "" if row is None else row.key
    parts = [f"{state.pane} of {whose.removeprefix('default/')}"]
    if state.pane is Pane.LOG:
        if state.log_end is not None:
            parts.append(f"paused, {log.end - state.log_end} newer: End follows")
        if state.level != LEVELS[0]:
            parts.append(f"level {state.level} and worse")
        if state.search:
            parts.append(f"search {state.search!r}: n N")
    style = "head focus" if state.in_pane or state.is_full else "head"
    return [(style, widths.cut(f"── {' · '.join(parts)} ", state.width)), (style, "─" * state.width)]


def _said(state: Screen) -> Line:
    if state.typing is not None:
        what = "filter" if state.typing is Typing.FILTER else "search in the log"
        return [("key", f"{what}: "), ("", getattr(state, str(state.typing))), ("cursor", " ")]
    if state.question is not None:
        asked = state.question
        text = f"{actions.in_words(asked)}? ({actions.does(asked)}) y does it, any other key does not"
        return [("ask", widths.cut(text, state.width))]
    if state.said:
        return [(state.said_style, widths.cut(state.said, state.width))]
    notes = []
    if state.filter:
        notes.append(f"filter {state.filter!r}: Esc shows all")
    if state.marked:
        notes.append(f"{len(state.marked)} marked")
    return [("dim", " · ".join(notes))]


def _hints(state: Screen) -> Line:
    line: Line = []
    for key, does in _HINTS:
        if cells.length(line) + len(key) + len(does) + 3 > state.width:
            break
        line += [("key", key), ("dim", f" {does}  ")]
    return line
