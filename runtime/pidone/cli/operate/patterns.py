"""`/http-[12]/` as a target: PM2's regular expressions over the names of apps.

Matched here, in a command that somebody has typed and can interrupt, and never in the runtime: a pattern can
take for ever.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pidone.cli.operate.client import NO_TARGET, Client, CommandError


def target_of(app: Mapping[str, Any]) -> str:
    """An app as a target that means no other."""
    return f"{app['namespace']}/{app['name']}"


def expand(runtime: Client, targets: Iterable[str]) -> list[str]:
    """The same targets, with the apps that match in place of each pattern. Raises CommandError.

    Of several, one that nobody knows is told before anything happens, and one that others include
    (`all web`) is left out: asked twice, an app would be "being reloaded already".
    """
    named = [each for target in targets for each in (_matching(runtime, target) or [target])]
    return named if len(named) == 1 else _apart(runtime, named)


def _apart(runtime: Client, targets: Iterable[str]) -> list[str]:
    meant = {target: _instances(runtime, target) for target in targets}
    met: set[tuple[str, int]] = set()
    kept = []
    for target in sorted(meant, key=lambda each: len(meant[each]), reverse=True):
        if not meant[target] <= met:
            kept.append(target)
            met |= meant[target]
    return [target for target in meant if target in kept]


def _instances(runtime: Client, target: str) -> set[tuple[str, int]]:
    apps = runtime.get("api", "apps", target)["apps"]
    none = [{"index": -1}]  # an app without any is meant all the same
    return {(target_of(app), each["index"]) for app in apps for each in app["instances"] or none}


def _matching(runtime: Client, target: str) -> list[str]:
    if not (len(target) > 2 and target.startswith("/") and target.endswith("/")):
        return []
    try:
        pattern = re.compile(target[1:-1])
    except re.error as error:
        raise CommandError(f"{target}: {error}") from None
    apps = runtime.get("api", "apps")["apps"]
    found = [target_of(app) for app in apps if pattern.search(app["name"])]
    if not found:
        known = ", ".join(app["name"] for app in apps)
        raise CommandError(f"no app matches {target} (there are: {known})", NO_TARGET)
    return found
