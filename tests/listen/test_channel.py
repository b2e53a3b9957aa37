"""The framing of the IPC channel, over every way to cut a stream into pieces."""

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Iterator

import pytest
from harness import eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pidone.listen.node.channel import LAST_WORDS, LINE_BYTES, PER_TURN, UNSENT_BYTES, Channel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class Ends:
    """A channel and the raw socket at its other end."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.other, ours = socket.socketpair()
        self.other.settimeout(10)
        self.messages: list[object] = []
        self.nonsense: list[str] = []
        self.closed = 0
        self.channel = Channel(
            self.loop,
            ours,
            on_message=self.messages.append,
            on_nonsense=self.nonsense.append,
            on_closed=self._count,
        )

    def _count(self) -> None:
        self.closed += 1

    def turn(self) -> None:
        """Let the channel read and write what it can."""
        self.loop.run_until_complete(asyncio.sleep(0.002))

    def feed(self, data: bytes) -> None:
        """Let these bytes be read, and everything in them be heard."""
        self.channel._chunk, self.channel._heard = data, 0
        while self.channel._hear(1):
            pass

    def close(self) -> None:
        """Leave nothing open."""
        self.channel.close()
        self.other.close()
        self.loop.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(JSON, max_size=6), st.lists(st.integers(1, 30), max_size=20))
def test_any_cut(messages: list[object], cuts: list[int]) -> None:
    """Messages arrive whole and in order however the stream is cut."""
    ends = Ends()
    stream = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    for cut in cuts:
        ends.feed(stream[:cut])
        stream = stream[cut:]
    ends.feed(stream)
    assert ends.messages == messages
    assert not ends.nonsense
    ends.close()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes(pieces: list[bytes]) -> None:
    """Whatever arrives is either a message or nonsense; nothing is raised."""
    ends = Ends()
    for piece in pieces:
        ends.feed(piece)
    assert len(ends.messages) + len(ends.nonsense) == b"".join(pieces).count(b"\n")
    ends.close()


def test_endless_line(ends: Ends) -> None:
    """A line without end is dropped, said so once, and costs no memory; the next line counts again."""
    for _ in range(5):
        ends.feed(b"x" * (LINE_BYTES // 2 + 1))
        assert len(ends.channel._partial) <= LINE_BYTES
    ends.feed(b'x\n"next"\n')
    assert ends.messages == ["next"]
    assert len(ends.nonsense) == 1


def test_unwanted_descriptors_are_closed(ends: Ends) -> None:
    """Descriptors that a process sends along, however many, do not stay open here."""
    before = len(os.listdir("/proc/self/fd"))
    read_end, write_end = os.pipe()
    socket.send_fds(ends.other, [b'"take these"\n'], [write_end] * 40)
    os.close(write_end)
    ends.turn()
    assert ends.messages == ["take these"]
    assert os.read(read_end, 1) == b""  # nobody holds the write end any more
    os.close(read_end)
    assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_go_out_with_their_message(ends: Ends) -> None:
    """A descriptor arrives with the message it was sent with, also when the caller has closed it."""
    read_end, write_end = os.pipe()
    assert ends.channel.send({"take": "this"}, write_end)
    os.close(write_end)
    data, descriptors, _, _ = socket.recv_fds(ends.other, 1000, 4)
    assert (json.loads(data), len(descriptors)) == ({"take": "this"}, 1)
    os.write(descriptors[0], b"through")
    assert os.read(read_end, 10) == b"through"
    for descriptor in (*descriptors, read_end):
        os.close(descriptor)


def test_reader_that_does_not_read(ends: Ends) -> None:
    """What waits for a process is bounded; what was accepted arrives in order once it reads."""
    sent = 0
    while ends.channel.send("x" * 100_000):
        sent += 1
    assert sent < UNSENT_BYTES / 100_000 + 10
    received = bytearray()
    while received.count(b"\n") < sent:
        ends.turn()
        received += ends.other.recv(1 << 20)
    assert [len(json.loads(line)) for line in received.splitlines()] == [100_000] * sent


def test_death_in_the_middle(ends: Ends) -> None:
    """A process that ends within a message is gone, once, and the half message is no message."""
    ends.other.send(b'"whole"\n{"half":')
    ends.other.close()
    ends.turn()
    ends.turn()
    assert ends.messages == ["whole"]
    assert ends.nonsense == ["ended in the middle of a message"]
    assert ends.closed == 1
    assert not ends.channel.send("anybody?")


def test_a_flood(ends: Ends) -> None:
    """However much a process says at once, a turn hears so much of it; all of it is heard in the end."""
    ends.other.send(b"1\n" * 20 * PER_TURN)
    heard = []

    def count() -> None:
        heard.append(len(ends.messages))
        if heard[-1] < 20 * PER_TURN:
            ends.loop.call_soon(count)
        else:
            ends.loop.stop()

    ends.loop.call_soon(count)
    ends.loop.run_forever()
    assert max(after - before for before, after in itertools.pairwise(heard)) == PER_TURN
    assert len(ends.messages) == 20 * PER_TURN
    ends.other.send(b'"next"\n')

    def is_heard() -> bool:
        ends.turn()
        return ends.messages[-1] == "next"

    eventually(is_heard, "the channel to be read again")


def test_a_flood_at_the_end(ends: Ends) -> None:
    """What a process said last is heard, unless it was so much that nobody meant it."""
    ends.other.send(b"1\n" * 20_000)
    ends.other.close()
    ends.channel.close()
    assert len(ends.messages) == LAST_WORDS


def test_tiny_messages_that_nobody_reads(ends: Ends) -> None:
    """What waits is bounded by what it costs, not by its bytes alone."""
    sent = 0
    while ends.channel.send(1):
        sent += 1
    assert sent < UNSENT_BYTES / 100
