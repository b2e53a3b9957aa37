"""Python servers that the shim alone does not reach share their port in cluster mode all the same."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from clusters.site import get, python_app, running
from harness import eventually

SERVERS = {
    "gevent": """
import os
from gevent.pywsgi import WSGIServer
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%d up" % os.getpid()]
WSGIServer(("127.0.0.1", int(os.environ["PORT"])), app).serve_forever()
""",
    "cherrypy": """
import os, cherrypy
class Root:
    @cherrypy.expose
    def index(self):
        return f"{os.getpid()} up"
cherrypy.config.update({"server.socket_port": int(os.environ["PORT"]), "log.screen": False})
cherrypy.quickstart(Root())
""",
    "granian": """
import os
from granian import Granian
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d up" % os.getppid()})
if __name__ == "__main__":
    Granian("app:app", address="127.0.0.1", port=int(os.environ["PORT"]), interface="asgi").serve()
""",
}


@pytest.mark.parametrize("server", SERVERS)
def test_it_shares(tmp_path: Path, port: int, server: str) -> None:
    """Two instances are ready when they listen, both answer, and both are replaced."""
    if importlib.util.find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    (tmp_path / "app.py").write_text(SERVERS[server])
    app: dict[str, Any] = python_app("app.py", port=port, exec_mode="cluster", cwd=str(tmp_path))
    with running(tmp_path, app) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}

        def answered() -> bool:
            return {int(get(port).split()[0]) for _ in range(50)} == set(site.pids())

        eventually(answered, "answers of both")
        assert site.reload()["replaced"] == 2
        eventually(answered, "answers of both")
