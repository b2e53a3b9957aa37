"""The fields of a record that has been kept: what an app said is in there, as deep as it likes."""

import json
from typing import Any


def fields_of(record: bytes | str) -> dict[str, Any]:
    """Of a record in the format `json`; none where an app has nested more than the interpreter reads."""
    try:
        fields: dict[str, Any] = json.loads(record)
    except RecursionError:
        return {}
    return fields
