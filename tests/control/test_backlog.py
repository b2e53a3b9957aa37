"""The accept queues of listening sockets, as far as the kernel tells."""

import os
import socket

import pytest

from pidone.control.answers.backlog import read_backlogs


def test_a_short_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator (qemu-user) answers TCP_INFO with four bytes: the socket is left out, and metrics go on."""
    whole = socket.socket.getsockopt

    def short(self: socket.socket, level: int, option: int, size: int = 0) -> int | bytes:
        answer = whole(self, level, option, size) if size else whole(self, level, option)
        return answer[:4] if isinstance(answer, bytes) else answer

    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert address in read_backlogs()
        monkeypatch.setattr(socket.socket, "getsockopt", short)
        assert address not in read_backlogs()


def test_without_proc_they_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root without /proc has metrics too."""

    def nothing(_: object) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", nothing)
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listener:
        address = "{}:{}".format(*listener.getsockname())
        assert read_backlogs()[address].limit == 7
