"""Python workers that are forked from a process which has imported their app (`preload`)."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clusters.site import get, merged, python_app, refused, running
from harness import eventually

from pidone.init import proctree
from pidone.supervise.preload.zygote import is_child_of

APP = """
import json, os, random, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

VERSION = "one"
IMPORTED_BY = os.getpid()
LEFT, GIVEN = random.Random(), random.Random(7)
ARRAYS, SEEDED = [], []
if "OPENBLAS_NUM_THREADS" in os.environ:
    from numpy.random import RandomState, default_rng
    ARRAYS = [default_rng(), RandomState()]
    SEEDED = [default_rng(7), default_rng(1 << 127), RandomState(7)]
forks = []
os.register_at_fork(after_in_child=lambda: forks.append(os.getpid()))

def pidone_after_fork():
    forks.append("hook")

def drawn():
    if not DRAWN:
        DRAWN.append([random.random(), LEFT.random(), *(float(each.random()) for each in ARRAYS)])
        DRAWN.append([GIVEN.random(), *(float(each.random()) for each in SEEDED)])
    return DRAWN
DRAWN = []

def look():
    return json.dumps({
        "own": {"pid": os.getpid(), "index": os.environ["NODE_APP_INSTANCE"], "random": drawn()[0]},
        "import": {
            "by": IMPORTED_BY, "version": VERSION, "forks": [each == os.getpid() or each for each in forks],
        },
        "seeded": drawn()[1],
        "same": {
            "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "main": sys.modules["__main__"].__name__,
            "leader": os.getpgid(0) == os.getpid(), "parent": os.getppid(), "words": sys.orig_argv[-3:],
            "mark": "PIDONE_INSTANCE" in os.environ, "umask": os.umask(0o22), "nice": os.nice(0),
            "shown": open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0))[1:],
            "marked": os.environ["PIDONE_INSTANCE"] in open("/proc/self/environ").read(),
        },
    }).encode()

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": look()})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [look()]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(look())
    def log_message(self, *_): ...

def main():
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

if __name__ == "__main__":
    main()
"""
COMMANDS = {
    "uvicorn": (("-m", "uvicorn", "--no-access-log", "--port", "PORT", "site_app:asgi"), True),
    "gunicorn": (("-m", "gunicorn", "-w", "1", "-b", "127.0.0.1:PORT", "site_app:wsgi"), True),
    "gunicorn asgi": (
        ("-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:PORT", "site_app:asgi"),
        True,
    ),
    "main": (("-m", "site_app"), "site_app:main"),
    "file": (("-u", "site_app.py"), "site_app:main"),
}


def app_of(folder: Path, port: int, kind: str, **keys: Any) -> dict[str, Any]:
    """A cluster of two with this command; the module is in its folder."""
    words, preload = COMMANDS[kind]
    (folder / "site_app.py").write_text(APP)
    given = {
        "cwd": str(folder),
        "exec_mode": "cluster",
        "preload": preload,
        "env": {"PYTHONWARNINGS": "ignore"},
    }
    args = [word.replace("PORT", str(port)) for word in words]
    return merged(python_app(*args, port=port, **given), keys)


def look(port: int) -> dict[str, Any]:
    """What the worker that answers sees of itself."""
    found: dict[str, Any] = json.loads(get(port))
    return found


def looks(port: int, count: int = 2) -> list[dict[str, Any]]:
    """The same of so many instances, asked until each of them has answered."""
    found: dict[str, dict[str, Any]] = {}

    def asked() -> bool:
        each = look(port)
        found[each["own"]["index"]] = each
        return len(found) == count

    eventually(asked, f"{count} workers to answer")
    return [found[index] for index in sorted(found)]


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_forked_worker_sees_what_a_started_one_does(tmp_path: Path, port: int, kind: str) -> None:
    """Arguments, paths, folder, rights, group and parent; only the import is another process's."""
    if "corn" in kind:
        pytest.importorskip("uvicorn")
        pytest.importorskip("gunicorn")
    with running(tmp_path, app_of(tmp_path, port, kind, preload=False, umask="022", nice=1)) as site:
        started = look(port)
        assert parent_of(started) == site.run.process.pid
    with running(tmp_path, app_of(tmp_path, port, kind, umask="022", nice=1)) as site:
        forked = look(port)
        assert parent_of(forked) == site.run.process.pid
        assert forked["import"]["by"] == site.run.find(event="preload.ready")[0]["pid"]
        assert "hook" in forked["import"]["forks"]
        assert site.count("preload.refused") == 0
    if isinstance(COMMANDS[kind][1], str):  # it is called where it was imported
        assert forked["same"].pop("main") == "site_app"
        del started["same"]["main"]
    assert forked["same"] == started["same"]


def parent_of(look: dict[str, Any]) -> int:
    """Who started the instance; the worker of gunicorn's master answers."""
    parent: int = look["same"].pop("parent")
    if look["same"]["leader"]:
        return parent
    master = proctree.read(parent)
    assert master is not None
    return master.ppid


