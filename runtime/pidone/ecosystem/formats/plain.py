"""Values of any parser as plain ones: what a JSON text could say, and a notice for what it could not."""

import math
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.document import KeyPath
from pidone.ecosystem.formats.secrets import printable
from pidone.errors import ConfigError

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 200_000
"""Enough for thousands of apps that each carry a whole environment."""
MAX_TEXT: Final = 4 << 20
"""Characters of all texts."""
_EXACT_UP_TO: Final = 2**53
_FLOAT_NOTATION_FROM: Final = 1e21


def spell(path: KeyPath) -> str:
    """`("apps", 0, "env")` as people write it: `apps[0].env`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return printable(text) or "the file"


def well_formed(text: str) -> str:
    """`text` with lone surrogates replaced, as Node does when it hands a string to the system."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def javascript_number(number: float) -> int | float:
    """What `JSON.stringify` makes of a number: one kind of number, 2.0 and 1e3 are 2 and 1000.

    Whole numbers beyond 2**53 lose their last digits as they do in Node; from 1e21 on they are floats.
    """
    try:
        nearest = float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    if not nearest.is_integer() or abs(nearest) >= _FLOAT_NOTATION_FROM:
        return nearest
    if abs(nearest) <= _EXACT_UP_TO:
        return int(nearest)
    digits, _, exponent = repr(nearest).partition("e")  # the shortest digits, as in ECMA-262 6.1.6.1.20
    whole, _, fraction = digits.partition(".")
    return int(whole + fraction.ljust(int(exponent), "0")) if exponent else int(whole)


class Plain:
    """Converts one document; counts, so that an alias bomb or a generated giant is refused early."""

    def __init__(self, name: str) -> None:
        """For messages: the name of the file."""
        self.name = name
        self.notices: list[str] = []
        self._count = 0
        self._text = 0

    def visit(self, path: KeyPath) -> None:
        """Count the value at `path`.

        Raises:
            ConfigError: too deep, too many.
        """
        self._count += 1
        if self._count > MAX_VALUES:
            raise ConfigError(f"{self.name}: has more than {MAX_VALUES} values; is an alias used too often?")
        if len(path) > MAX_DEPTH:
            raise ConfigError(f"{self.name}: is nested more than {MAX_DEPTH} levels deep")

    def value(self, value: object, path: KeyPath = ()) -> object:
        """Dicts, lists and scalars; dates become text, numbers without a value become None.

        Raises:
            ConfigError: as `visit`.
        """
        self.visit(path)
        if isinstance(value, str):
            self._text += len(value)
            if self._text > MAX_TEXT:
                raise ConfigError(f"{self.name}: evaluates to more than {MAX_TEXT >> 20} MiB")
            return well_formed(value)
        if isinstance(value, float) and not math.isfinite(value):
            self.notices.append(
                f"{self.name}: {spell(path)} is {value}, which is not a number; taken as not set"
            )
            return None
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {well_formed(str(k)): self.value(v, (*path, str(k))) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if hasattr(value, "isoformat"):  # TOML's dates and times; importing datetime to ask would take 2 ms
            return str(value.isoformat())
        raise ConfigError(
            f"{self.name}: {spell(path)} is a {type(value).__name__}, which has no meaning here"
        )
