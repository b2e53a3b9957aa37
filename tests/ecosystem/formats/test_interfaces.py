"""Network interfaces of every kind as Node shows them."""

import socket
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from pidone.ecosystem.formats.javascript.interfaces import interfaces


def _addresses(*addresses: tuple[int, str, str | None]) -> list[Any]:
    return [SimpleNamespace(family=kind, address=text, netmask=mask) for kind, text, mask in addresses]


def test_which_are_shown_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are up and running; an alias has its device's hardware address and flags."""
    mac = (psutil.AF_LINK, "02:fc:00:00:00:01", None)
    monkeypatch.setattr(
        psutil,
        "net_if_addrs",
        lambda: {
            "eth0": _addresses(
                (socket.AF_INET, "192.0.2.2", "255.255.255.0"),
                (socket.AF_INET6, "fe80::1%lo", "ffff:ffff:ffff:ffff::"),
                mac,
            ),
            "eth0:1": _addresses((socket.AF_INET, "192.0.2.9", "255.0.255.0")),
            "tun0": _addresses((socket.AF_INET, "10.8.0.2", "255.255.255.255")),
            "unplugged": _addresses((socket.AF_INET, "10.0.0.1", "255.0.0.0"), mac),
            "bare": _addresses(mac),
        },
    )
    up = SimpleNamespace(flags="up,broadcast,running,multicast")
    states = {"eth0": up, "tun0": up, "bare": up, "unplugged": SimpleNamespace(flags="up,broadcast")}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
    monkeypatch.setattr(socket, "if_nametoindex", {"lo": 4}.__getitem__)

    found = interfaces()

    assert list(found) == ["eth0", "eth0:1", "tun0"]
    of_eth0 = {"mac": "02:fc:00:00:00:01", "internal": False}
    four = {"address": "192.0.2.2", "netmask": "255.255.255.0", "family": "IPv4", **of_eth0}
    six = {"address": "fe80::1", "netmask": "ffff:ffff:ffff:ffff::", "family": "IPv6", **of_eth0}
    assert found["eth0"] == [{**four, "cidr": "192.0.2.2/24"}, {**six, "cidr": "fe80::1/64", "scopeid": 4}]
    assert found["eth0:1"][0]["mac"] == "02:fc:00:00:00:01"
    assert found["eth0:1"][0]["cidr"] is None, "a mask with holes has no length"
    assert found["tun0"][0]["mac"] == "00:00:00:00:00:00"
    assert found["tun0"][0]["cidr"] == "10.8.0.2/32"


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without netlink sockets has no interfaces."""

    def refused() -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "net_if_addrs", refused)
    assert interfaces() == {}
