"""All keys."""

from typing import Final

from pidone.cli.operate.monit.cells import Line

KEYS: Final = (
    ("Look", ""),
    ("↑ ↓ PgUp PgDn Home End, j k g G", "move; after Tab in what is below the table"),
    ("Enter ← →, F", "fold or unfold the app, all apps"),
    ("o, O", "sort by the next column, the other way round; problems come first"),
    ("/", "filter the table by name, state, reason; after Tab search in the log"),
    ("n, N", "the earlier, the later line that was searched for"),
    ("l, d, e", "log, details, events of what is chosen"),
    ("a", "log of all apps"),
    ("p", "pause the log, go on"),
    ("v", "log: only info, warnings, errors"),
    ("w, z", "wrap long lines; the whole screen"),
    ("Act, on all that is marked, else on what is chosen", ""),
    ("Space", "mark"),
    ("r", "reload: one instance after the other"),
    ("R, s, S", "restart, stop, start"),
    ("+, -", "one instance more, one less"),
    ("D", "delete: stop and forget"),
    ("Esc", "no filter, no marks, follow the log"),
    ("q", "leave; the apps stay as they are"),
)
_WIDTH: Final = 33


def lines() -> list[Line]:
    """A line for each."""
    return [
        [("bold", keys)] if not does else [("key", f" {keys:<{_WIDTH}}"), ("", f" {does}")]
        for keys, does in KEYS
    ]
