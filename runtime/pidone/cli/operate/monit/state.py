"""What monit knows and shows at a moment; nothing in it changes, keys make another one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pidone.record import EMPTY, Record

LEVELS: Final = ("trace", "info", "warning", "error")
"""What the level filter steps through; the first shows everything."""


class Snapshot(Record, kw_only=True):
    """What the runtime told last."""

    overview: Mapping[str, Any] = EMPTY
    apps: tuple[Mapping[str, Any], ...] = ()
    container: Mapping[str, Any] = EMPTY
    rates: Mapping[str, float] = EMPTY
    """`cpu`: share of the container's CPUs; `throttled`: of its periods; both of the last seconds."""
    cpu: Mapping[str, tuple[float, ...]] = EMPTY
    """Percent by key of a row, the newest last."""
    trouble: str = ""
    """Why nothing new comes."""


class Description(Record, kw_only=True):
    """What is known of the one app under the cursor, when somebody wants to know."""

    key: str = ""
    shown: Mapping[str, Any] = EMPTY
    """As `describe` has it."""
    stderr: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


class Pane(StrEnum):
    """What is below the table."""

    LOG = "log"
    DETAILS = "details"
    EVENTS = "events"


class Typing(StrEnum):
    """What is being typed."""

    FILTER = "filter"
    SEARCH = "search"


class CommandRequest(Record):
    """One thing to ask of the runtime."""

    verb: str
    targets: tuple[str, ...]
    body: Mapping[str, str] = EMPTY


class Screen(Record, kw_only=True):
    """Everything that is on the screen, but for the lines of log."""

    width: int = 80
    height: int = 24
    shot: Snapshot = Snapshot()
    description: Description = Description()
    cursor: str = ""
    """Key of a row."""
    marked: frozenset[str] = frozenset()
    folded: frozenset[str] = frozenset()
    """Keys of apps whose instances are hidden."""
    sort: str = ""
    """A column; empty is problems first."""
    descending: bool = False
    filter: str = ""
    typing: Typing | None = None
    pane: Pane = Pane.LOG
    in_pane: bool = False
    """Whether keys that move do so in the pane."""
    is_full: bool = False
    """The pane has the whole screen."""
    all_logs: bool = False
    wraps: bool = False
    level: str = LEVELS[0]
    search: str = ""
    log_end: int | None = None
    """Number of the line after the last one shown; None follows what comes."""
    scroll: int = 0
    """Lines that the other panes are moved up."""
    help: bool = False
    question: CommandRequest | None = None
    said: str = ""
    said_style: str = ""
    over: bool = False
    """Somebody wants to leave."""
