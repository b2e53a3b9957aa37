"""How new connections are spread over slots, and that none is lost whatever happens to a slot."""

import asyncio
import signal
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
from clusters.site import queued
from harness import DEADLINE_S, hold
from hypothesis import given
from hypothesis import strategies as st
from listen.fleet import Fleet, app_of, fetch

from pidone.ecosystem.spec import AppSpec, Balance, Listen
from pidone.listen import handover
from pidone.listen.sockets import bpf, steering
from pidone.listen.sockets.ports import share_out

HELLO = """
require('http').createServer((request, response) => response.end(String(process.pid)))
  .listen(+process.env.PORT, '0.0.0.0');
"""
ACCEPTOR = """
import os, select, signal, socket, sys
stopped, stop = socket.socketpair()
stop.setblocking(False)
signal.set_wakeup_fd(stop.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
server = socket.socket(fileno=3)
server.setblocking(True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
    notify.send(b"READY=1")
while stopped not in select.select([server, stopped], [], [])[0]:  # what it has accepted it answers
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""


@pytest.fixture
def app(any_node: str, port: int, tmp_path: Path) -> AppSpec:
    script = tmp_path / "app.cjs"
    script.write_text(HELLO)
    return app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}, balance=Balance.SPREAD)


async def all_queued(port: int, count: int) -> None:
    """Wait until so many connections wait to be accepted."""
    while queued(port) < count:  # noqa: ASYNC110 (it happens in the kernel)
        await asyncio.sleep(0.005)


def with_balance(app: AppSpec, balance: Balance) -> AppSpec:
    return app.but(balance=balance)


def test_spread_is_even(fleet: Fleet, app: AppSpec, port: int, unhurried: None) -> None:
    """With a socket per slot every worker gets its share, even of few connections at a time."""
    workers = fleet.start_ready(app, 4)
    answers = Counter(fleet.get_many(port, 400))
    assert set(answers) == {str(worker.pid) for worker in workers}
    assert min(answers.values()) > 50  # 100 expected, standard deviation 9


def test_source_is_sticky(fleet: Fleet, app: AppSpec, port: int) -> None:
    """A client address meets the same worker each time; different addresses meet different workers."""
    fleet.start_ready(with_balance(app, Balance.SOURCE), 4)

    async def ask(source: str) -> str:
        answers = {await fetch(port, source=source) for _ in range(5)}
        assert len(answers) == 1, (source, answers)
        return answers.pop()

    async def ask_all() -> list[str]:
        return [await ask(f"127.0.0.{number}") for number in range(2, 42)]

    answers = Counter(fleet.run(ask_all()))
    assert len(answers) == 4
    assert min(answers.values()) >= 3


def test_source_returns_after_a_restart(fleet: Fleet, app: AppSpec, port: int) -> None:
    """While a slot is down its clients are served by others; then they come back, and nobody else moves."""
    app = with_balance(app, Balance.SOURCE)
    workers = fleet.start_ready(app, 3)
    slots = {str(worker.pid): worker.who.index for worker in workers}

    def owners() -> list[int]:
        async def ask() -> list[str]:
            return [await fetch(port, source=f"127.0.0.{number}") for number in range(2, 32)]

        return [slots[answer] for answer in fleet.run(ask())]

    before = owners()
    workers[1].signal(signal.SIGKILL)
    fleet.gone(workers[1])
    during = owners()
    assert 1 not in during
    assert [slot for slot in before if slot != 1] == [
        now for slot, now in zip(before, during, strict=True) if slot != 1
    ]
    again = fleet.start(app, 1)
    fleet.ready(again)
    slots[str(again.pid)] = 1
    assert owners() == before


def test_spread_avoids_a_stuck_worker(fleet: Fleet, app: AppSpec, port: int) -> None:
    """A stopped worker gets no new connections any more; the few that wait in its queue are served later."""
    workers = fleet.start_ready(app, 4)
    hold(workers[2].pid)
    answers: list[str] = []

    async def one() -> None:
        answers.append(await fetch(port))

    async def all_in_turn() -> list[asyncio.Task[None]]:
        tasks = []
        for _ in range(400):
            tasks.append(asyncio.create_task(one()))
            await asyncio.sleep(0.002)  # so few come between two looks, however busy the machine
        return tasks

    pending = fleet.run(all_in_turn())
    # A quarter would wait if nobody steered; it is about a dozen.
    fleet.eventually(lambda: len(answers) >= 340, "answers of the others while one is stopped")
    assert str(workers[2].pid) not in answers
    workers[2].signal(signal.SIGCONT)
    fleet.run(asyncio.gather(*pending))
    assert str(workers[2].pid) in answers


def test_a_queue_survives_its_worker(fleet: Fleet, app: AppSpec, port: int) -> None:
    """What waits on the socket of a killed worker is served by its replacement in the same slot."""
    (worker,) = fleet.start_ready(app)
    hold(worker.pid)

    async def scenario() -> list[str]:
        pending = [asyncio.ensure_future(fetch(port)) for _ in range(20)]
        await all_queued(port, 20)
        worker.signal(signal.SIGKILL)
        while worker.exit is None:
            fleet.alive()
            await asyncio.sleep(0.005)
        fleet.start(app)
        return await asyncio.gather(*pending)

    assert set(fleet.run(scenario())) == {str(fleet.members[-1].pid)}


@pytest.mark.parametrize("balance", [Balance.SPREAD, Balance.SOURCE, Balance.SHARED])
def test_scaling_down_loses_nothing(fleet: Fleet, app: AppSpec, port: int, balance: Balance) -> None:
    """Slots are retired one after the other under load: every request is answered."""
    app = with_balance(app, balance)
    workers = fleet.start_ready(app, 4)
    stop = asyncio.Event()
    answers: list[str] = []

    async def client() -> None:
        while not stop.is_set():
            answers.append(await fetch(port))

    clients = [fleet.loop.create_task(client()) for _ in range(8)]
    for worker in reversed(workers[1:]):
        mark = len(answers)
        fleet.eventually(lambda mark=mark: len(answers) > mark + 50, "requests")  # type: ignore[misc]
        assert worker.handover.drain()
        assert fleet.gone(worker) == 0  # without a handler it exits by itself when it is drained
        fleet.broker.retire(app, worker.who.index)
    mark = len(answers)
    fleet.eventually(lambda: len(answers) > mark + 50, "requests to the last")
    stop.set()
    fleet.run(asyncio.gather(*clients))
    assert set(answers[-20:]) == {str(workers[0].pid)}


def test_retiring_a_killed_worker_carries_its_queue_over(fleet: Fleet, app: AppSpec, port: int) -> None:
    """Connections queued for a worker that was killed while scaling down are answered by the others."""
    first, second = fleet.start_ready(app, 2)
    hold(first.pid)
    hold(second.pid)

    async def scenario() -> list[str]:
        pending = [asyncio.ensure_future(fetch(port)) for _ in range(40)]
        await all_queued(port, 40)
        second.signal(signal.SIGKILL)
        while second.exit is None:
            fleet.alive()
            await asyncio.sleep(0.005)
        first.signal(signal.SIGCONT)
        fleet.broker.retire(app, 1)
        return await asyncio.gather(*pending)

    assert set(fleet.run(scenario())) == {str(first.pid)}


def test_scaling_down_and_up_again(
    fleet: Fleet, app: AppSpec, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that is taken again while its queue is being emptied keeps its socket."""
    monkeypatch.setattr(steering, "_SETTLE", DEADLINE_S)  # not before the slot is taken again
    monkeypatch.setattr(steering, "HAND_OVER", 2 * DEADLINE_S)
    first, second = fleet.start_ready(app, 2)
    second.signal(signal.SIGKILL)
    fleet.gone(second)
    fleet.broker.retire(app, 1)
    again = fleet.start(app, 1)
    fleet.ready(again)
    retiring = fleet.broker._ports[app.key()]._retirement._tasks
    assert len(retiring) == 1
    monkeypatch.undo()
    fleet.eventually(lambda: not retiring, "the end of retiring")
    assert set(fleet.get_many(port, 100)) == {str(first.pid), str(again.pid)}


