"""Rooms over several instances: order, completeness, repetition."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sample.service import Api, Service, history, receive, say


def test_a_message_reaches_members_on_every_instance(pair: tuple[Api, Api]) -> None:
    """A room spans instances: two processes that share nothing but the database and the bus."""
    here, there = pair
    with here.join("span", "ann") as ann, there.join("span", "bob") as bob:
        ann.send(json.dumps({"key": "k1", "text": "hi bob"}))
        # Her acknowledgement and the message come on ways of their own.
        told = {frame["type"]: frame for frame in [receive(ann, "ack", "message") for _ in range(2)]}
        assert (told["ack"]["seq"], told["message"]["text"]) == (1, "hi bob")
        heard = receive(bob, "message")
        assert (heard["seq"], heard["author"], heard["text"]) == (1, "ann", "hi bob")
        assert say(bob, "k1", "hi ann") == 2  # keys belong to their author
        assert receive(ann, "message")["text"] == "hi ann"


def test_numbers_have_no_holes_whoever_writes(pair: tuple[Api, Api]) -> None:
    """Two instances write to one room at once; every member sees 1 to n in order."""
    apis = pair
    with apis[1].join("order", "listener", after=0) as listener:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: apis[n % 2].post("order", f"k{n}"), range(60)))
        assert {answer.status for answer in answers} == {201}
        assert [receive(listener, "message")["seq"] for _ in range(60)] == list(range(1, 61))
    assert [message["seq"] for message in history(apis[0], "order")] == list(range(1, 61))


def test_a_client_that_comes_back_gets_what_it_missed(pair: tuple[Api, Api]) -> None:
    """The last number seen is all a client has to remember, over pages and instances."""
    here, there = pair
    for n in range(1, 251):  # more than a page
        assert here.post("back", f"k{n}").status == 201
    with there.join("back", "bob", after=20) as bob:
        assert [receive(bob, "message")["seq"] for _ in range(230)] == list(range(21, 251))
        here.post("back", "k251")
        assert receive(bob, "message")["seq"] == 251


def test_nothing_is_between_the_past_and_the_present(pair: tuple[Api, Api]) -> None:
    """Who joins while messages are being stored gets each of them, as the past or as news."""
    here, there = pair

    def join_and_talk(n: int) -> list[int]:
        with (here, there)[n % 2].join(f"born{n // 2}", f"author{n}", after=0) as client:
            saying = json.dumps({"key": "k", "text": "me too"})
            client.send(saying)
            seen: list[dict[str, Any]] = []
            while not seen or seen[-1]["author"] != f"author{n}":
                frame = receive(client, "message", "error")
                if frame["type"] == "message":
                    seen.append(frame)
                else:  # SQLite has one writer at a time, and waits for its turn only so long
                    assert frame["retry"], frame
                    client.send(saying)
        return [message["seq"] for message in seen]

    with ThreadPoolExecutor(16) as pool:
        for numbers in pool.map(join_and_talk, range(120)):
            assert numbers == list(range(1, len(numbers) + 1))


def test_a_repeated_message_is_stored_once(pair: tuple[Api, Api]) -> None:
    """A client that missed its acknowledgement repeats the key, here or elsewhere, at any time."""
    here, there = pair
    first = here.post("repeat", "k1", "once")
    with there.join("repeat", "ann") as ann:
        assert say(ann, "k1", "once") == first.body["seq"] == 1
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: (here, there)[n % 2].post("repeat", "k2"), range(8)))
        assert {answer.body["seq"] for answer in answers} == {2}
        assert say(ann, "k3") == 3


def test_what_was_acknowledged_survives_kill_9(migrated: Service) -> None:
    """A message is durable before its acknowledgement leaves."""
    doomed, other = migrated.two_apis()
    with doomed.join("hall", "ann") as ann:
        acknowledged = [say(ann, f"k{n}") for n in range(20)]
        doomed.process.signal(signal.SIGKILL)
        assert doomed.process.wait() == 128 + signal.SIGKILL
    assert [message["seq"] for message in history(other, "hall")] == acknowledged


def test_nonsense_is_answered_not_stored(pair: tuple[Api, Api]) -> None:
    """Bad input gets a reason, over HTTP and over the WebSocket, and the connection stays usable."""
    api, _ = pair
    assert api.request("/rooms/nonsense/messages", {"author": "ann"}).status == 422
    assert api.request("/rooms/nonsense/messages", ["not", "an", "object"]).status == 422
    assert api.request("/rooms/nonsense/messages?after=soon").status == 422
    with api.join("nonsense", "ann") as ann:
        for nonsense in (
            "{",
            "[]",
            json.dumps({"key": "k", "text": ""}),
            json.dumps({"key": 1, "text": "x"}),
        ):
            ann.send(nonsense)
            error = receive(ann, "error")
            assert (error["retry"], bool(error["error"])) == (False, True)
        assert say(ann, "k1") == 1
    assert len(history(api, "nonsense")) == 1


def test_whoever_is_in_hears_what_is_said_next(pair: tuple[Api, Api]) -> None:
    """The handshake is a promise: what is stored after it, by whichever instance, arrives."""
    here, there = pair
    for n in range(50):
        with here.join(f"promise-{n}", "listener") as listener:
            assert there.post(f"promise-{n}", "k").status == 201
            assert receive(listener, "message")["seq"] == 1
