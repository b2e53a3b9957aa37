"""TOML by the standard library, with its errors placed and its values made plain."""

import re
import tomllib
from collections.abc import Iterator
from typing import Final

from pidone.ecosystem.formats.plain import Plain
from pidone.ecosystem.formats.remedies import TOML, way_out
from pidone.ecosystem.formats.secrets import problem
from pidone.ecosystem.formats.source import Parsed, Source
from pidone.errors import ConfigError

_PLACE: Final = r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"


def parse(source: Source) -> Parsed:
    """The value and notices.

    Raises:
        ConfigError: it is not TOML.
    """
    plain = Plain(source.name)
    try:
        value = plain.value(tomllib.loads(source.text))
    except tomllib.TOMLDecodeError as error:
        raise _explain(source, str(error)) from None
    except ValueError:  # int() refuses more than 4300 digits
        digits = re.search(r"\d{4301}", source.text)
        line = source.text.count("\n", 0, digits.start()) + 1 if digits else None
        raise ConfigError(
            f"{source.name}{f':{line}' if line else ''}: holds a number with thousands of digits"
        ) from None
    except RecursionError:
        raise problem(source, "is nested too deeply") from None
    return Parsed(value, notices=(*plain.notices, *_single_table(source, value)))


def _single_table(source: Source, value: object) -> Iterator[str]:
    """A word on `[apps]`, which is taken as one app: the next one would be an error."""
    apps = value.get("apps") if isinstance(value, dict) else None
    if isinstance(apps, dict) and not all(isinstance(app, dict) for app in apps.values()):
        header = re.search(r"(?m)^\s*\[\s*apps\s*\]", source.text)
        line = f":{source.text.count(chr(10), 0, header.end()) + 1}" if header else ""
        yield f"{source.name}{line}: [apps] is taken as the only app; [[apps]] can be followed by more"


def _explain(source: Source, text: str) -> ConfigError:
    """The parser's words and place, and the way out where there is a usual mistake."""
    place = re.search(_PLACE, text)
    text = text[: place.start()] if place else text
    if source.text.lstrip().startswith("{"):
        return problem(source, "is JSON; a name that ends in .json says so", line=1)
    if not place or not place["line"]:
        quote = text[10:-1] if text.startswith("Expected") else '"""'
        start = source.text.rfind(quote) if quote in source.text else len(source.text.rstrip())
        opened = source.text.count("\n", 0, start) + 1
        return problem(source, f"is not TOML: {text}, and the file ends", line=opened)
    line, column = int(place["line"]), int(place["column"])
    advice = way_out(TOML, text, source.text.split("\n")[line - 1], column)
    return problem(source, f"is not TOML: {text}{advice}", line=line, column=column)
