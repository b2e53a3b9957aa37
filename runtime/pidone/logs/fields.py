"""The fields of a record that has been kept: what an app said is in there, as deep as it likes."""

import json
from typing import Any, Final

_DEEPEST: Final = 100
"""Levels that are read: reading, walking and writing each have a limit of their own, further on."""


def fields_of(record: bytes | str) -> dict[str, Any]:
    """Of a record in the format `json`; none where an app has nested more than anybody reads."""
    try:
        fields: dict[str, Any] = json.loads(record)
    except RecursionError:
        return {}
    text = record if isinstance(record, bytes) else record.encode()
    may_be_deep = text.count(b"{") + text.count(b"[") > _DEEPEST
    return {} if may_be_deep and _is_deep(fields) else fields


def _is_deep(fields: dict[str, Any]) -> bool:
    level: list[Any] = [fields]
    for _ in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return bool(level)
