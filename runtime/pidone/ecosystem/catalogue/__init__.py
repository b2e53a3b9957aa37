"""The catalogue of keys: each with its kind, its aliases and what it does, by the question it answers."""

from typing import Final

from pidone.ecosystem.catalogue import life, logs, occasions, process
from pidone.ecosystem.catalogue.key import Group, Key
from pidone.ecosystem.catalogue.runtime import RUNTIME_GROUP

__all__ = ["APP_GROUPS", "RUNTIME_GROUP", "Group", "Key"]

APP_GROUPS: Final = (
    process.WHAT_RUNS,
    process.ENVIRONMENT,
    life.START,
    life.KEPT_UP,
    life.STOP,
    process.PORTS,
    process.RIGHTS,
    occasions.MEMORY,
    occasions.TIMES,
    logs.LOGS,
)
"""In the order of the reference page."""
