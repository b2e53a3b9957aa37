"""The top-level `smoke` and `alerts` lists: what they are and how they are read."""

import re
from typing import Final

from pidone.ecosystem.spec import Alert, SmokeCheck
from pidone.ecosystem.values import Invalid, ValueKind, WrongValue, fragments, kinds, parse_list
from pidone.ecosystem.values.kinds import BOOL, DURATION, NAMES, STRING, integer
from pidone.ecosystem.values.network import EXEC, TARGET_SCHEMA, TARGETS, exactly_one, parse_target
from pidone.ecosystem.values.tables import parse_table, table_schema
from pidone.masked_args import mask_args
from pidone.masking import mask_text

SMOKE_MEMBERS: Final = {
    "name": STRING,
    **TARGETS,
    "status": integer(100, 599),
    "contains": STRING,
    "timeout": DURATION,
}


def _parse_smoke(value: object) -> SmokeCheck:
    found = parse_target(value) if isinstance(value, str) else parse_table(value, SMOKE_MEMBERS)
    exactly_one(found, TARGETS)
    target = next(name for name in TARGETS if name in found)
    spelt = " ".join(mask_args(found[target])) if target == "exec" else mask_text(found[target])
    return SmokeCheck(**{"name": f"{target} {spelt}", **found})


ALERT_MEMBERS: Final = {
    "name": STRING,
    "apps": NAMES,
    "restarts_per_hour": integer(0, 10**6),
    "not_ready_for": DURATION,
    "memory": kinds.LIMIT,
    "cpu": kinds.decimal(0, 10**5),
    "error_rate": kinds.decimal(0, 100),
    "memory_not_falling": BOOL,
    "exec": EXEC,
    "webhook": STRING,
    "cooldown": DURATION,
}
_ALERT_CONDITIONS: Final = (
    "restarts_per_hour",
    "not_ready_for",
    "memory",
    "cpu",
    "error_rate",
    "memory_not_falling",
)


_SHORTEST_S: Final = 1.0


def _parse_alert(value: object) -> Alert:
    found = parse_table(value, ALERT_MEMBERS)
    conditions = [name for name in _ALERT_CONDITIONS if name in found]
    if not conditions:
        raise Invalid("expected at least one of " + ", ".join(_ALERT_CONDITIONS))
    if "webhook" in found and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", found["webhook"]):
        raise Invalid(
            findings=[
                WrongValue(("webhook",), found["webhook"], 'expected a URL such as "https://host/path"')
            ]
        )
    if found.get("cooldown", _SHORTEST_S) < _SHORTEST_S:
        wanted = f"expected {_SHORTEST_S:g} s or more: it would be told without end"
        raise Invalid(findings=[WrongValue(("cooldown",), value["cooldown"], wanted)])  # type: ignore[index]
    return Alert(**{"name": " ".join(conditions), **found})


def _list(item: ValueKind, expected: str) -> ValueKind:
    return ValueKind(
        item.name,
        lambda value: parse_list(value, expected, item.parse),
        {"type": "array", "items": item.schema},
    )


SMOKE: Final = _list(
    ValueKind("check", _parse_smoke, fragments.either(TARGET_SCHEMA, table_schema(SMOKE_MEMBERS))),
    "expected a list of checks",
)
ALERTS: Final = _list(
    ValueKind("alert", _parse_alert, table_schema(ALERT_MEMBERS)), "expected a list of alerts"
)
KINDS: Final = {"smoke": SMOKE, "alerts": ALERTS}
