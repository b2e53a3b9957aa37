"""Servers that people really run, unmodified: ready, shared, reloaded, scaled, stopped, and no lost port.

`make test-servers` tries all with ten reloads each and writes the table of docs/clusters.md;
`make test-servers-dozen` tries a dozen with two, for every change.
"""

import contextlib
import os
import signal
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clusters.load import Failure, Load
from clusters.site import Site
from harness import DEADLINE_S, Running, alive, children, descendants, eventually, hold
from servers import node_servers, other_servers, python_servers, rust_servers, script_servers
from servers.conversations import ask
from servers.latency import side_by_side
from servers.results import Row
from servers.server import KEPT, NEW, Server

ALL = (
    *(*node_servers.SERVERS, *python_servers.SERVERS, *other_servers.SERVERS),
    *(*rust_servers.SERVERS, *script_servers.SERVERS),
)
IS_FULL = bool(os.environ.get("SERVERS_TABLE"))
CHOSEN = [server for server in ALL if server.is_quick or IS_FULL]
RELOADS = int(os.environ.get("SERVERS_RELOADS", "10" if IS_FULL else "2"))
SCALES = (3, 1, 2)
COUNTED = 300
CLIENTS = 4
"""Of each kind."""
STOPS = 40
"""The first that cuts somebody ends the search, and it is by chance whether one does."""
PAUSE_S = 0.003
"""Between two requests of one client: they shall meet every moment of a reload, not the machine's limits."""
LATENCY_REQUESTS = 300
LATENCY_ROUNDS = 3
NAGLE_S = 0.02
"""Slower than alone by this much: something waits for a delayed acknowledgement."""


@pytest.mark.parametrize("server", CHOSEN, ids=lambda server: server.name)
def test_server(tmp_path: Path, port: int, spare: int, server: Server, rows: list[Row]) -> None:
    """All that its users rely on."""
    app = server.app(tmp_path, port)
    row = Row(server.name)
    path = app["env"].pop("ASK", "/")
    site = Site(tmp_path, app)
    with site.run:
        began = time.monotonic()
        site.start()
        row.ready_s = time.monotonic() - began
        answered(site, server, port, path)
        row.ready_by = readiness(site, server)
        if server.tells_pid:
            shares(site, port, path)
        if server.speaks == "http" and server.keeps:
            with alone(server.app(tmp_path / "alone", spare), spare):
                row.latency = latency_with_us(port, spare, path)
        if server.speaks == "http":
            under_load(site, server, port, path, row)
        else:
            rounds(site, server, port, path)
        if server.tells_pid:
            site.reload(balance="spread")
            row.evenness = evenness(shares(site, port, path, COUNTED))
        stops(site, server, port, row)
    if row.kept_lost:
        assert cuts_by_itself(server, tmp_path / "alone", spare, path), f"{row.kept_lost} kept ones cut"
    rows.append(row)


def readiness(site: Site, server: Server) -> str:
    """Told, not guessed, by all."""
    online = site.run.find(event="instance.online")
    assert not site.run.find(event="instance.not_ready")
    told = {record.get("by") for record in online}
    assert told == {server.ready_by}, online
    return server.ready_by


def answered(site: Site, server: Server, port: int, path: str) -> None:
    """The port answers, whatever health says."""
    try:
        ask(port, server.speaks, path)
    except (OSError, AssertionError) as error:
        raise AssertionError(f"{error!r} after {[r.get('event') for r in site.run.records][-20:]}") from error


def owner(site: Site, body: str) -> int:
    """The instance that gave this answer: its process or one that descends from it."""
    pid = int(body.split(maxsplit=1)[0])
    return next((main for main in site.pids() if pid == main or pid in descendants(main)), 0)


def shares(site: Site, port: int, path: str, count: int = 100) -> Counter[int]:
    """Each instance answers; how often each did, of so many answers or more."""
    heard: Counter[int] = Counter()
    wanted = set(site.pids())

    def everybody() -> bool:
        with Load(port, keep_alive=False, clients=8, path=path) as load:
            load.more(count)
        for body, times in load.bodies.items():
            heard[owner(site, body)] += times
        return wanted <= set(heard)

    eventually(everybody, f"answers of {wanted}")
    return Counter({pid: heard[pid] for pid in wanted})


def evenness(heard: Counter[int]) -> float:
    """The greatest distance from an even share: a figure of the table.

    Who is kept from the CPU by what else the machine does is steered around, so nothing is promised of it.
    """
    return max(abs(times / heard.total() - 1 / len(heard)) for times in heard.values())


def under_load(site: Site, server: Server, port: int, path: str, row: Row) -> None:
    """Reloads and scalings under both kinds of clients: nobody is refused, and what is lost is known."""
    kinds = [False, True] if server.keeps else [False]
    loads = [Load(port, keep_alive=kind, clients=CLIENTS, path=path, pause=PAUSE_S) for kind in kinds]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        rounds(site, server, port, path)
        for load in loads:
            load.more(20)
        failures = [load.finish() for load in loads]
    row.requests = sum(load.count for load in loads)
    row.new_lost, *kept = (len(each) for each in failures)
    row.kept_lost = kept[0] if kept else None
    row.slowest_s = max(load.slowest_s for load in loads)
    everything = [
        failure for each in failures for failure in each if not (server.shuts_down and was_queued(failure))
    ]
    assert [failure for failure in everything if failure.phase == "connect"] == []
    assert lost(everything) <= {*server.loses, KEPT}, everything[:10]