def test_each_worker_is_forked_once_and_draws_its_own(tmp_path: Path, port: int) -> None:
    """Hooks of the app and of os.register_at_fork; random numbers differ, but for those of a given seed."""
    env = {"OPENBLAS_NUM_THREADS": "1"} if importlib.util.find_spec("numpy") else {}
    with running(tmp_path, app_of(tmp_path, port, "main", env=env)) as site:
        one, two = looks(port)
        assert not site.count("preload.refused")
        assert one["import"] == two["import"]
        assert one["import"]["forks"] == [True, "hook"]
        assert not set(one["own"]["random"]) & set(two["own"]["random"])
        assert one["seeded"] == two["seeded"]


def test_a_reload_brings_new_code(tmp_path: Path, port: int) -> None:
    """By a new zygote; the old one ends with its last worker. What crashes before has the old code."""
    app = app_of(tmp_path, port, "main")
    with running(tmp_path, app) as site:
        old = site.run.find(event="preload.ready")[0]["pid"]
        (tmp_path / "site_app.py").write_text(APP.replace('"one"', '"two"'))
        os.kill(site.pids()[0], signal.SIGKILL)
        site.run.expect(event="instance.online", count=3)
        assert {each["import"]["version"] for each in looks(port)} == {"one"}
        site.reload()
        assert {each["import"]["version"] for each in looks(port)} == {"two"}
        eventually(lambda: not Path(f"/proc/{old}").exists(), "the old zygote to end")
        assert site.count("preload.ready") == 2


def test_a_broken_version_changes_nothing(tmp_path: Path, port: int) -> None:
    """It is told, the workers stay, and who crashes comes back with the old code, until it is right."""
    with running(tmp_path, app_of(tmp_path, port, "main", reload_timeout="10s")) as site:
        (tmp_path / "site_app.py").write_text("raise ValueError('broken')")
        site.change(env={"GENERATION": "1"})
        site.run.expect(event="app.reload_failed")
        assert "ValueError: broken" in site.run.expect(event="preload.refused")["message"]
        os.kill(site.pids()[0], signal.SIGKILL)
        site.run.expect(event="instance.online", count=3)
        assert {each["import"]["version"] for each in looks(port)} == {"one"}
        (tmp_path / "site_app.py").write_text(APP.replace('"one"', '"three"'))
        site.change(env={"GENERATION": "2"})
        site.run.expect(event="app.reloaded")
        assert {each["import"]["version"] for each in looks(port)} == {"three"}


def test_a_zygote_that_dies_is_told_and_comes_back(tmp_path: Path, port: int) -> None:
    """Nobody is harmed; the next worker is forked from the next one."""
    with running(tmp_path, app_of(tmp_path, port, "main")) as site:
        before = site.pids()
        os.kill(site.run.find(event="preload.ready")[0]["pid"], signal.SIGKILL)
        assert "SIGKILL" in site.run.expect(event="preload.exit")["message"]
        second = site.run.expect(event="preload.ready", count=2)["pid"]
        assert site.pids() == before
        os.kill(before[0], signal.SIGKILL)
        site.run.expect(event="instance.online", count=3)
        assert second in {each["import"]["by"] for each in looks(port)}


def test_a_zygote_that_hangs_keeps_nobody_waiting(tmp_path: Path, port: int) -> None:
    """It is asked on the loop, while the runtime does what else there is to do."""
    with running(tmp_path, app_of(tmp_path, port, "main")) as site:
        before = site.pids()
        zygote = site.run.find(event="preload.ready")[0]["pid"]
        os.kill(zygote, signal.SIGSTOP)
        os.kill(before[0], signal.SIGKILL)
        assert "not answered for 2 s: somebody has" in site.run.expect(event="preload.failed")["message"]
        assert site.run.expect(event="preload.exit")["pid"] == zygote
        site.run.expect(event="instance.online", count=3)
        assert site.count("runtime.error") == 0
        assert site.run.expect(event="preload.ready", count=2)["pid"] != zygote


def test_an_import_that_cannot_be_forked_is_refused(tmp_path: Path, port: int) -> None:
    """With what it is; its workers are started one by one."""
    app = app_of(tmp_path, port, "main", instances=1)
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    (tmp_path / "site_app.py").write_text(f"{thread}\n{APP}")
    with running(tmp_path, app) as site:
        assert "has started 1 thread" in site.run.expect(event="preload.refused")["message"]
        each = look(port)
        assert each["import"]["by"] == each["own"]["pid"]


def test_what_an_import_leaves_open_is_told(tmp_path: Path, port: int) -> None:
    """Workers are forked all the same."""
    app = app_of(tmp_path, port, "main", instances=1)
    (tmp_path / "site_app.py").write_text(f"FILE = open('state', 'w')\n{APP}")
    with running(tmp_path, app) as site:
        told = site.run.expect(event="preload.shared")
        assert told["level"] == "warning"
        assert f"{tmp_path}/state, open for writing; open it in pidone_after_fork()" in told["message"]
        each = look(port)
        assert each["import"]["by"] == told["pid"] != each["own"]["pid"]


