"""What holds up the stop of a hypercorn, and what does not."""

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pidone.listen import python


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its module, as an app's interpreter finds it."""
    monkeypatch.syspath_prepend(str(Path(python.__path__[0]) / "shim"))
    return importlib.import_module("pidone_hypercorn")


class Connection:
    """One of HTTP/1.1 as hypercorn keeps it."""

    protocol = None

    def __init__(self, *, client_has_gone: bool) -> None:
        self.reader = SimpleNamespace(at_eof=lambda: client_has_gone)


@pytest.mark.parametrize(("clients", "is_over"), [([], True), ([True, True], True), ([True, False], False)])
def test_clients_that_have_gone_hold_up_nothing(
    shim: ModuleType, clients: list[bool], *, is_over: bool
) -> None:
    """Hypercorn keeps their connections for its whole keep-alive time."""
    connections = {Connection(client_has_gone=gone) for gone in clients}
    assert shim._said_goodbye(connections)() is is_over
