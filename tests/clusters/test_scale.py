"""Changing the number of instances, the balance or the ports of a running cluster."""

from pathlib import Path

import pytest
from clusters.load import Load
from clusters.site import Site, get, listening, node_app, python_app, running
from harness import eventually, free_port


@pytest.mark.parametrize(("balance", "keep_alive"), [("shared", True), ("spread", False), ("source", True)])
def test_up_and_down_under_load(
    tmp_path: Path, node: str, port: int, balance: str, *, keep_alive: bool
) -> None:
    """Newcomers serve, the newest leave first, indexes have no holes, and nothing is lost."""
    with (
        running(tmp_path, node_app(node, port, balance=balance, instances=2)) as site,
        Load(port, keep_alive=keep_alive) as load,
    ):
        first = site.pids()
        load.more(200)
        site.change(instances=5)
        site.run.expect(event="instance.online", count=5)
        assert [r["instance"] for r in site.run.find(event="instance.start")] == [0, 1, 2, 3, 4]
        load.more(200)
        site.change(instances=2)
        site.run.expect(event="instance.exit", count=3)
        load.more(200)
        assert site.pids() == first
        site.change(instances=3)
        site.run.expect(event="instance.online", count=6)
        load.more(200)
        assert load.finish() == []
        assert site.run.find(event="instance.start")[-1]["instance"] == 2


def holds(site: Site, port: int, balance: str) -> None:
    """It is a socket for all or one for each, and by `source` a client has its process."""
    sockets = 1 if balance == "shared" else 3
    eventually(lambda: listening(port) == sockets, f"{sockets} listening sockets")
    if balance == "source":
        owners = [get(port, source=f"127.0.0.{n}") for n in range(2, 30)]
        assert owners == [get(port, source=f"127.0.0.{n}") for n in range(2, 30)]
        assert {int(body.split()[0]) for body in owners} == set(site.pids())


@pytest.mark.parametrize(
    ("ways", "keep_alive"),
    [(("source", "spread", "shared"), False), (("spread", "source", "shared"), True)],
    ids=["source first", "spread first"],
)
def test_other_balance(
    tmp_path: Path, node: str, port: int, ways: tuple[str, ...], *, keep_alive: bool
) -> None:
    """A reload applies a changed `balance`, from each to each other one, and loses nothing."""
    with (
        running(tmp_path, node_app(node, port, balance="shared")) as site,
        Load(port, keep_alive=keep_alive, clients=8) as load,
    ):
        load.more(100)
        for balance in ways:
            site.reload(balance=balance)
            load.more(100)
            holds(site, port, balance)
        assert load.finish() == []
        assert site.count("instance.kill") == 0


def test_other_port(tmp_path: Path, port: int) -> None:
    """A changed `listen` opens the new port, and closes the old one when its last process is gone."""
    import socket

    def is_open(number: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", number)) == 0

    app = python_app("flask_app.py", port=port, share="python", listen=[f"127.0.0.1:{port}"])
    pytest.importorskip("flask")
    other = free_port()
    with running(tmp_path, app) as site:
        get(port)
        site.reload(listen=[f"127.0.0.1:{other}"], env={"PORT": str(other)})
        get(other)
        eventually(lambda: not is_open(port), "the old port to be closed")
