"""Well-known servers in Python are acquitted."""

import json
from pathlib import Path

import pytest
from harness import PYTHON, free_port
from prove.proving import MANNERS, RELOAD, failures, prove

ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("content-length", "5")])
    return [b"hello"]
"""
AIOHTTP = """
from aiohttp import web
async def hello(request):
    return web.Response(text="hello")
app = web.Application()
app.router.add_get("/", hello)
web.run_app(app, host="127.0.0.1", port=PORT)
"""
FLASK = """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def hello():
    return "hello"
app.run(port=PORT)
"""
PATIENT = 'listen_timeout = "60s"\nkill_timeout = "10s"\n'
"""Importing takes long on a busy machine, and so does finishing a request."""


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("uvicorn", "asgi:app --port PORT"),
        ("gunicorn", "wsgi:app -b 127.0.0.1:PORT --threads 8"),
        ("aiohttp", ""),
        ("flask", ""),
    ],
)
def test_well_known_python_servers_are_acquitted(module: str, args: str, tmp_path: Path) -> None:
    """As they are."""
    pytest.importorskip(module)
    port = str(free_port())
    for name, text in (("asgi", ASGI), ("wsgi", WSGI), ("run_aiohttp", AIOHTTP), ("run_flask", FLASK)):
        (tmp_path / f"{name}.py").write_text(text.replace("PORT", port))
    line = ["-m", module, *args.replace("PORT", port).split()] if args else [f"run_{module}.py"]
    app = f'script = "{PYTHON}"\nargs = {json.dumps(line)}\nexec_mode = "cluster"\ninstances = 2\n' + PATIENT
    code, report = prove(tmp_path, app, *(MANNERS if module == "uvicorn" else RELOAD))
    assert failures(report) == {}
    assert code == 0
