"""The names that a running runtime knows, for tab completion."""

from typing import Any

from pidone.cli.operate.client import Client, CommandError

_TIMEOUT_S = 1.0


def complete(ctx: object, param: object, incomplete: str) -> list[str]:
    """Targets that begin like this; called as click calls a parameter's `shell_complete`."""
    del ctx, param
    apps = _apps()
    several = [f"{app['name']}:{i['index']}" for app in apps for i in app["instances"] if app["scale"] > 1]
    names = ["all", *(app["name"] for app in apps), *several]
    return [name for name in names if name.startswith(incomplete)]


def complete_apps(ctx: object, param: object, incomplete: str) -> list[str]:
    """Apps that begin like this; called likewise."""
    del ctx, param
    return [app["name"] for app in _apps() if app["name"].startswith(incomplete)]


def _apps() -> list[dict[str, Any]]:
    """None if nobody answers quickly."""
    try:
        apps: list[dict[str, Any]] = Client(Client.find().path, _TIMEOUT_S).get("api", "apps")["apps"]
    except CommandError:
        return []
    return apps