def was_queued(failure: Failure) -> bool:
    """Whether it had connected, as far as the kernel goes, and was reset before it could ask."""
    return failure.phase == "connect" and failure.error.startswith(ConnectionResetError.__name__)


def lost(failures: list[Failure]) -> set[str]:
    """In which phases requests were lost."""
    return {failure.phase for failure in failures}


def rounds(site: Site, server: Server, port: int, path: str) -> None:
    """Reload, and scale up and down."""
    for _ in range(RELOADS):
        assert site.reload()["replaced"] == len(site.pids())
        answered(site, server, port, path)
    for count in SCALES:
        site.change(instances=count)
        eventually(partial(is_settled, site, count), f"{count} instances")
        answered(site, server, port, path)
    assert site.count("app.reload_failed") == 0


def is_settled(site: Site, count: int) -> bool:
    """So many processes run, and all are online."""
    return len(site.pids()) == count and site.count("instance.online") == site.count("instance.start")


def stops(site: Site, server: Server, port: int, row: Row) -> None:
    """At once, by itself, without leftovers, and with no error in its log."""
    family = descendants(site.run.pid)
    began = time.monotonic()
    assert site.stop() == 0
    row.stop_s = time.monotonic() - began
    run: Running = site.run
    assert run.find(event="instance.kill") == []
    codes = {code_of(record) for record in run.find(event="instance.exit")}
    assert codes <= server.codes, run.find(event="instance.exit")
    row.codes = codes
    assert [pid for pid in family if alive(pid)] == []
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass
    errors = [record for record in run.records if record.get("level") in ("error", "fatal")]
    errors = [
        record for record in errors if not any(words in record["message"] for words in server.complains)
    ]
    row.errors = len(errors)
    assert errors == [], [record["message"] for record in errors[:5]]


def code_of(record: dict[str, Any]) -> int:
    """As a shell has it."""
    signal_name = record.get("signal")
    return 128 + signal.Signals[signal_name] if signal_name else int(record["code"])


def latency_with_us(port: int, spare: int, path: str) -> float:
    """The median of a request as a multiple of that of the server alone, at `spare`: of rounds with both.

    What waits for an acknowledgement is slow each time, a busy machine is not.
    """
    medians = [side_by_side(port, spare, path, LATENCY_REQUESTS) for _ in range(LATENCY_ROUNDS)]
    assert min(with_us - alone for with_us, alone in medians) < NAGLE_S, medians
    return statistics.median(with_us / alone for with_us, alone in medians)


def cuts_by_itself(server: Server, folder: Path, port: int, path: str) -> bool:
    """Whether its own stop cuts clients that keep their connection, without us: one stop of many."""
    return any(_cuts_once(server, folder, port, path) for _ in range(STOPS))


def _cuts_once(server: Server, folder: Path, port: int, path: str) -> bool:
    load = Load(port, keep_alive=True, clients=CLIENTS, path=path, pause=PAUSE_S)
    with alone(server.app(folder, port), port) as run, load:
        load.more(20)
        run.signal(signal.SIGTERM)
        # When it is gone every client finds that out: by a cut, or by a port that is closed.
        eventually(lambda: len(load.failures) >= CLIENTS, "its end")
    return "later" in lost(load.failures)


@contextlib.contextmanager
def alone(app: dict[str, Any], port: int, **options: Any) -> Iterator[Running]:
    """It, as from a shell, when it listens."""
    app["env"].pop("ASK", None)
    env = {**os.environ, **app["env"]}
    before = set(children(os.getpid()))
    with Running([app["script"], *app["args"]], env=env, cwd=app["cwd"], **options) as run:
        try:
            eventually(lambda: _is_open(port) or run.process.poll() is not None, "the server alone")
            assert run.process.poll() is None, run.err and run.err.text()
            yield run
        finally:
            _end(run, before)


def _end(run: Running, others: set[int]) -> None:
    """It and its likes; the first is held, so that it starts no more of them.

    Those that it has left behind, whenever it started them, are children of this process by now, a subreaper
    that has `others` of its own.
    """
    if run.process.poll() is None:
        hold(run.pid)
    for pid in (*descendants(run.pid), run.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.process.wait()
    while adopted := set(children(os.getpid())) - others:
        for pid in adopted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_phases_are_those_of_the_load() -> None:
    """A row names phases by the words that failures have."""
    assert {phase for server in ALL for phase in server.loses} <= {NEW}


FORKS_LATE = """
import os, signal, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
input()
if os.fork():
    signal.pause()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""


def test_who_starts_others_late_leaves_nobody(port: int) -> None:
    """HAProxy listens, then starts its worker, which outlives it for a while."""
    app = {"script": sys.executable, "args": ["-c", FORKS_LATE], "cwd": "/", "env": {"PORT": str(port)}}
    before = children(os.getpid())
    told, tells = os.pipe()
    with os.fdopen(told) as stdin, os.fdopen(tells, "w") as telling, alone(app, port, stdin=stdin) as run:
        telling.write("\n")
        telling.flush()
        eventually(lambda: children(run.pid), "the late one")
        run.signal(signal.SIGTERM)
        run.process.wait(DEADLINE_S)  # not for its output, which the late one has as well
    assert children(os.getpid()) == before
