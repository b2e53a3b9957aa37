"""Programs of which nothing is known share their port in cluster mode, and are reloaded like all others."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clusters.load import Load
from clusters.site import UNHURRIED, get, running

from pidone.cli.trial import sockets

GO = """
package main
import ("context"; "fmt"; "net/http"; "os"; "os/signal"; "syscall")
func main() {
  server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: http.HandlerFunc(
    func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d x", os.Getpid()) })}
  stop := make(chan os.Signal, 1); signal.Notify(stop, syscall.SIGTERM); done := make(chan int)
  go func() { <-stop; server.Shutdown(context.Background()); close(done) }()
  fmt.Println(server.ListenAndServe()); <-done
}
"""
NGINX = """
daemon off; pid %s; error_log stderr; worker_processes 1;
events {} http { access_log off; server { listen %d; location / { return 200 "$pid x"; } } }
"""


def tool(name: str) -> str:
    """The path of a program, or a skip."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/local/go/bin:/usr/sbin")
    if found is None:
        pytest.skip(f"no {name} here")
    return found


@pytest.fixture(scope="session")
def go_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A static server that shuts down in order."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "app.go").write_text(GO)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([tool("go"), "build", "-o", "app", "app.go"], cwd=folder, env=env, check=True, timeout=300)
    return str(folder / "app")


def cluster(script: str, *args: str, port: int, **keys: Any) -> dict[str, Any]:
    """An app in cluster mode that says nothing of ports."""
    app = {"name": "web", "script": script, "interpreter": "none", "args": list(args), "exec_mode": "cluster"}
    return {**app, **UNHURRIED, "instances": 2, "env": {"PORT": str(port)}, **keys}


@pytest.mark.parametrize("balance", ["shared", "spread"])
def test_go_reloads_under_load(tmp_path: Path, port: int, go_server: str, balance: str) -> None:
    """Nothing is refused, and each process is online as soon as it listens.

    Go's Shutdown() drops connections that it accepts in that very moment, also without us.
    """
    app = cluster(go_server, port=port, balance=balance)
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        load.more(100)
        assert site.reload()["replaced"] == 2
        load.more(100)
        assert [failure for failure in load.finish() if failure.phase == "connect"] == []
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}
        assert len(site.pids()) == 2


def test_nginx_reloads_under_load(tmp_path: Path, port: int) -> None:
    """Master and workers leave in order with their own graceful signal."""
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX % (tmp_path / "nginx.pid", port))
    app = cluster(tool("nginx"), "-c", str(config), port=port, kill_signal="SIGQUIT")
    with running(tmp_path, app) as site, Load(port, keep_alive=False) as load:
        load.more(100)
        assert site.reload()["replaced"] == 2
        load.more(100)
        assert load.finish() == []


def test_a_crash_leaves_the_port(tmp_path: Path, port: int, go_server: str) -> None:
    """The others answer meanwhile, and the next one gets the same socket."""
    with running(tmp_path, cluster(go_server, port=port)) as site:
        victim = site.pids()[0]
        os.kill(victim, signal.SIGKILL)
        site.run.expect(event="instance.online", count=3)
        assert int(get(port).split()[0]) in site.pids()


def test_share_none_leaves_programs_alone(tmp_path: Path, port: int, go_server: str) -> None:
    """Turned off, a program binds by itself."""
    app = cluster(go_server, port=port, share="none", instances=1)
    with running(tmp_path, app) as site:
        assert port in {each.port for each in sockets.of(site.pids()[:1]) if each.listens}
        assert "NoNewPrivs:\t0" in Path(f"/proc/{site.pids()[0]}/status").read_text()


def test_a_package_manager(tmp_path: Path, port: int) -> None:
    """What npm starts, through a shell of its own, shares by the kernel: Node's channel does not reach it."""
    tool("npm")
    (tmp_path / "server.js").write_text("""
      require('http').createServer((request, response) => response.end(`${process.pid} up`))
        .listen(+process.env.PORT);
    """)
    (tmp_path / "package.json").write_text('{"name": "web", "scripts": {"web": "true && node server.js"}}')
    app = cluster(tool("npm"), "run", "web", port=port, cwd=str(tmp_path))
    with running(tmp_path, app) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}
        answers = {get(port) for _ in range(100)}
        assert len(answers) <= 2
        assert site.reload()["replaced"] == 2
        assert not answers & {get(port) for _ in range(100)}
