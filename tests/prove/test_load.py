"""The thread of the clients knows how long it has waited for a processor."""

import time

import pytest

from pidone.cli.trial import load


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
