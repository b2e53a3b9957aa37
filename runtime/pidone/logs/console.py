"""Which format and whether in colour: by what stdout is and what the environment asks for."""

import os
from collections.abc import Mapping


def choose_format(wanted: str, fd: int) -> str:
    """`wanted`, or for `auto` text on a terminal and json elsewhere."""
    if wanted != "auto":
        return wanted
    return "text" if _is_terminal(fd) else "json"


def wants_colour(fd: int, env: Mapping[str, str] = os.environ) -> bool:
    """https://no-color.org first, then https://force-color.org, then whether it is a terminal that can."""
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR", "0") != "0":
        return True
    return _is_terminal(fd) and env.get("TERM") != "dumb"


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
