"""What the catalogue tells of a key.

A key's name is its canonical spelling. Where `AppSpec` or `RuntimeSpec` has such a field, the resolved
value goes there and the field's default is the key's.
"""

from typing import NamedTuple

from pidone.ecosystem.values import ValueKind


class Key(NamedTuple):
    """One key: how it is spelt, what it may hold, what it does."""

    name: str
    kind: ValueKind
    doc: str
    aliases: tuple[str, ...] = ()
    ours: bool = False
    """Not known to PM2."""
    default: str = ""
    """In words, where the field's default does not say it."""


class KeyGroup(NamedTuple):
    """Keys that answer one question, in the order of the reference page."""

    title: str
    keys: tuple[Key, ...]
