"""Pieces of JSON Schema that say what texts and numbers are read, in any case and with references.

The schema cannot know in which language a value stands, so a text with `${` fits everywhere: in TOML and YAML
it is replaced before it is read.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from pidone.ecosystem.values import NUMBER

Schema: TypeAlias = Mapping[str, object]

OFF: Final[Schema] = {"const": False}
SCALAR: Final[Schema] = {"type": ["string", "number"]}


def text(pattern: str) -> Schema:
    """Texts that match as a whole, blanks around them aside."""
    return {"type": "string", "pattern": rf"^\s*(?:{pattern})\s*$|\$\{{"}


def any_case(words: Iterable[str]) -> str:
    """A pattern for these words in any case: the dialect has no flag for it."""
    return "|".join(
        "".join(
            f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else re.escape(letter)
            for letter in word
        )
        for word in words
    )


def words(*known: str) -> Schema:
    """One of these words. Listed, so that an editor offers them."""
    return {"anyOf": [{"enum": [*known]}, text(any_case(known))]}


def numeric(low: float, high: float, kind: str = "number") -> Schema:
    """A number in a range, or text that holds a number."""
    return {"anyOf": [{"type": kind, "minimum": low, "maximum": high}, text(NUMBER)]}


def either(*schemas: Schema) -> Schema:
    """Any of them."""
    flat: list[object] = []
    for schema in schemas:
        inner = schema.get("anyOf")
        flat += inner if isinstance(inner, list) and len(schema) == 1 else [schema]
    return {"anyOf": flat}


def listed(item: Schema) -> Schema:
    """A list of them."""
    return {"type": "array", "items": item}


def mapped(value: Schema, names: str = "") -> Schema:
    """A table of them, whose names match a pattern."""
    table: dict[str, object] = {"type": "object", "additionalProperties": value}
    return {**table, "propertyNames": {"pattern": f"^(?:{names})$"}} if names else table


BOOL: Final = either(
    {"type": "boolean"},
    {"enum": [0, 1]},
    text(any_case(("true", "yes", "on", "1", "false", "no", "off", "0"))),
)
OPTIONAL_TEXT: Final = either(SCALAR, OFF)
NAMES: Final = either(OFF, SCALAR, listed(SCALAR))
WORDS: Final = either(OFF, {"type": "string"}, listed(SCALAR))
VARIABLE: Final = either({"type": "string", "pattern": "^[^=]+$"}, {"type": "number"})
VARIABLES: Final = either({"type": "object", "propertyNames": {"pattern": "^[^=]+$"}}, {"type": "string"})


def or_null(schema: Schema) -> dict[str, object]:
    """A key that is null counts as not there."""
    for word in ("enum", "anyOf"):
        found = schema.get(word)
        if isinstance(found, list):
            return {**schema, word: [*found, None if word == "enum" else {"type": "null"}]}
    types = schema.get("type")
    if types is None:
        return dict(schema)
    return {**schema, "type": [*(types if isinstance(types, list) else [types]), "null"]}