def test_instances_have_ports_of_their_own(tmp_path: Path, port: int) -> None:
    """`increment_var` counts for forked workers as for others."""
    from harness import free_port

    first = free_port()
    app = app_of(tmp_path, first, "main", exec_mode="fork", increment_var="PORT", ready=f"tcp:{first}")
    app["instances"] = 1
    with running(tmp_path, app):
        assert look(first)["own"]["index"] == "0"


def test_sockets_by_number(tmp_path: Path, port: int) -> None:
    """gunicorn takes what `listen` passes, also when it is forked."""
    pytest.importorskip("gunicorn")
    (tmp_path / "site_app.py").write_text(APP)
    keys = {"cwd": str(tmp_path), "preload": True, "listen": [f"127.0.0.1:{port}"]}
    app = python_app("-m", "gunicorn", "site_app:wsgi", port=port, **keys)
    with running(tmp_path, app) as site:
        assert {each["import"]["by"] for each in looks(port)} == {
            site.run.find(event="preload.ready")[0]["pid"]
        }


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"preload": True}, 'e.g. preload = "myapp.wsgi:app"'),
        ({"preload": "no module"}, "expected true, or what to import"),
        ({"preload": "app", "share": "kernel"}, 'share = "kernel" is for programs that are started'),
        ({"preload": "app", "script": "/bin/sleep", "args": "1"}, "is not run by Python"),
    ],
)
def test_what_cannot_be_preloaded(tmp_path: Path, port: int, keys: dict[str, Any], why: str) -> None:
    """Told before anything is started."""
    code, err, _ = refused(tmp_path, {"name": "web", "script": sys.executable, "args": ["-V"], **keys})
    assert code == 78
    assert why in err


LIE = """
import os, socket
honest = socket.socket.send
def lie(channel, data, *flags):
    return honest(channel, os.environ["LIE"].encode() if CONDITION else data, *flags)
socket.socket.send = lie
"""
LIES_OF_WORKERS = LIE.replace("CONDITION", "data.isdigit()")


@pytest.mark.parametrize("named", ["another's", "the runtime", "1", "0", "1" + "0" * 30])
def test_a_zygote_cannot_name_somebody_elses_process(tmp_path: Path, port: int, named: str) -> None:
    """It runs the app's code, and what it names would be signalled and buried as a worker."""
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        pid = {"another's": str(stranger.pid), "the runtime": "{os.getppid()}"}.get(named, named)
        app = app_of(tmp_path, port, "main", instances=1)
        lie = f"import os\nos.environ['LIE'] = f'{pid}'\n{LIES_OF_WORKERS}"
        (tmp_path / "site_app.py").write_text(lie + APP)
        with running(tmp_path, app) as site:
            assert "none of its workers" in site.run.expect(event="preload.failed")["message"]
            each = look(port)
            assert each["import"]["by"] == each["own"]["pid"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


SIBLING = """
import os
def is_sibling(pid):
    try:
        command = open(f"/proc/{pid}/cmdline").read()
        return "sleep" in command and f"PPid:\\t{os.getppid()}\\n" in open(f"/proc/{pid}/status").read()
    except OSError:
        return False
os.environ["LIE"] = next(filter(is_sibling, filter(str.isdigit, os.listdir("/proc"))))
"""


def test_a_zygote_cannot_name_an_instance_of_another_app(tmp_path: Path, port: int) -> None:
    """It would be told to stop with its workers, and its own end would be nobody's."""
    victim = {"name": "victim", "script": "/bin/sleep", "args": "600", "instances": 1}
    app = app_of(tmp_path, port, "main", instances=1, depends_on=["victim"])
    (tmp_path / "site_app.py").write_text(SIBLING + LIES_OF_WORKERS + APP)
    with running(tmp_path, victim, app) as site:
        assert "none of its workers" in site.run.expect(event="preload.failed")["message"]
        [pid] = site.pids("victim")
        os.kill(pid, signal.SIGKILL)
        site.run.expect(event="instance.exit", app="victim")
        site.run.expect(event="instance.online", app="victim", count=2)


def test_a_worker_runs_as_its_apps_user() -> None:
    """Whoever may not signal a process may not have us do it, either."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    as_nobody = subprocess.Popen(["sleep", "600"], user=65534)
    as_root = subprocess.Popen(["sleep", "600"])
    try:
        assert is_child_of(65534, as_nobody.pid)
        assert not is_child_of(65534, as_root.pid)
        assert is_child_of(None, as_root.pid)
        assert is_child_of(0, as_nobody.pid)
        assert not is_child_of(0, os.getppid())
    finally:
        for process in (as_nobody, as_root):
            process.kill()
            process.wait()


@pytest.mark.parametrize("answer", ["[1]", "{", "7", '{"modules": "many"}'])
def test_what_no_zygote_says_is_refused(tmp_path: Path, port: int, answer: str) -> None:
    """An import may write there; its workers are started one by one."""
    app = app_of(tmp_path, port, "main", instances=1, env={"LIE": answer})
    (tmp_path / "site_app.py").write_text(LIE.replace("CONDITION", "b'modules' in data") + APP)
    with running(tmp_path, app) as site:
        assert "what no zygote says" in site.run.expect(event="preload.refused")["message"]
        assert site.count("runtime.error") == 0
