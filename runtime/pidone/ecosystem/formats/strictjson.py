"""JSON as it is; what is not strict JSON may still be JavaScript."""

import json
from typing import Final, NoReturn

from pidone.ecosystem.formats.plain import Plain, javascript_number
from pidone.ecosystem.formats.source import Source

NOT_JSON: Final = object()
"""The text has to be evaluated as JavaScript, and any error reported from there."""


def parse(source: Source) -> object:
    """The value, or `NOT_JSON`.

    Raises:
        ConfigError: it is JSON, but nested too deeply or with too many values.
    """
    try:
        value = json.loads(
            source.text,
            parse_constant=_refuse,
            parse_int=lambda digits: javascript_number(int(digits)),
            parse_float=lambda digits: javascript_number(float(digits)),
        )
    except (ValueError, RecursionError):
        return NOT_JSON
    return Plain(source.name).value(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
