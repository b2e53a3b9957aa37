"""Servers in other languages, and those that speak something else than HTTP."""

from typing import Any

from servers.install import compiled, tool
from servers.server import NEW, Server

_GO = """
package main
import ("context"; "fmt"; "net/http"; "os"; "os/signal"; "syscall")
func main() {
  server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: http.HandlerFunc(
    func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d up", os.Getpid()) })}
  stop := make(chan os.Signal, 1); signal.Notify(stop, syscall.SIGTERM); done := make(chan int)
  go func() { <-stop; server.Shutdown(context.Background()); close(done) }()
  server.ListenAndServe(); <-done
}
"""
_JAVA = """
import com.sun.net.httpserver.*; import java.net.*;
public class App { public static void main(String[] a) throws Exception {
  HttpServer s = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
  s.createContext("/", e -> { byte[] b = (ProcessHandle.current().pid() + " up").getBytes();
    e.sendResponseHeaders(200, b.length); e.getResponseBody().write(b); e.close(); });
  Runtime.getRuntime().addShutdownHook(new Thread(() -> s.stop(1)));
  s.start(); } }
"""
_HYPER = {
    "Cargo.toml": """
[package]
name = "app"
version = "0.1.0"
edition = "2021"
[dependencies]
hyper = { version = "1", features = ["http1", "server"] }
hyper-util = { version = "0.1", features = ["tokio", "server-graceful", "server", "http1"] }
http-body-util = "0.1"
tokio = { version = "1", features = ["net", "rt", "macros", "signal"] }
""",
    "src/main.rs": """
use std::convert::Infallible;
use http_body_util::Full;
use hyper::{body::Bytes, server::conn::http1, service::service_fn, Response};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::signal::unix::{signal, SignalKind};
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let mut term = signal(SignalKind::terminate()).unwrap();
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let answer = service_fn(|_| async {
                    let body = format!("{} up", std::process::id());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(graceful.watch(connection));
            }
            _ = term.recv() => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}
""",
}
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;
events {} http { access_log off; server { listen {port}; location / { return 200 "$pid up"; } } }
"""
_HAPROXY = """
global
  hard-stop-after 3s
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 1s
frontend web
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain lf-string "%pid up"
"""
_LIGHTTPD = """
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ()
index-file.names = ("index.txt")
"""
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
"""
_CADDY = """
{
  admin off
  auto_https off
  grace_period 3s
}
http://:{port} {
  respond "up"
}
"""
_PUMA = """run ->(env) { [200, { "content-type" => "text/plain" }, ["#{Process.pid} up"]] }"""
_PHP_FPM = """
[global]
error_log = /dev/stderr
daemonize = no
process_control_timeout = 3s
[www]
listen = 127.0.0.1:{port}
user = nobody
group = nogroup
pm = static
pm.max_children = 2
ping.path = /ping
catch_workers_output = yes
"""
_NEW = frozenset({NEW})


def _puma(name: str, *options: str, **more: Any) -> Server:
    return Server(
        name=name,
        need=tool("puma"),
        command=("{program}", *options, "config.ru"),
        files={"config.ru": _PUMA},
        keeps=False,  # Puma 5 may never end at SIGTERM while clients keep asking, with or without us
        codes=frozenset({0, 143}),
        loses=_NEW,
        **more,
    )


SERVERS = (
    Server(
        name="Go net/http",
        need=compiled("go", {"app.go": _GO}, "go", "build", "-o", "app", "app.go", binary="app"),
        command=("{program}",),
        loses=_NEW,  # Shutdown() drops what it accepts in that very moment
        is_quick=True,
    ),
    Server(
        name="Java HttpServer",
        need=tool("java"),
        command=("{program}", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "App.java"),
        files={"App.java": _JAVA},
        loses=_NEW,
        codes=frozenset({143}),
    ),
    Server(
        name="Rust hyper",
        need=compiled("hyper", _HYPER, "cargo", "build", "--release", binary="target/release/app"),
        command=("{program}",),
        loses=_NEW,
    ),
    Server(
        name="nginx",
        need=tool("nginx"),
        command=("{program}", "-c", "{folder}/nginx.conf"),
        files={"nginx.conf": _NGINX},
        complains=('nginx.pid" failed (2: No such file',),  # the first one to end has removed it
    ),
    Server(
        name="nginx with listen",
        need=tool("nginx"),
        command=("{program}", "-c", "{folder}/nginx.conf"),
        files={"nginx.conf": _NGINX},
        complains=('nginx.pid" failed (2: No such file',),  # the first one to end has removed it
        is_listed=True,
    ),
    Server(
        name="HAProxy",
        need=tool("haproxy"),
        command=("{program}", "-W", "-db", "-f", "{folder}/haproxy.cfg"),
        files={"haproxy.cfg": _HAPROXY},
        is_quick=True,
    ),
    Server(
        name="Caddy",
        need=tool("caddy"),
        command=("{program}", "run", "--adapter", "caddyfile", "--config", "{folder}/Caddyfile"),
        files={"Caddyfile": _CADDY},
        env={"HOME": "{folder}"},
        tells_pid=False,
        loses=_NEW,
    ),
    _puma("Puma", "-b", "tcp://127.0.0.1:{port}", is_quick=True),
    _puma("Puma, cluster", "-w", "2", "-b", "tcp://127.0.0.1:{port}"),
    _puma("Puma with listen", "-p", "{port}", is_listed=True),
    Server(
        name="php -S",
        need=tool("php"),
        command=("{program}", "-S", "127.0.0.1:{port}", "-t", "{folder}"),
        files={"index.php": "<?php header('Connection: close'); echo getmypid(), ' up';"},
        keeps=False,
        loses=_NEW,
        codes=frozenset({143}),
    ),
    Server(
        name="php-fpm",
        need=tool("php-fpm", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4"),
        command=("{program}", "-F", "-y", "{folder}/fpm.conf"),
        files={"fpm.conf": _PHP_FPM},
        speaks="fastcgi",
        tells_pid=False,
        is_quick=True,
    ),
    Server(
        name="redis",
        need=tool("redis-server"),
        command=("{program}", "--port", "{port}", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"),
        speaks="redis",
        tells_pid=False,
        is_quick=True,
    ),
    Server(
        name="lighttpd",
        need=tool("lighttpd"),
        command=("{program}", "-D", "-f", "{folder}/lighttpd.conf"),
        files={"lighttpd.conf": _LIGHTTPD, "index.txt": "up"},
        tells_pid=False,
        loses=_NEW,
    ),
    Server(
        name="memcached",
        need=tool("memcached"),
        command=("{program}", "-u", "nobody", "-l", "127.0.0.1", "-p", "{port}"),
        speaks="memcached",
        tells_pid=False,
    ),
    Server(
        name="mosquitto",
        need=tool("mosquitto"),
        command=("{program}", "-c", "{folder}/mosquitto.conf"),
        files={"mosquitto.conf": _MOSQUITTO},
        speaks="mqtt",
        tells_pid=False,
    ),
)
