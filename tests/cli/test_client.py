"""What a command makes of an answer, whoever it comes from and however it is cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pidone.cli.operate.client import NO_RUNTIME, REFUSED, Client, CommandError

OK = b"HTTP/1.1 200 \r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


@contextmanager
def served(path: Path, *parts: bytes) -> Iterator[Client]:
    """Somebody who answers one request with these parts, each of which is read alone, and hangs up."""
    taken = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):  # a client that has heard enough hangs up
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    taken.wait(0.01)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield Client(str(path))
        finally:
            thread.join()


def test_an_answer_may_come_in_any_parts(tmp_path: Path) -> None:
    """Its head ends in one of them, and its body with the connection."""
    whole = OK + b'{"apps": []}'
    with served(tmp_path / "s", *(whole[at : at + 7] for at in range(0, len(whole), 7))) as client:
        assert client.get("api", "apps") == {"apps": []}


@pytest.mark.parametrize(
    ("parts", "said", "code"),
    [
        ((), "hung up", NO_RUNTIME),
        ((OK[:20],), "hung up", NO_RUNTIME),
        ((b"SSH-2.0-OpenSSH\r\n\r\n",), "does not speak HTTP", NO_RUNTIME),
        ((b"HTTP/1.1 fine\r\n\r\n",), "does not speak HTTP", NO_RUNTIME),
        ((b"x" * 70_000,), "does not speak HTTP", NO_RUNTIME),
        ((OK, b'{"apps": ['), "does not speak pidone's language", REFUSED),
        ((OK.replace(b"200", b"409"), b'{"error": "is stopping"}'), "is stopping", REFUSED),
    ],
)
def test_what_is_no_answer_has_a_message_and_a_code(
    tmp_path: Path, parts: tuple[bytes, ...], said: str, code: int
) -> None:
    """Never a traceback, whatever listens there."""
    with served(tmp_path / "s", *parts) as client, pytest.raises(CommandError, match=said) as caught:
        client.get("api", "apps")
    assert caught.value.code == code


def test_events_come_as_they_are_said(tmp_path: Path) -> None:
    """Until the runtime hangs up; what it had begun to say is none."""
    parts = (OK, b"event: line\ndata: 1\n", b"\nevent: line\ndata: 2\n\nevent: li")
    with served(tmp_path / "s", *parts) as client:
        assert [*client.stream("api", "logs")] == [("line", "1"), ("line", "2")]


def test_who_never_answers_is_waited_for_so_long(tmp_path: Path) -> None:
    """And no longer."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(CommandError, match=r"no answer within 0\.05 s"):
            Client(str(tmp_path / "s"), 0.05).get("api", "apps")


def test_a_runtime_that_ends_before_it_has_read_the_request(tmp_path: Path) -> None:
    """That is a reset, and told in the words of one that hangs up later."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def leave() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1, socket.MSG_PEEK)

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(CommandError, match="the runtime hung up") as raised:
            Client(str(tmp_path / "s")).get("api", "apps")
        thread.join()
        assert raised.value.code == NO_RUNTIME
