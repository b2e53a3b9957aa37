"""Where things are on the screen: for those who draw and for the mouse."""

from typing import Final

from pidone.cli.operate.monit.state import Screen
from pidone.cli.operate.monit.views import header
from pidone.record import Record

FOOTER: Final = 2
_LEAST_PANE: Final = 4


class Layout(Record, kw_only=True):
    """Rows of the screen, counted from 0."""

    table_head: int
    table: int
    """The first row of the table, below its head."""
    table_rows: int
    pane_head: int
    pane: int
    pane_rows: int
    first: int
    """The number of the row of the table that is shown first."""


def layout(state: Screen, rows: int, position: int) -> Layout:
    """For so many rows of the table, of which the one at `position` has to be seen."""
    above = header.height(state)
    room = max(3, state.height - above - FOOTER)
    if state.is_full:
        return Layout(
            table_head=-1,
            table=-1,
            table_rows=0,
            first=0,
            pane_head=above,
            pane=above + 1,
            pane_rows=room - 1,
        )
    room -= 2
    most = max(1, room - max(_LEAST_PANE, room // 2 if state.pane is not state.pane.LOG else room * 2 // 5))
    shown = min(max(1, rows), most)
    first = max(0, min(position - shown // 2, rows - shown))
    head = above + 1 + shown
    return Layout(
        table_head=above,
        table=above + 1,
        table_rows=shown,
        first=first,
        pane_head=head,
        pane=head + 1,
        pane_rows=max(0, room - shown),
    )
