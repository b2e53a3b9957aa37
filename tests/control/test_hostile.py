"""Clients that misbehave cost themselves something and nobody else anything."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import Operated, operated
from harness import DEADLINE_S, PYTHON, eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ENOUGH = 200


@contextlib.contextmanager
def crowd(it: Operated, size: int, data: bytes) -> Iterator[list[socket.socket]]:
    """Many TCP clients that have sent something and now wait."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(size):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", it.port), DEADLINE_S))
            client.sendall(data)
            clients.append(client)
        yield clients


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /livez HTT",
        b"POST /api/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
        b"GET /livez HTTP/1.1\r\n",
    ],
    ids=["silent", "half a line", "half a body", "half a head"],
)
def test_two_hundred_hanging_clients_keep_nobody_from_being_served(sleeping: Operated, data: bytes) -> None:
    """With 200 clients that never finish their request, both sides answer and little memory is used."""
    before = rss(sleeping.run.pid)
    with crowd(sleeping, ENOUGH, data):
        assert sleeping.ask("/livez", tcp=True).status == 200
        assert sleeping.ask("/livez").status == 200
        assert rss(sleeping.run.pid) - before < ENOUGH * 40_000


def test_more_clients_than_are_served_push_out_the_silent_ones(sleeping: Operated) -> None:
    """The limit of connections is no way to lock others out."""
    with crowd(sleeping, 400, b""):
        assert sleeping.ask("/livez", tcp=True).status == 200


def test_a_client_that_never_finishes_is_hung_up_on(sleeping: Operated) -> None:
    """A request that has not arrived after five seconds does not get a sixth."""
    began = time.monotonic()
    with crowd(sleeping, 1, b"GET /livez HTTP/1.1\r\n") as [client]:
        client.settimeout(DEADLINE_S)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert time.monotonic() - began > 3


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 1_000_000, (431, 400)),
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", (414,)),
        (b"POST /api/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000, (413,)),
        (b"\x00\xff\x16\x03\x01\x02\x00\x01\xfc\r\n\r\n", (400,)),
    ],
    ids=["1 MB header", "long path", "large body", "TLS"],
)
def test_too_much_or_nonsense_is_refused(shared: Operated, data: bytes, statuses: tuple[int, ...]) -> None:
    """It gets an error status or is hung up on; the runtime goes on."""
    with socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S) as client:
        answer = b""
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(1000)
    if answer:
        assert int(answer.split(b" ")[1]) in statuses
    assert shared.ask("/livez", tcp=True).status == 200


@pytest.mark.parametrize(
    "lengths",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 48",
        b"content-length: 0\r\ncontent-length: 4",
        b"transfer-encoding: identity",
        b"transfer-encoding: x, chunked",
    ],
)
def test_nothing_is_smuggled_in_behind_a_request(sleeping: Operated, lengths: bytes) -> None:
    """A proxy that goes by the other length would take the second request for a body."""
    second = b"GET /api/apps HTTP/1.1\r\nhost: x\r\n\r\n"
    request = b"GET /livez HTTP/1.1\r\nhost: x\r\n" + lengths + b"\r\n\r\n0\r\n\r\n" + second
    with socket.create_connection(("127.0.0.1", sleeping.port), DEADLINE_S) as client:
        client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(65536):
                answer += part
    assert b" 200 " not in answer
    assert answer.count(b"HTTP/1.1 ") <= 1


def test_followers_that_never_read_are_given_up(tmp_path: Path) -> None:
    """While an app floods its log, followers that do not read stop neither it nor others, and are bounded."""
    ecosystem = f"""
    [[apps]]
    name = "flood"
    script = "{PYTHON}"
    args = ["-c", "while True: print('x' * 1000)"]
    ready_delay = 0
    """
    with operated(tmp_path, ecosystem) as it:
        before = rss(it.run.pid)
        data = b"GET /api/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n"
        with crowd(it, ENOUGH, data):
            assert it.ask("/livez", tcp=True).status == 200
            lines = len(it.run.out or ())
            eventually(lambda: len(it.run.out or ()) > lines + 1000, "the flood to go on")
            assert rss(it.run.pid) - before < 64 * 1024 * 1024
        eventually(lambda: it.ask("/livez").status == 200)


def test_requests_follow_each_other_on_one_connection(shared: Operated) -> None:
    """Pipelined requests are answered one after the other."""
    with socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200") == 51


def test_whatever_is_sent_the_runtime_answers_the_next(tmp_path: Path) -> None:
    """Random bytes, on either side, never end the runtime or its answers."""
    with operated(tmp_path) as it:

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.binary(max_size=300)
            | st.text(max_size=200).map(
                lambda t: f"GET /{t} HTTP/1.1\r\nhost: x\r\n\r\n".encode(errors="ignore")
            )
        )
        def send(data: bytes) -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE_S)
                client.connect(it.socket)
                with contextlib.suppress(OSError):
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
            assert it.ask("/livez").status == 200

        send()
        assert not it.run.find(event="runtime.error")