def test_drain_of_a_program_without_ipc_empties_its_queue_first(
    fleet: Fleet, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot of its own, no IPC: the supervisor hears `drained` when nothing waits for the process."""
    monkeypatch.setattr(handover, "EMPTYING", DEADLINE_S)  # not because it was waited for long enough
    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    from pidone.ecosystem.spec import Readiness

    app = app_of(
        sys.executable,
        "-c",
        ACCEPTOR,
        listen=listen,
        balance=Balance.SPREAD,
        ready=Readiness(notify=True),
    )
    first, second = fleet.start_ready(app, 2)
    hold(second.pid)

    async def scenario() -> list[str]:
        pending = []
        while not fleet.broker._ports[app.key()].steering.queued(second.who.index):
            pending.append(asyncio.ensure_future(fetch(port)))
            await asyncio.sleep(0.005)
        assert second.handover.drain()
        await asyncio.sleep(2 * steering._SETTLE)  # as long as nothing waited, it would be told by now
        assert not second.heard("drained")
        second.signal(signal.SIGCONT)
        while not second.heard("drained"):  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.005)
        second.signal(signal.SIGTERM)
        return await asyncio.gather(*pending)

    assert set(fleet.run(scenario())) <= {str(first.pid), str(second.pid)}
    fleet.gone(second)
    assert set(fleet.get_many(port, 20)) == {str(first.pid)}


def test_replacement_in_the_slot_needs_no_waiting(fleet: Fleet, port: int) -> None:
    """Where another process of the same slot accepts, there is nothing to wait for before the stop."""
    from pidone.ecosystem.spec import Readiness

    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    ready = Readiness(notify=True)
    app = app_of(sys.executable, "-c", ACCEPTOR, listen=listen, balance=Balance.SPREAD, ready=ready)
    (old,) = fleet.start_ready(app)
    fleet.ready(fleet.start(app, 0))
    assert not old.handover.drain()


def test_kernel_without_bpf_is_told_once(
    fleet: Fleet, app: AppSpec, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program is refused everything works without it, and one notice says so."""
    monkeypatch.setattr(bpf, "_SO_ATTACH_REUSEPORT_CBPF", 9999)
    workers = fleet.start_ready(app, 3)
    assert set(fleet.get_many(port, 100)) == {str(worker.pid) for worker in workers}
    assert len(fleet.log.of("listen.steering")) == 1


@given(st.lists(st.integers(0, 300), min_size=1, max_size=400), st.data())
def test_lookup_program_is_the_table(table: list[int], data: st.DataObject) -> None:
    """The binary search that replaces the table returns its entry for every index."""
    index = data.draw(st.integers(0, len(table) - 1))
    program = bpf._look_up(table)
    at = 0
    while True:
        code, if_true, if_false, constant = program[at]
        assert 0 <= if_true < 256
        assert 0 <= if_false < 256
        if code == bpf._RETURN:
            assert constant == table[index]
            return
        if code == bpf._JUMP:
            at += 1 + constant
        else:
            assert code == bpf._JUMP_IF_AT_LEAST
            at += 1 + (if_true if index >= constant else if_false)


def test_kernel_runs_the_source_program() -> None:
    """The kernel accepts the program and picks the socket that the table names, for IPv4 and IPv6."""
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        members = [socket.socket(family) for _ in range(3)]
        bound: tuple[object, ...] = (host, 0)
        for member in members:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind(bound)
            member.listen(200)
            member.settimeout(DEADLINE_S)  # a client may know of its connection first
            bound = member.getsockname()[:2]
        for chosen in (2, 0, 1):
            assert bpf.attach(members[0], bpf.choose_by_source([chosen] * bpf.BUCKETS))
            with socket.create_connection(bound[:2]):  # type: ignore[arg-type]
                members[chosen].accept()[0].close()
        for member in members:
            member.close()


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True), min_size=1, max_size=6))
def test_buckets_are_shared_out_evenly_and_calmly(history: list[list[int]]) -> None:
    """However slots come and go, shares differ by at most one and only necessary buckets move."""
    buckets: list[int] = []
    for slots in history:
        before, buckets = buckets, share_out(buckets, slots)
        counts = Counter(buckets)
        assert set(counts) == set(slots)
        assert max(counts.values()) - min(counts.values()) <= 1
        if before:
            moved = sum(old != new and old in slots for old, new in zip(before, buckets, strict=True))
            newcomers = set(slots) - set(before)
            assert moved <= sum(counts[slot] for slot in newcomers) + len(slots)
