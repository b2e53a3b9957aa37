"""The clients ask out of step, and their thread knows how long it has waited for a processor."""

import asyncio
import time
from collections import defaultdict

import pytest
from harness import eventually

from pidone.cli.trial import load
from pidone.cli.trial.answers import Book
from pidone.cli.trial.clients import CLIENTS, Client, Endpoint


def test_a_thread_that_could_not_look_waited_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that could says how long: what was noticed late is judged by it."""
    waited = iter(number / 10 for number in range(100_000))
    monkeypatch.setattr(load, "_waited", lambda: next(waited))
    monkeypatch.setattr(load, "_EVERY", 0.01)
    began = time.monotonic()
    with load.Load() as clients:
        while clients.waited(began, began + 0.02) in (0.0, float("inf")):
            assert time.monotonic() < began + 60
            time.sleep(0.01)
            began = time.monotonic() - 0.1
        assert clients.waited(began, began + 0.02) > 0
        assert clients.is_starved(began - 1)
    assert clients.waited(began + 1000, began + 1001) == float("inf")


def test_clients_begin_out_of_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """In step, all have just asked, or nobody has, when a process of an app of one pace ends: acquitted."""
    began: defaultdict[str, list[float]] = defaultdict(list)

    def kind(name: str) -> Client:
        async def client(_: Endpoint, __: Book) -> None:
            began[name].append(time.monotonic())
            await asyncio.sleep(60)

        return client

    kinds = [(kind(client.__name__), many) for client, many in CLIENTS]
    monkeypatch.setattr(load, "CLIENTS", kinds)
    with load.Load() as clients:
        asked = time.monotonic()
        clients.add(Endpoint(app="web", port=1))
        eventually(lambda: sum(map(len, began.values())) == sum(many for _, many in CLIENTS))
    for times in began.values():
        for place, each in enumerate(times):
            assert each - asked >= place / len(times)  # however late the first of them was
