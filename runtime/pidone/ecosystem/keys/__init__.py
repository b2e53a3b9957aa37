"""Every key, by the question it answers, and its spellings: which is meant, which mean nothing here."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pidone.ecosystem.keys import lifecycle, logs, process, triggers
from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.keys.runtime import RUNTIME_GROUP, paths_in

__all__ = ["APP_GROUPS", "RUNTIME_GROUP", "Key", "KeyGroup", "paths_in"]

APP_GROUPS: Final = (
    process.WHAT_RUNS,
    process.ENVIRONMENT,
    lifecycle.START,
    lifecycle.KEPT_UP,
    lifecycle.STOP,
    process.PORTS,
    process.RIGHTS,
    triggers.MEMORY,
    triggers.TIMES,
    logs.LOGS,
)
"""In the order of the reference page."""

NOTHING_IN_A_CONTAINER: Final = frozenset(
    (
        "vizion", "vizion_running", "pmx", "automation", "trace", "disable_trace", "v8",
        "event_loop_inspector", "deep_monitoring", "io", "km_link", "monitoring", "force", "write",
        "install_url", "post_update", "username", "execute_command", "windowsHide", "pid_file", "pid",
        "kill_retry_time", "source_map_support", "disable_source_map_support", "pm_id", "node_version",
        "versioning",
    )
)  # fmt: skip
"""PM2's keys about its daemon, its cloud service and desktops: accepted, named once, without effect."""

TOP_LEVEL: Final = ("apps", "runtime", "deploy", "static", "smoke", "alerts", "include", "pm2", "$schema")

OURS_AT_THE_TOP: Final = ("runtime", "smoke", "alerts", "include")
"""Those that PM2 does not know."""

_CAMEL: Final = r"(?<=[a-z0-9])([A-Z])"


def snake(name: str) -> str:
    """`maxRestarts` as `max_restarts`."""
    return re.sub(_CAMEL, lambda found: "_" + found[1].lower(), name)


def _names(groups: tuple[KeyGroup, ...]) -> Iterator[tuple[str, Key]]:
    for group in groups:
        for key in group.keys:
            yield key.name, key
            for alias in key.aliases:
                yield alias, key


APP_KEYS: Final[Mapping[str, Key]] = dict(_names(APP_GROUPS))
"""Every spelling of an app's keys except camelCase, which `find` takes care of."""
RUNTIME_KEYS: Final[Mapping[str, Key]] = dict(_names((RUNTIME_GROUP,)))


def find(name: str, known: Mapping[str, Key]) -> Key | None:
    """The key that is meant by a spelling, if any."""
    return known.get(name) or known.get(snake(name))
