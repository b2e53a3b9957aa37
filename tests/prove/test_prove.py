"""`pidone prove FILE`: bad habits are convicted, each for its reason, and good servers are acquitted."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import npm
import pytest
from harness import DEADLINE_S, PIDONE, PYTHON, children, eventually, free_port

SAMPLES = Path(__file__).parent / "samples"


def prove(folder: Path, app: str, *words: str) -> "tuple[int, dict[str, Any]]":
    """The exit code and the report."""
    (folder / "e.toml").write_text(f'[[apps]]\nname = "web"\ncwd = "{folder}"\n{app}')
    done = run(folder, "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command with the file there."""
    argv = [PIDONE, "prove", str(folder / "e.toml"), "--timeout", "90", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def server(port: int, habit: str = "", *, instances: int = 2, keys: str = 'share = "python"') -> str:
    """The keys of the sample."""
    args = json.dumps([str(port), *([habit] if habit else [])])
    script = f'script = "{SAMPLES / "server.py"}"\ninterpreter = "{PYTHON}"\n'
    more = f'instances = {instances}\nkill_timeout = "3s"\n{keys}\n'
    return f"{script}args = {args}\n{more}"


def failures(report: "dict[str, Any]") -> "dict[str, str]":
    """What failed, by trial."""
    return {
        step["name"]: "; ".join(each["what"] for each in step["findings"] if each["level"] == "failed")
        for step in report["steps"]
        if step["result"] == "failed"
    }


@pytest.mark.parametrize(
    ("habit", "keys", "trial", "why"),
    [
        ("ignores SIGTERM", 'share = "python"', "stop", "ignores SIGTERM"),
        ("ends at once", 'share = "python"', "reload", "in progress were cut"),
        ("binds late", 'share = "none"', "start", "binds its port late"),
        ("keeps its log", 'share = "python"', "log", "answered requests are not in the log"),
        ("leaves a child", 'share = "python"', "reload", "ends before its children"),
        ("", 'share = "none"', "reload", "binds its port itself"),
        ("ready too early", 'share = "python"', "reload", "it says so before it can work"),
    ],
    ids=lambda value: value or "binds for itself",
)
def test_a_bad_habit_is_convicted(habit: str, keys: str, trial: str, why: str, tmp_path: Path) -> None:
    """Each by name, with a cure, and with exit code 1."""
    instances = 1 if "none" in keys else 2
    chosen = trial if trial in ("reload", "kill -9") else "recycling"
    app = server(free_port(), habit, instances=instances, keys=keys)
    code, report = prove(tmp_path, app, "--trial", chosen)
    assert code == 1
    assert why in failures(report)[trial], report
    wrong = [each for step in report["steps"] for each in step["findings"] if why in each["what"]]
    assert wrong
    assert all(each["cure"] for each in wrong)


def test_a_server_that_binds_twice_never_gets_ready(tmp_path: Path) -> None:
    """The reason is told instead of "given up"."""
    code, report = prove(tmp_path, server(free_port(), keys='share = "none"\nmax_restarts = 2'))
    assert code == 1
    assert "binds the same port itself" in failures(report)["start"]


def test_what_a_killed_process_leaves_is_in_the_way_of_the_next(tmp_path: Path) -> None:
    """A lock that only an orderly end removes; here not even that."""
    keys = 'share = "none"\nmax_restarts = 2'
    app = server(free_port(), "leaves a lock", instances=1, keys=keys)
    code, report = prove(tmp_path, app, "--trial", "kill -9")
    assert code == 1
    assert "does not start again after kill -9" in failures(report)["kill -9"]
    assert "File exists" in failures(report)["kill -9"]


def test_a_good_server_is_acquitted(tmp_path: Path) -> None:
    """Nothing is found, every trial was made, and nothing is left behind."""
    code, report = prove(tmp_path, server(free_port()))
    assert failures(report) == {}
    assert code == 0
    assert [step["name"] for step in report["steps"]] == [
        *("start", "reload", "kill -9", "standstill", "recycling", "blocked stdout", "broken version"),
        *("stop", "log", "second start", "second SIGTERM", "left behind"),
    ]
    assert not [step for step in report["steps"] if step["result"] == "skipped"]
    assert sum(step["clients"]["requests"] for step in report["steps"] if step["clients"]) > 100


NODE = """
const app = require('express')();
app.get('/', (request, answer) => setTimeout(() => answer.send('hello'), 20));
const server = app.listen(PORT);
process.on('SIGTERM', () => server.close());
"""
FASTIFY = """
const app = require('fastify')();
app.get('/', async () => 'hello');
app.listen({port: PORT});
process.on('SIGTERM', () => app.close());
"""
SOCKETS = """
const server = require('http').createServer((request, answer) => answer.end('hello'));
const io = new (require('socket.io').Server)(server, {transports: ['websocket']});
server.listen(PORT);
process.on('SIGTERM', () => io.close());
"""


@pytest.mark.parametrize(
    ("package", "text"),
    [("express", NODE), ("fastify", FASTIFY), ("socket.io", SOCKETS)],
    ids=lambda v: v[:9],
)
def test_well_known_node_servers_are_acquitted(package: str, text: str, tmp_path: Path) -> None:
    """As their documentation shows them, with the handler for SIGTERM that they recommend."""
    modules = npm.modules(f"prove-{package}", package)
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "app.js").write_text(text.replace("PORT", str(free_port())))
    code, report = prove(
        tmp_path, 'script = "app.js"\nexec_mode = "cluster"\ninstances = 2\nkill_timeout = "5s"\n'
    )
    assert failures(report) == {}
    assert code == 0


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


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("uvicorn", "asgi:app --port PORT"),
        ("gunicorn", "wsgi:app -b 127.0.0.1:PORT --threads 8"),
        ("aiohttp", ""),
    ],
)
def test_well_known_python_servers_are_acquitted(module: str, args: str, tmp_path: Path) -> None:
    """As they are."""
    pytest.importorskip(module)
    port = str(free_port())
    for name, text in (("asgi", ASGI), ("wsgi", WSGI), ("aio", AIOHTTP)):
        (tmp_path / f"{name}.py").write_text(text.replace("PORT", port))
    line = ["-m", module, *args.replace("PORT", port).split()] if args else ["aio.py"]
    app = f'script = "{PYTHON}"\nargs = {json.dumps(line)}\nexec_mode = "cluster"\ninstances = 2\n'
    code, report = prove(tmp_path, app)
    assert failures(report) == {}
    assert code == 0


