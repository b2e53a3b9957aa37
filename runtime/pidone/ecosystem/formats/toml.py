"""TOML by the standard library, with its errors placed and its values made plain."""

import re
import tomllib
from typing import Final

from pidone.ecosystem.formats.plain import Plain
from pidone.ecosystem.formats.secrets import problem
from pidone.ecosystem.formats.source import Parsed, Source
from pidone.errors import ConfigError

_PLACE: Final = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


def parse(source: Source) -> Parsed:
    """The value and notices.

    Raises:
        ConfigError: it is not TOML.
    """
    plain = Plain(source.name)
    try:
        return Parsed(plain.value(tomllib.loads(source.text)), notices=tuple(plain.notices))
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        place = _PLACE.search(text)
        message = f"is not TOML: {text[: place.start()] if place else text}"
        if place and place["line"]:
            raise problem(source, message, line=int(place["line"]), column=int(place["column"])) from None
        last = source.text.rstrip().count("\n") + 1
        raise problem(source, f"{message}, and the file ends", line=last) from None
    except ValueError:  # int() refuses more than 4300 digits
        digits = re.search(r"\d{4301}", source.text)
        line = source.text.count("\n", 0, digits.start()) + 1 if digits else None
        raise ConfigError(
            f"{source.name}{f':{line}' if line else ''}: holds a number with thousands of digits"
        ) from None
    except RecursionError:
        raise problem(source, "is nested too deeply") from None
