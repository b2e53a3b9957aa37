"""An aiohttp program that runs its own server."""

import os

from aiohttp import web


async def index(_request: web.Request) -> web.Response:
    """Who it is and what it was made from."""
    return web.Response(text=f"{os.getpid()} {os.environ.get('GENERATION', '0')}")


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/", index)
    web.run_app(application, port=int(os.environ["PORT"]), print=None)
