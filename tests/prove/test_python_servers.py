"""Well-known servers in Python and Go are acquitted."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import PYTHON, free_port
from prove.proving import failures, prove

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
GO = """
package main
import ("context"; "net/http"; "os"; "os/signal"; "syscall"; "time")
func main() {
  http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) })
  server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT")}
  stop := make(chan os.Signal, 1); signal.Notify(stop, syscall.SIGTERM); done := make(chan int)
  go func() {
    <-stop; server.Shutdown(context.Background())
    time.Sleep(time.Second) // Shutdown does not know of what was accepted in this very moment
    close(done)
  }()
  server.ListenAndServe(); <-done
}
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
    code, report = prove(tmp_path, app)
    assert failures(report) == {}
    assert code == 0


def test_a_go_binary_is_acquitted(tmp_path: Path) -> None:
    """With the Shutdown() that net/http recommends, and a second for those that it misses."""
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if go is None:
        pytest.skip("no go here")
    (tmp_path / "app.go").write_text(GO)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", "app", "app.go"], cwd=tmp_path, env=env, check=True, timeout=300)
    keys = f'exec_mode = "cluster"\ninstances = 2\nenv = {{ PORT = "{free_port()}" }}\n' + PATIENT
    code, report = prove(tmp_path, f'script = "{tmp_path}/app"\ninterpreter = "none"\n{keys}')
    assert failures(report) == {}
    assert code == 0
