"""What a reload costs: apps that are down meanwhile, before and with what avoids it; connections, after."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pidone.cli.operate.client import Client
from pidone.logs.escape import printable_word

_UP = ("online", "stopping")


def tell_before(runtime: Client, apps: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Who of them cannot overlap, each with what would avoid it; it is said on stderr."""
    gaps = {}
    for app in apps:
        pids = [each["pid"] for each in app["instances"] if each["pid"] and each["state"] in _UP]
        if app["overlaps"] or not pids:
            continue
        ports = _ports(runtime, pids)
        how = f"listen = [{', '.join(map(str, ports))}]" if ports else "listen = [PORT]"
        whose = "binds its port itself" if ports else "opens its ports, if any, itself"
        gaps[app["name"]] = f"it {whose}; {how} avoids it"
        _say(f"{app['name']}: down until its new process is ready: {gaps[app['name']]}")
    return gaps


def tell_after(apps: Sequence[Mapping[str, Any]], gaps: Mapping[str, str]) -> None:
    """How long those of `tell_before` were down, and how many connections were cut."""
    for app in apps:
        if app["reload"] is not None and app["reload"].get("cut"):
            cut = app["reload"]["cut"]
            what = "1 connection was" if cut == 1 else f"{cut} connections were"
            _say(f"{app['name']}: {what} open when the old processes ended, and cut with them")
        if app["name"] in gaps and app["reload"] is not None and app["reload"]["down_s"]:
            _say(f"{app['name']}: was down for {app['reload']['down_s']:.1f} s: {gaps[app['name']]}")


def _ports(runtime: Client, pids: Sequence[int]) -> list[int]:
    """TCP ports where their processes listen; none where we cannot see them."""
    from pidone.cli.operate import live

    try:
        if not live.sees_processes_of(runtime):
            return []
    except OSError:
        return []
    found = {
        int(address.rpartition(":")[2])
        for tree in live.trees(pids).values()
        for process in tree
        for address in process["listening"] or ()
        if not address.endswith("/udp")
    }
    return sorted(found)


def _say(text: str) -> None:
    sys.stderr.write(f"pidone: {printable_word(text)}\n")
