"""Posting a message: the one use case that everything else in the service serves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chat.bus import Bus
from chat.hub import Hub
from chat.messages import Message, Messages
from chat.stream import Outbox

MAX_NAME: Final = 64
MAX_BODY: Final = 4000


class InvalidPostError(ValueError):
    """What a client sent is not a message; the text says why."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is not stored yet."""

    author: str
    key: str
    body: str


def draft(said: object, author: str | None = None) -> Draft:
    """Check what a client sent; `author` overrules what it says of itself. Raises InvalidPostError."""
    if not isinstance(said, Mapping):
        raise InvalidPostError("a JSON object is needed")
    return Draft(
        author=author or _text(said, "author", MAX_NAME),
        key=_text(said, "key", MAX_NAME),
        body=_text(said, "text", MAX_BODY),
    )


@dataclass(frozen=True, slots=True)
class Posting:
    """Stores a message, then spreads it."""

    messages: Messages
    hub: Hub
    bus: Bus
    outbox: Outbox

    async def post(self, room: str, what: Draft) -> Message:
        """Return only when the message is durable; telling the others may fail, they look by themselves.

        Raises UnavailableError: the message may or may not be stored, and the client repeats it with its key.
        """
        message, is_new = await self.messages.append(
            room=room, author=what.author, key=what.key, body=what.body
        )
        if is_new:
            self.hub.wake(room)
            self.outbox.add("message", room)
            await self.bus.announce(room)
        return message


def _text(said: Mapping[str, Any], field: str, longest: int) -> str:
    value = said.get(field)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise InvalidPostError(f"`{field}` must be a text of 1 to {longest} characters")
    return value
