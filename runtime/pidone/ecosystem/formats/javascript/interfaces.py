"""Network interfaces as Node's `os.networkInterfaces()` shows them."""

import ipaddress
import socket
from typing import Any, Final

import psutil

_NO_MAC: Final = "00:00:00:00:00:00"


def interfaces() -> dict[str, list[dict[str, Any]]]:
    """Addresses by their interface, of those that are up and running (libuv's uv_interface_addresses).

    Empty where the system does not tell.
    """
    try:
        addresses = psutil.net_if_addrs()
        flags = {name: each.flags.split(",") for name, each in psutil.net_if_stats().items()}
    except OSError:  # a sandbox without netlink sockets
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, own in addresses.items():
        device = name.partition(":")[0]  # `eth0:1` is another name of eth0
        state = flags.get(name) or flags.get(device, [])
        if not {"up", "running"} <= set(state):
            continue
        links = (one.address for one in addresses.get(device, own) if one.family == psutil.AF_LINK)
        of_all = {"mac": next(links, _NO_MAC), "internal": "loopback" in state}
        for one in own:
            if one.family == socket.AF_INET:
                found.setdefault(name, []).append(_entry("IPv4", one.address, one.netmask, of_all))
            elif one.family == socket.AF_INET6:
                address, _, zone = one.address.partition("%")
                entry = _entry("IPv6", address, one.netmask, of_all)
                found.setdefault(name, []).append({**entry, "scopeid": _scope_id(zone)})
    return found


def _entry(family: str, address: str, netmask: str | None, of_all: dict[str, Any]) -> dict[str, Any]:
    prefix = _prefix_length(netmask)
    cidr = None if prefix is None else f"{address}/{prefix}"
    return {"address": address, "netmask": netmask, "family": family, **of_all, "cidr": cidr}


def _prefix_length(netmask: str | None) -> int | None:
    """The ones at the beginning of a mask; None if it has others behind a zero, as in Node."""
    if netmask is None:
        return None
    mask = ipaddress.ip_address(netmask)
    ones = f"{int(mask):0{mask.max_prefixlen}b}".rstrip("0")
    return None if "0" in ones else len(ones)


def _scope_id(zone: str) -> int:
    """The number of the interface that a link-local address is of (getnameinfo(3) writes its name)."""
    try:
        return socket.if_nametoindex(zone) if zone else 0
    except OSError:
        return 0  # it went meanwhile
