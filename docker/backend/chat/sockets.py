"""One WebSocket: its frames, from the handshake to the close code.

client  {"key": "<its own name for the message>", "text": "..."}
server  {"type": "ack", "key", "seq"}               the message is stored and will not be lost
        {"type": "error", "key", "error", "retry"}  `retry`: the same frame may succeed later
        {"type": "message", "room", "seq", "author", "text", "sent_ms"}

A client that comes back passes the last `seq` it has seen as `?after=` and gets everything since.
"""

import asyncio
import contextlib
import json
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from chat.database import UnavailableError
from chat.hub import TRY_AGAIN_LATER, Member
from chat.messages import PAGE, Message, Messages
from chat.posting import InvalidPostError, Posting, draft

POLICY_VIOLATION = 1008

log = logging.getLogger(__name__)


async def converse(socket: WebSocket, posting: Posting) -> None:
    """Serve one client until it leaves or the hub ends it."""
    room, author = socket.path_params["room"], socket.query_params.get("author", "")
    after = socket.query_params.get("after")  # absent: only what is new
    if not author or not (after is None or after.isdecimal()):
        await socket.accept()  # a close code reaches only who is in
        await socket.close(POLICY_VIOLATION, "?author=NAME is needed, ?after=NUMBER is allowed")
        return
    try:
        async with posting.hub.membership(room) as member:
            await socket.accept()  # not before: whatever is stored from now on, this client gets
            posting.outbox.add("join", room)
            await _serve(socket, member, posting, room, author, None if after is None else int(after))
    except UnavailableError:
        if socket.application_state is WebSocketState.CONNECTING:
            await socket.accept()
        await socket.close(TRY_AGAIN_LATER, "the database is away")


async def _serve(
    socket: WebSocket, member: Member, posting: Posting, room: str, author: str, after: int | None
) -> None:
    """Read and write until one of the two ends."""
    writer = asyncio.create_task(_write(socket, member, posting.messages, room, after))
    try:
        await _read(socket, member, writer, posting, room, author)
        await socket.close(member.ended.result())
    except WebSocketDisconnect as gone:
        log.debug("client left", extra={"room": room, "code": gone.code})
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
            await writer


async def _read(
    socket: WebSocket, member: Member, writer: asyncio.Task[None], posting: Posting, room: str, author: str
) -> None:
    """Answer frames until the hub ends the member. Raises WebSocketDisconnect."""
    receive = asyncio.create_task(socket.receive_text())
    try:
        while True:
            # The end is noticed between two frames, never within one: what has begun is acknowledged first.
            events: set[asyncio.Future[Any]] = {receive, writer, member.ended}
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            if receive.done():
                await socket.send_json(await _answer(receive.result(), posting, room, author))
                receive = asyncio.create_task(socket.receive_text())
            if writer.done():
                writer.result()  # raises what ended it
            if member.ended.done():
                return
    finally:
        receive.cancel()


async def _answer(frame: str, posting: Posting, room: str, author: str) -> dict[str, Any]:
    key: object = None
    try:
        said = json.loads(frame)
        key = said.get("key") if isinstance(said, dict) else None
        message = await posting.post(room, draft(said, author))
    except (InvalidPostError, json.JSONDecodeError) as error:
        return {"type": "error", "key": key, "error": str(error), "retry": False}
    except UnavailableError:
        return {"type": "error", "key": key, "error": "the database is away", "retry": True}
    return {"type": "ack", "key": key, "seq": message.seq}


async def _write(socket: WebSocket, member: Member, messages: Messages, room: str, after: int | None) -> None:
    """Send what was missed, then what is new. The member is in the room already, so both may overlap."""
    seen = 0
    if after is not None:
        seen = after
        try:
            while missed := await messages.after(room, seen):
                for message in missed:
                    await socket.send_json(as_frame(message))
                seen = missed[-1].seq
                if len(missed) < PAGE:
                    break
        except UnavailableError:
            member.end(TRY_AGAIN_LATER)
            await asyncio.Future()  # nothing more to send; the reader closes and cancels this
    while True:
        message = await member.queue.get()
        if message.seq > seen:
            await socket.send_json(as_frame(message))


def as_frame(message: Message) -> dict[str, Any]:
    """A message as clients see it."""
    return {
        "type": "message",
        "room": message.room,
        "seq": message.seq,
        "author": message.author,
        "text": message.body,
        "sent_ms": message.sent_ms,
    }
