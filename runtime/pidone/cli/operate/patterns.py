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
    """The same targets, with the apps that match in place of each pattern. Raises CommandError."""
    return [each for target in targets for each in (_matching(runtime, target) or [target])]


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
