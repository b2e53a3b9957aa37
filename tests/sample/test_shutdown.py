"""How an API instance leaves."""

import contextlib
import http.client
import json
import signal
import socket
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import DEADLINE_S, eventually
from sample.service import Api, Service, history, receive
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

RESTART = 1012
UNHURRIED_S = "5"
"""A drain that nobody who is slow is cut by; it ends with the last connection."""


def closed(client: ClientConnection) -> tuple[int | None, float]:
    """Read to the end: the close code and when it came."""
    with client:
        try:
            while True:
                client.recv(timeout=DEADLINE_S)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else None, time.monotonic()


def test_sigterm_closes_websockets_in_slices_with_1012(migrated: Service) -> None:
    """Clients are told "service restart", not all at the same moment, and the program exits 0."""
    api = migrated.api(CHAT_DRAIN_S="2")
    clients = [api.join("hall", f"client {n}") for n in range(20)]
    with ThreadPoolExecutor(len(clients)) as pool:
        endings = [pool.submit(closed, client) for client in clients]
        eventually(lambda: api.request("/health").body["websockets"] == 20, "all have joined")
        api.process.signal(signal.SIGTERM)
        codes, moments = zip(*(ending.result() for ending in endings), strict=True)
    assert set(codes) == {RESTART}
    assert max(moments) - min(moments) >= 0.5  # ten slices over two seconds: the last goes after 1.8 s
    assert api.process.wait() == 0


def test_a_leaving_instance_takes_nothing_new(migrated: Service) -> None:
    """The listening socket is closed first: others that share the port get the new connections."""
    api = migrated.api(CHAT_DRAIN_S="2")
    clients = [api.join("hall", f"client {n}") for n in range(2)]
    api.process.signal(signal.SIGTERM)
    eventually(lambda: _refuses(api), "connections are refused")
    assert [closed(client)[0] for client in clients] == [RESTART, RESTART]
    assert api.process.wait() == 0


def test_messages_are_acknowledged_or_refused_never_lost_in_a_shutdown(migrated: Service) -> None:
    """Clients talk while the instance leaves: whatever was acknowledged is found afterwards, in order."""
    leaving, staying = migrated.two_apis(CHAT_DRAIN_S=UNHURRIED_S)
    with ThreadPoolExecutor(4) as pool:
        talks = [pool.submit(_talk, leaving.join("hall", f"author {n}"), f"author {n}") for n in range(4)]
        eventually(lambda: len(history(staying, "hall")) >= 8, "the conversation is under way")
        leaving.process.signal(signal.SIGTERM)
        acknowledged = [seq for talk in talks for seq in talk.result()]
    assert leaving.process.wait() == 0
    stored = [message["seq"] for message in history(staying, "hall")]
    assert stored == list(range(1, len(stored) + 1))
    assert set(acknowledged) <= set(stored)
    assert len(acknowledged) == len(stored)  # nobody was cut between storing and acknowledging


def test_a_request_in_progress_is_answered(migrated: Service) -> None:
    """A request that has begun when SIGTERM arrives is finished and answered before the exit."""
    api = migrated.api(CHAT_DRAIN_S=UNHURRIED_S)
    body = json.dumps({"author": "ann", "key": "k1", "text": "slowly"}).encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=DEADLINE_S) as client:
        head = f"POST /rooms/hall/messages HTTP/1.1\r\nhost: test\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:10])
        assert api.request("/rooms/hall/messages").status == 200  # by now the half request has been read
        api.process.signal(signal.SIGTERM)
        api.process.expect(message="draining")
        client.sendall(body[10:])
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
    assert api.process.wait() == 0


def test_a_kept_connection_is_let_go_by_its_client(migrated: Service) -> None:
    """A request on a connection that was idle at SIGTERM is answered, as the last one."""
    api = migrated.api(CHAT_DRAIN_S=UNHURRIED_S)
    client = http.client.HTTPConnection("127.0.0.1", api.port, timeout=DEADLINE_S)
    with contextlib.closing(client):
        assert _ask(client) == (200, None)
        api.process.signal(signal.SIGTERM)
        api.process.expect(message="draining")
        assert _ask(client) == (200, "close")
    assert api.process.wait() == 0


def _ask(client: http.client.HTTPConnection) -> tuple[int, str | None]:
    client.request("GET", "/")
    answer = client.getresponse()
    answer.read()
    return answer.status, answer.headers["connection"]


def _refuses(api: Api) -> bool:
    try:
        api.request("/ready")
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    except ConnectionError:  # it waited to be accepted when the socket was closed
        return False
    return False


def _talk(client: ClientConnection, author: str) -> list[int]:
    """Say one thing after the other until the server closes; the numbers that were acknowledged."""
    acknowledged: list[int] = []
    with client:
        while True:
            try:
                client.send(json.dumps({"key": f"k{len(acknowledged)}", "text": f"from {author}"}))
                acknowledged.append(int(receive(client, "ack")["seq"]))
            except ConnectionClosed:
                return acknowledged


@pytest.mark.parametrize("program", ["aggregator", "worker"])
def test_background_programs_stop_between_two_steps(migrated: Service, program: str) -> None:
    """SIGTERM ends them in order with exit code 0."""
    process = migrated.start(program)
    process.expect(message="started")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    process.expect(message="stopped")
