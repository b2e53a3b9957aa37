"""The top-level `smoke` and `alerts` lists: what they are and how they are read."""

from typing import Final

from pidone.ecosystem import fragments, kinds
from pidone.ecosystem.kinds import BOOL, DURATION, NAMES, STRING, integer
from pidone.ecosystem.probes import EXEC, TARGET_SCHEMA, TARGETS, exactly_one, parse_target
from pidone.ecosystem.spec import MemoryLimit, Seconds
from pidone.ecosystem.tables import parse_table, table_schema
from pidone.ecosystem.values import Finding, Invalid, Kind, parse_list
from pidone.masking import mask_args, mask_text
from pidone.record import Record


class SmokeCheck(Record, kw_only=True):
    """One check of `pidone smoke`; exactly one of http, tcp, exec is set."""

    name: str
    http: str | None = None
    tcp: str | None = None
    exec: tuple[str, ...] = ()
    status: int | None = None
    """HTTP status to expect; None is any of 200 to 399."""
    contains: str | None = None
    """Text the answer (or the command's output) must hold."""
    timeout: Seconds = 5.0


class Alert(Record, kw_only=True):
    """A condition over the running apps, and what happens when it holds; every condition set must hold."""

    name: str
    apps: tuple[str, ...] = ()
    """Apps it looks at; empty is all of them."""
    restarts_per_hour: int | None = None
    not_ready_for: Seconds | None = None
    memory: MemoryLimit | None = None
    cpu: float | None = None
    """Percent of one CPU."""
    error_rate: float | None = None
    """Percent of lines that are errors."""
    memory_not_falling: bool = False
    """Memory is as high after a restart as before it."""
    exec: tuple[str, ...] = ()
    webhook: str | None = None
    cooldown: Seconds = 300.0


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


def _parse_alert(value: object) -> Alert:
    found = parse_table(value, ALERT_MEMBERS)
    conditions = [name for name in _ALERT_CONDITIONS if name in found]
    if not conditions:
        raise Invalid("expected at least one of " + ", ".join(_ALERT_CONDITIONS))
    if not str(found.get("webhook", "http://")).startswith(("http://", "https://")):
        raise Invalid(findings=[Finding(("webhook",), found["webhook"], "expected a URL")])
    return Alert(**{"name": " ".join(conditions), **found})


def _list(item: Kind, expected: str) -> Kind:
    return Kind(
        item.name,
        lambda value: parse_list(value, expected, item.parse),
        {"type": "array", "items": item.schema},
    )


SMOKE: Final = _list(
    Kind("check", _parse_smoke, fragments.either(TARGET_SCHEMA, table_schema(SMOKE_MEMBERS))),
    "expected a list of checks",
)
ALERTS: Final = _list(Kind("alert", _parse_alert, table_schema(ALERT_MEMBERS)), "expected a list of alerts")
KINDS: Final = {"smoke": SMOKE, "alerts": ALERTS}
