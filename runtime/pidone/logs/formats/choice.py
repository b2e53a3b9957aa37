"""Which format, and whether in colour: by configuration, by what stdout is, by the environment."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pidone.logs.formats.logfmt import logfmt_format
from pidone.logs.formats.objects import ecs_format, gcp_format, json_format
from pidone.logs.formats.pm2 import pm2_format_format, pm2_formatted_format, pm2_json_format
from pidone.logs.formats.shape import Format
from pidone.logs.formats.text import raw_format, text_format

FORMATS: Final[Mapping[str, Callable[[bool], Format]]] = MappingProxyType(
    {
        "json": lambda _: json_format(),
        "gcp": lambda _: gcp_format(),
        "ecs": lambda _: ecs_format(),
        "logfmt": lambda _: logfmt_format(),
        "text": lambda colour: text_format(colour=colour),
        "raw": lambda colour: raw_format(colour=colour),
        "pm2": lambda _: pm2_json_format(),
        "pm2-format": lambda colour: pm2_format_format(colour=colour),
        "pm2-formatted": lambda colour: pm2_formatted_format(colour=colour),
    }
)
"""By the name that `log_format` has in the configuration, and whether in colour."""


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
