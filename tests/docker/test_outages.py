"""Postgres and Redis go and come back while clients talk: it is told, it heals by itself, nothing is lost."""

import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest
from docker.chatting import conversation
from docker.stack import CPUS, Stack
from harness import eventually

from docker import stack as stacks

RECOVERY_S = 60.0


@pytest.fixture(scope="module")
def stack(stack_env: dict[str, str]) -> Iterator[Stack]:
    """A stack of its own: its services are stopped."""
    # An outage has to be told long before a client of `readyz` gives up.
    with stacks.up("outages", {**stack_env, "CHAT_DB_PATIENCE": "5"}, forget=True) as stack:
        yield stack


def readyz(port: int) -> int:
    """What one instance says of itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def everybody_says(port: int, status: int) -> bool:
    """Whether a burst of requests, each on a connection of its own, is answered by this status only."""
    return Counter(readyz(port) for _ in range(8 * CPUS)) == {status: 8 * CPUS}


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_an_outage_under_load(stack: Stack, service: str) -> None:
    """`/readyz` tells of it and of its end; clients come through without losing an acknowledged message."""
    port = stack.port("backend", 8000)
    with conversation(port, f"without-{service}", clients=8) as talk:
        talk.more(20)
        stack.compose("stop", service)
        eventually(lambda: everybody_says(port, 503), "/readyz to tell of the outage")
        if service == "redis":  # the database has the messages; Redis only makes them quick
            talk.more(3)
        stack.compose("start", service)
        eventually(lambda: everybody_says(port, 200), "/readyz to tell of the end", RECOVERY_S)
        talk.more(20)
    assert talk.check() >= 8 * 40
    backend = stack.records("backend")
    exits = [record for record in backend if record.get("event") == "instance.exit"]
    assert {record["app"] for record in exits} == {"migrate"}, "nothing had to be restarted"
