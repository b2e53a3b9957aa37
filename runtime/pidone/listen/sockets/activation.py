"""Socket activation: listening sockets at known numbers, their names, and placeholders in the command line.

Protocol: sd_listen_fds(3). The numbers begin at 3; LISTEN_PID is set in the child (`pid_vars`).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pidone.ecosystem.spec import Listen
from pidone.errors import ListenError

if TYPE_CHECKING:
    from re import Match

FIRST: Final = 3
PID_VARIABLE: Final = "LISTEN_PID"
_PLACEHOLDER: Final = r"\{fd(?::([^{}]*))?\}"


def variables(listens: Sequence[Listen]) -> Mapping[str, str]:
    """LISTEN_FDS and LISTEN_FDNAMES; nothing when there is nothing to pass."""
    if not listens:
        return {}
    return {"LISTEN_FDS": str(len(listens)), "LISTEN_FDNAMES": ":".join(entry.name for entry in listens)}


def fill_in(argv: Sequence[str], listens: Sequence[Listen], app: str) -> tuple[str, ...]:
    """Replace `{fd}` (the first socket) and `{fd:NAME}` by numbers. Raises ListenError for unknown names."""
    if not any("{fd" in word for word in argv):
        return tuple(argv)
    import re  # noqa: PLC0415 (few command lines have one)

    numbers = {entry.name: FIRST + position for position, entry in enumerate(listens)}

    def number(match: "Match[str]") -> str:
        name = match[1]
        if name is None and numbers:
            return str(FIRST)
        if name in numbers:
            return str(numbers[name])
        known = ", ".join(numbers) or "none"
        raise ListenError(f"{app}: args: no socket for {match[0]}; names in `listen`: {known}")

    return tuple(re.sub(_PLACEHOLDER, number, word) for word in argv)
