"""The API program: `python -m chat.api [--listen HOST:PORT] [--fd N]`."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn
import uvloop

from chat import logs, settings
from chat.listening import listening_socket
from chat.notify import notify
from chat.resources import acquire
from chat.routes import Api, application

LISTEN = "127.0.0.1:8000"
POLL_S = 0.05

log = logging.getLogger("chat.api")  # __name__ is __main__ here


class Server(uvicorn.Server):
    """uvicorn, with a shutdown that cuts nobody: WebSockets end in slices, HTTP after an answer."""

    def __init__(self, config: uvicorn.Config, api: Api, drain_s: float) -> None:
        super().__init__(config)
        self._api = api
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then report readiness."""
        await super().startup(sockets)
        notify("READY=1")
        for listener in sockets or ():
            log.info("listening on http://%s:%s", *listener.getsockname()[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the WebSockets, then finish as uvicorn does."""
        notify("STOPPING=1")
        self._api.traffic.draining = True
        for server in self.servers:
            server.close()
        log.info("draining", extra={"websockets": self._api.hub.population})
        # From now on every answer says so, and its client asks somebody else next. uvicorn alone would cut
        # connections that wait for a request, some of them while it is on its way.
        self.server_state.default_headers.append((b"connection", b"close"))
        await self._api.hub.close_in_slices(self._drain_s)
        with contextlib.suppress(TimeoutError):  # the silent and the slow are uvicorn's to cut
            async with asyncio.timeout(self._drain_s):
                await self._disconnected()
        await super().shutdown(sockets)
        log.info("stopped")

    async def _disconnected(self) -> None:
        """Wait until the last connection is gone."""
        await asyncio.sleep(POLL_S)  # what was accepted in this very moment is not counted yet
        while self.server_state.connections:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(POLL_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT and then exit 0; uvicorn would die by the same signal once more."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve(configuration: settings.Settings, listener: socket.socket) -> None:
    """Serve until told to stop."""
    async with acquire(configuration) as resources:
        api = Api(resources)
        config = uvicorn.Config(
            application(api, configuration.instance),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=max(1, round(configuration.drain_s)),
            # Browsers and balancers keep connections for a minute; the side that closes first sees the error.
            timeout_keep_alive=75,
        )
        await Server(config, api, configuration.drain_s).serve(sockets=[listener])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    parser = argparse.ArgumentParser(prog="chat.api", description=__doc__)
    parser.add_argument("--listen", default=os.environ.get("CHAT_LISTEN") or LISTEN, metavar="HOST:PORT")
    parser.add_argument("--fd", type=int, help="descriptor of a listening socket that is inherited")
    arguments = parser.parse_args(argv)
    configuration = settings.load()
    logs.configure(configuration, "api")
    listener = listening_socket(arguments.listen, arguments.fd)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(configuration, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
