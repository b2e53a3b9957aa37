"""Patterns of the ecosystem, which are text, for lines, which are bytes of UTF-8.

Lines are looked at as bytes: to decode them would cost more than all the rest of the log pipeline.
"""

import re
from typing import Final

_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def byte_pattern(pattern: str) -> bytes:
    """The same for bytes: a character of several bytes is repeated as a whole.

    Raises:
        ValueError: It has no meaning for bytes, or another one; says why.
    """
    parts = _TOKEN.findall(pattern)
    for part in parts:
        if part.isascii():
            continue
        if part[0] == "[":
            raise ValueError(f"{part} may hold ASCII only, as lines are bytes; write (?:ä|ö) for [äö]")
    translated = "".join(
        part if part.isascii() or len(part) > 1 else f"(?:{part})" for part in parts
    ).encode()
    try:
        re.compile(translated)
    except (re.error, ValueError) as error:
        raise ValueError(f"for lines, which are bytes: {error}") from None
    return translated
