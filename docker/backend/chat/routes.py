"""The HTTP side: rooms, numbers, health; and the application that joins it with the WebSockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from chat import health
from chat.analytics import Analytics
from chat.database import UnavailableError
from chat.hub import Hub
from chat.jobs import JOBS, Timetable
from chat.messages import PAGE, Messages
from chat.posting import InvalidPostError, Posting, draft
from chat.resources import Resources
from chat.sockets import as_frame, converse
from chat.stream import Outbox

RETRY_AFTER_S = "1"


@dataclass(slots=True)
class Traffic:
    """Whether this instance wants requests."""

    draining: bool = False


class Api:
    """The request handlers; one object per process."""

    def __init__(self, resources: Resources) -> None:
        messages = Messages(resources.database)
        self.resources = resources
        self.traffic = Traffic()
        self.hub = Hub(messages, resources.bus)
        self.outbox = Outbox(resources.stream)
        self.posting = Posting(messages, self.hub, resources.bus, self.outbox)
        self._analytics = Analytics(resources.database)
        self._timetable = Timetable(resources.database)

    @contextlib.asynccontextmanager
    async def background(self, _app: Starlette) -> AsyncIterator[None]:
        """Follow hints and send events while the application runs; nothing collected is left behind."""
        following, sending = asyncio.create_task(self.hub.run()), asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            following.cancel()
            self.outbox.close()
            await asyncio.gather(following, return_exceptions=True)
            await sending

    async def post_message(self, request: Request) -> JSONResponse:
        """201 once the message is durable."""
        try:
            said = draft(await request.json())
        except ValueError as error:  # InvalidPostError, or not JSON at all
            reason = str(error) if isinstance(error, InvalidPostError) else "the body is not JSON"
            return JSONResponse({"error": reason}, 422)
        return JSONResponse(as_frame(await self.posting.post(request.path_params["room"], said)), 201)

    async def get_messages(self, request: Request) -> JSONResponse:
        """A page of a room, from `?after=` on."""
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            return JSONResponse({"error": "`after` must be a number"}, 422)
        page = await self.posting.messages.after(request.path_params["room"], int(after), PAGE)
        return JSONResponse({"messages": [as_frame(message) for message in page]})

    async def get_stats(self, request: Request) -> JSONResponse:
        """What aggregator and worker have counted."""
        return JSONResponse(await self._analytics.of_room(request.path_params["room"]))

    async def post_job(self, request: Request) -> JSONResponse:
        """Ask the worker to run a job soon."""
        kind = request.path_params["kind"]
        if kind not in JOBS:
            return JSONResponse({"error": f"no such job, there are: {', '.join(sorted(JOBS))}"}, 404)
        await self._timetable.request(kind)
        return JSONResponse({"requested": kind}, 202)

    async def get_health(self, _request: Request) -> JSONResponse:
        """200 if the database and Redis really answer."""
        passed, checks = await health.report(
            {"database": self.resources.database.check, "bus": self.resources.bus.check}
        )
        return JSONResponse(
            {"ok": passed, "checks": checks, "websockets": self.hub.population}, 200 if passed else 503
        )

    async def get_ready(self, _request: Request) -> JSONResponse:
        """200 if this instance should get traffic: healthy, at the right schema, and not on its way out."""
        passed, checks = await health.report(
            {
                "schema": lambda: health.check_schema(self.resources),
                "bus": self.resources.bus.check,
            }
        )
        ready = passed and not self.traffic.draining
        return JSONResponse(
            {"ready": ready, "draining": self.traffic.draining, "checks": checks}, 200 if ready else 503
        )

    async def chat(self, socket: WebSocket) -> None:
        """Join a room."""
        await converse(socket, self.posting)


class InstanceHeader:
    """Puts `x-instance` on every response and handshake, so that one can see how clients are spread."""

    def __init__(self, app: ASGIApp, *, instance: str) -> None:
        self._app = app
        self._header = (b"x-instance", instance.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def send_with_header(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, send_with_header)


def application(api: Api, instance: str) -> Starlette:
    """The ASGI application."""
    return Starlette(
        routes=[
            Route("/", _index),
            Route("/health", api.get_health),
            Route("/ready", api.get_ready),
            Route("/readyz", api.get_ready),  # the name that Kubernetes has made usual
            Route("/rooms/{room}/messages", api.get_messages, methods=["GET"]),
            Route("/rooms/{room}/messages", api.post_message, methods=["POST"]),
            Route("/rooms/{room}/stats", api.get_stats),
            Route("/jobs/{kind}", api.post_job, methods=["POST"]),
            WebSocketRoute("/rooms/{room}", api.chat),
        ],
        middleware=[Middleware(InstanceHeader, instance=instance)],
        exception_handlers={UnavailableError: _unavailable},
        lifespan=api.background,
    )


async def _index(_request: Request) -> PlainTextResponse:
    return PlainTextResponse(
        "GET  /health  /ready\n"
        "GET  /rooms/ROOM/messages?after=SEQ\n"
        'POST /rooms/ROOM/messages  {"author": "ann", "key": "1", "text": "hello"}\n'
        "GET  /rooms/ROOM/stats\n"
        "POST /jobs/rollup\n"
        "WS   /rooms/ROOM?author=ann&after=SEQ\n"
    )


async def _unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the database is away"}, 503, {"retry-after": RETRY_AFTER_S})