def test_a_url_is_asked_instead(tmp_path: Path) -> None:
    """And one that is not on this machine is refused before anything is started."""
    port = free_port()
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(port)}')
    done = run(tmp_path, "--url", "http://192.0.2.1/")
    assert done.returncode == 64
    assert "--url http://192.0.2.1/" in done.stderr


def test_time_that_is_up_leaves_trials_out_and_nothing_behind(tmp_path: Path) -> None:
    """What was not tried is said; JUnit has every trial."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    path = tmp_path / "report.xml"
    done = run(tmp_path, "--timeout", "6", "--junit", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no time left" in done.stdout
    suite = ET.parse(path).getroot()
    assert suite.get("failures") == "0"
    assert "web: reload" in [case.get("name") for case in suite]


def test_given_up_by_a_ci_system_it_leaves_nobody(tmp_path: Path) -> None:
    """SIGTERM in the middle of it."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    process = subprocess.Popen([PIDONE, "prove", str(tmp_path / "e.toml")], stdout=subprocess.DEVNULL)
    eventually(lambda: [one for each in children(process.pid) for one in children(each)], "the apps")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert not children(process.pid)


def test_an_app_without_a_port_is_tried_as_well(tmp_path: Path) -> None:
    """A worker has no clients, but has to end, to start again, and to leave nobody."""
    (tmp_path / "worker.py").write_text("import signal\nsignal.pause()\n")
    code, report = prove(tmp_path, f'script = "worker.py"\ninterpreter = "{sys.executable}"\n')
    assert code == 0, report
    assert {"reload", "kill -9", "second SIGTERM"} <= {step["name"] for step in report["steps"]}
