"""Servers of Python, with the shim of cluster mode or by the kernel."""

from typing import Any

from servers.install import pip
from servers.server import NEW, Server

_WSGI = """
import os
def app(environ, start):
    body = b"%d up" % os.getpid()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
_ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    body = b"%d up" % os.getpid()
    head = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
"""
_SANIC = """
import os
from sanic import Sanic, text
app = Sanic("app")
@app.get("/")
async def index(request):
    return text(f"{os.getpid()} up")
if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), single_process=True, access_log=False)
"""
_AIOHTTP = """
import os
from aiohttp import web
async def index(request):
    return web.Response(text=f"{os.getpid()} up")
app = web.Application()
app.router.add_get("/", index)
web.run_app(app, port=int(os.environ["PORT"]), print=None)
"""
_TORNADO = """
import asyncio, os, signal
import tornado.web
class Index(tornado.web.RequestHandler):
    def get(self):
        self.write(f"{os.getpid()} up")
async def main():
    server = tornado.web.Application([("/", Index)]).listen(int(os.environ["PORT"]))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.stop()
    await server.close_all_connections()
asyncio.run(main())
"""
_CHERRYPY = """
import os, cherrypy
class Root:
    @cherrypy.expose
    def index(self):
        return f"{os.getpid()} up"
cherrypy.config.update({"server.socket_port": int(os.environ["PORT"]), "log.screen": False})
cherrypy.quickstart(Root())
"""
_GEVENT = """
import os, signal
import gevent
from gevent.pywsgi import WSGIServer
from wsgi import app
server = WSGIServer(("127.0.0.1", int(os.environ["PORT"])), app, log=None)
gevent.signal_handler(signal.SIGTERM, server.stop)
server.serve_forever()
"""
_FLASK = """
import os
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return f"{os.getpid()} up"
app.run(port=int(os.environ["PORT"]))
"""
_FILES = {"wsgi.py": _WSGI, "asgi.py": _ASGI}
_NEW = frozenset({NEW})
_SIGNALLED = frozenset({0, 143})
"""Servers that send themselves the signal again when they have stopped."""
_AT = "127.0.0.1:{port}"


def _server(name: str, *command: str, code: str = "", is_quick: bool = False, **known: Any) -> Server:
    package = name.split(maxsplit=1)[0].lower()
    files = {**_FILES, **({"app.py": code} if code else {})}
    return Server(
        name=name,
        need=pip(package),
        command=command,
        files=files,
        is_quick=is_quick,
        **known,
    )


def _gunicorn(worker: str, *options: str, is_quick: bool = False, **known: Any) -> Server:
    # All masters of one user have one control socket, with or without us, and remove that of the others (2).
    # Its bind() is made anew after each fork, and fails (4) when a signal comes before we have heard of it.
    known["complains"] = ("Control server error: [Errno 2]", "Control server error: [Errno 4]")
    app = "asgi:app" if worker == "asgi" else "wsgi:app"
    command = ("{bin}/gunicorn", "-b", _AT, "-k", worker, "-w", "2", *options, app)
    return _server(f"gunicorn {worker}", *command, is_quick=is_quick, **known)


SERVERS = (
    _server("uvicorn", "{bin}/uvicorn", "asgi:app", "--port", "{port}", is_quick=True, codes=_SIGNALLED),
    _server(
        "uvicorn --loop asyncio",
        "{bin}/uvicorn",
        "asgi:app",
        "--port",
        "{port}",
        "--loop",
        "asyncio",
        codes=_SIGNALLED,
    ),
    _gunicorn("sync", keeps=False, is_quick=True),
    _gunicorn("gthread", "--threads", "4", is_quick=True),
    _gunicorn("gevent", loses=_NEW),
    _gunicorn("asgi"),
    _gunicorn("tornado"),
    _server("hypercorn", "{bin}/hypercorn", "-b", _AT, "asgi:app", is_quick=True),
    _server("granian", "{bin}/granian", "--interface", "asgi", "--port", "{port}", "asgi:app", loses=_NEW),
    _server("daphne", "{bin}/daphne", "-p", "{port}", "asgi:app", loses=_NEW),
    _server("Sanic", "{python}", "app.py", code=_SANIC, loses=_NEW),
    _server("aiohttp", "{python}", "app.py", code=_AIOHTTP),
    _server("tornado", "{python}", "app.py", code=_TORNADO, loses=_NEW),
    _server("CherryPy", "{python}", "app.py", code=_CHERRYPY, loses=_NEW),
    _server("gevent", "{python}", "app.py", code=_GEVENT, loses=_NEW),
    _server("Flask", "{python}", "app.py", code=_FLASK, codes=_SIGNALLED),
    _server("waitress", "{bin}/waitress-serve", "--listen", _AT, "wsgi:app", codes=_SIGNALLED),
)
