"""Unmodified Node programs behind our primary, on every supported version of Node."""

import asyncio
import errno
import json
import signal
import socket
from pathlib import Path

import pytest
from harness import eventually, state
from listen.fleet import Fleet, app_of

HELLO = """
require('http').createServer((request, response) => response.end(String(process.pid)))
  .listen(+process.env.PORT, process.env.HOST || undefined);
"""
HELLO_ESM = """
import http from 'node:http';
import cluster from 'node:cluster';
http.createServer((request, response) => response.end(`${cluster.isWorker} ${process.pid}`))
  .listen(+process.env.PORT);
"""


def test_workers_share_a_port(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """Two unmodified workers listen on one port, both answer, and listening is their readiness."""
    script = tmp_path / "app.cjs"
    script.write_text(HELLO)
    app = app_of(node, str(script), cluster=True, env={"PORT": str(port)})
    workers = fleet.start_ready(app, 2)
    assert fleet.get_different(port, 2) == {str(worker.pid) for worker in workers}


def test_esm_workers_share_a_port(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """An ES module is a cluster worker just as well."""
    script = tmp_path / "app.mjs"
    script.write_text(HELLO_ESM)
    app = app_of(node, str(script), cluster=True, env={"PORT": str(port)})
    workers = fleet.start_ready(app, 2)
    assert fleet.get_different(port, 2) == {f"true {worker.pid}" for worker in workers}


def test_port_zero_is_one_port(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """listen(0) means the same port in every worker, and a second listen(0) means another one."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const net = require('net');
      const first = net.createServer().listen(0, () => {
        const second = net.createServer().listen(0, () => {
          process.send([first.address().port, second.address().port]);
        });
      });
    """)
    workers = fleet.start_ready(app_of(node, str(script), cluster=True), 2)
    fleet.eventually(lambda: all(worker.heard("message") for worker in workers), "the ports")
    ports = [worker.heard("message")[0] for worker in workers]
    assert ports[0] == ports[1]
    assert ports[0][0] != ports[0][1]


def test_address_in_use_reaches_the_app(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """A port that somebody else holds is an EADDRINUSE in the worker, and our log names the holder."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      require('net').createServer().on('error', (error) => process.send(error.code))
        .listen(+process.env.PORT);
    """)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        worker = fleet.start(app_of(node, str(script), cluster=True, env={"PORT": str(taken)}))
        fleet.eventually(lambda: worker.heard("message"), "the error")
    assert worker.heard("message") == ["EADDRINUSE"]
    assert "already in use by this runtime" in fleet.log.of("listen.failed")[0]


def test_two_servers_on_one_port_in_one_worker(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """A worker cannot listen twice on a port: the second server gets EADDRINUSE as without a cluster."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const net = require('net');
      net.createServer().listen(+process.env.PORT, () => {
        net.createServer().on('error', (error) => process.send(error.code)).listen(+process.env.PORT);
      });
    """)
    worker = fleet.start(app_of(node, str(script), cluster=True, env={"PORT": str(port)}))
    fleet.eventually(lambda: worker.heard("message"), "the error")
    assert worker.heard("message") == ["EADDRINUSE"]


def test_unix_udp_ipv6_and_exclusive(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """Unix paths, UDP, IPv6 and several ports are shared; exclusive ones are the worker's own business."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const net = require('net'), dgram = require('dgram');
      const port = +process.env.PORT, left = new Set(['unix', 'udp', 'v6', 'v4', 'own']);
      const done = (name) => { left.delete(name); if (!left.size) process.send('all'); };
      const echo = () => net.createServer((client) => client.end(String(process.pid)));
      echo().listen(process.env.SOCKET, () => done('unix'));
      echo().listen({ port, host: '::1' }, () => done('v6'));
      echo().listen({ port, host: '127.0.0.1' }, () => done('v4'));
      echo().listen({ port: 0, exclusive: true }, () => done('own'));
      const udp = dgram.createSocket('udp4');
      udp.on('message', (message, from) => udp.send(message + ' ' + process.pid, from.port, from.address));
      udp.bind(port, '127.0.0.1', () => done('udp'));
    """)
    path = str(tmp_path / "app.sock")
    app = app_of(node, str(script), cluster=True, env={"PORT": str(port), "SOCKET": path})
    workers = fleet.start_ready(app, 2)
    fleet.eventually(lambda: all("all" in worker.heard("message") for worker in workers), "all servers")
    pids = {str(worker.pid) for worker in workers}
    for target in (("::1", port), ("127.0.0.1", port)):
        with socket.create_connection(target, timeout=10) as client:
            assert client.recv(20).decode() in pids
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        assert client.recv(20).decode() in pids
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"hi", ("127.0.0.1", port))
        word, _, pid = client.recv(50).decode().partition(" ")
        assert (word, pid in pids) == ("hi", True)


@pytest.mark.parametrize("how", ["exclusive", "reusePort"])
def test_a_server_of_http_that_wants_its_port_alone(
    fleet: Fleet, node: str, port: int, tmp_path: Path, how: str
) -> None:
    """It is written for one process, as h3's `serve` is: all get it."""
    script = tmp_path / "app.cjs"
    script.write_text(f"""
      require('http').createServer((request, response) => response.end(String(process.pid)))
        .listen({{ port: +process.env.PORT, host: '127.0.0.1', {how}: true }});
    """)
    workers = fleet.start_ready(app_of(node, str(script), cluster=True, env={"PORT": str(port)}), 2)
    assert fleet.get_different(port, 2) == {str(worker.pid) for worker in workers}


def test_any_address_is_dual_stack(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """listen(port) takes connections of both families."""
    script = tmp_path / "app.cjs"
    script.write_text(HELLO)
    (worker,) = fleet.start_ready(app_of(node, str(script), cluster=True, env={"PORT": str(port)}))
    assert fleet.get(port, host="127.0.0.1") == fleet.get(port, host="::1") == str(worker.pid)


def test_ipv6_only_leaves_the_port_to_ipv4(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """With `ipv6Only` there is nothing on IPv4, until the worker listens there too."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const http = require('http'), port = +process.env.PORT;
      const serve = (host) => http.createServer((request, response) => {
        response.end(host);
        if (request.url === '/more') serve('0.0.0.0');
      }).listen({ port, host, ipv6Only: true });
      serve('::');
    """)
    fleet.start_ready(app_of(node, str(script), cluster=True, env={"PORT": str(port)}))
    with pytest.raises(ConnectionRefusedError):
        fleet.get(port, host="127.0.0.1")
    assert fleet.get(port, "/more", host="::1") == "::"

    def served_by() -> str | None:
        try:
            return fleet.get(port, host="127.0.0.1")
        except ConnectionRefusedError:
            return None

    assert eventually(served_by, "IPv4 to be served") == "0.0.0.0"
    assert fleet.get(port, host="::1") == "::"


def test_messages_both_ways(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """process.send reaches the supervisor, "ready" is readiness if asked for, "shutdown" reaches the app."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      process.on('message', (message) => { if (message === 'shutdown') process.exit(7); });
      require('http').createServer().listen(0, () => {
        process.send({ type: 'custom', unicode: '\\u00fc\\n' });
        process.send('ready');
      });
    """)
    from pidone.ecosystem.spec import Readiness

    worker = fleet.start(app_of(node, str(script), cluster=True, ready=Readiness(ipc=True)))
    assert fleet.ready(worker) == "ipc"
    assert worker.heard("message") == [{"type": "custom", "unicode": "\u00fc\n"}]
    assert worker.handover.send("shutdown")
    assert fleet.gone(worker) == 7


def test_a_sent_socket_is_closed(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """process.send(message, socket): we have no use for it; its server's count and close are not held up."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const net = require('net');
      const server = net.createServer((socket) => process.send('take this', socket));
      server.listen(0, () => net.connect(server.address().port).on('close', () => {
        server.getConnections((error, count) => server.close(() => process.send({ count })));
      }));
    """)
    (worker,) = fleet.start_ready(app_of(node, str(script), cluster=True))
    fleet.eventually(lambda: worker.heard("message")[1:], "the server to be closed")
    assert worker.heard("message") == ["take this", {"count": 0}]


def test_tls_workers_share_ticket_keys(fleet: Fleet, node: str, port: int, tmp_path: Path) -> None:
    """An HTTPS server starts, and all workers have the session ticket keys of the first."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const server = require('https').createServer({});
      server.listen(+process.env.PORT, () => process.send(server.getTicketKeys().toString('hex')));
    """)
    workers = fleet.start_ready(app_of(node, str(script), cluster=True, env={"PORT": str(port)}), 2)
    fleet.eventually(lambda: all(worker.heard("message") for worker in workers), "the keys")
    assert workers[0].heard("message") == workers[1].heard("message")


def test_closing_the_channel_ends_the_worker(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """No worker survives the runtime: when the channel closes it exits by itself."""
    script = tmp_path / "app.cjs"
    script.write_text("require('http').createServer().listen(0);")
    (worker,) = fleet.start_ready(app_of(node, str(script), cluster=True))
    worker.handover.close()
    assert fleet.gone(worker) == 0, worker.text()


def test_what_waits_on_a_closed_channel(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """A worker that finds a question on a channel whose other end has gone exits all the same with 0."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      require('http').createServer().listen(0, () => {
        process.nextTick(() => process.kill(process.pid, 'SIGSTOP')); // 'listening' has been told by then
      });
    """)
    (worker,) = fleet.start_ready(app_of(node, str(script), cluster=True))
    fleet.eventually(lambda: state(worker.pid) == "T", "it to stand still")
    assert worker.handover.drain()
    fleet.run(asyncio.sleep(0))  # the drain is asked for in a task
    worker.handover.close()
    worker.signal(signal.SIGCONT)
    assert fleet.gone(worker) == 0, worker.text()


def test_inherited_descriptor(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """listen({fd}) means a socket of `listen = [...]`; any other number is an error for the app."""
    from pidone.ecosystem.spec import Listen

    script = tmp_path / "app.cjs"
    script.write_text("""
      const net = require('net');
      net.createServer((client) => client.end('yes')).listen({ fd: 3 }, () => {
        net.createServer().on('error', (error) => process.send(error.code)).listen({ fd: 77 });
      });
    """)
    listen = (Listen(name="web", host="127.0.0.1", port=port),)
    (worker,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, listen=listen))
    fleet.eventually(lambda: worker.heard("message"), "the error")
    assert worker.heard("message") == ["EINVAL"]

    async def read() -> bytes:
        import asyncio

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert fleet.run(read()) == b"yes"


def test_two_apps_cannot_have_one_port(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """The second app that listens on a port gets EADDRINUSE; the first serves on."""
    script = tmp_path / "app.cjs"
    script.write_text(HELLO.replace(".listen(", ".on('error', (error) => process.send(error.code)).listen("))
    env = {"PORT": str(port)}
    (first,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env=env, name="one"))
    second = fleet.start(app_of(any_node, str(script), cluster=True, env=env, name="two"))
    fleet.eventually(lambda: second.heard("message"), "the error")
    assert second.heard("message") == [errno.errorcode[errno.EADDRINUSE]]
    assert fleet.get(port) == str(first.pid)


def test_a_server_closed_for_good_frees_its_port(
    fleet: Fleet, any_node: str, port: int, tmp_path: Path
) -> None:
    """A worker that closes its server and lives on meant it; one that closes it to stop did not."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const server = require('http').createServer().listen(+process.env.PORT);
      process.on('message', () => server.close(() => process.send('closed')));
    """)
    app = app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}, kill_timeout=0.1)
    (worker,) = fleet.start_ready(app)
    worker.handover.send("close")
    fleet.eventually(lambda: worker.heard("message"), "the server to close")
    with socket.create_connection(("127.0.0.1", port)):
        pass  # it might be about to stop: the port is kept

    def is_refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED

    fleet.eventually(is_refused, "the port to be free")


def test_a_crash_loses_only_its_own(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """With one of two workers killed nothing is refused; with none left connections wait for the next."""
    script = tmp_path / "app.cjs"
    script.write_text(HELLO)
    app = app_of(any_node, str(script), cluster=True, env={"PORT": str(port)})
    first, second = fleet.start_ready(app, 2)
    first.signal(signal.SIGKILL)
    fleet.gone(first)
    assert set(fleet.get_many(port, 50)) == {str(second.pid)}
    second.signal(signal.SIGKILL)
    fleet.gone(second)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as waiting:
        waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
        third = fleet.start(app)
        fleet.ready(third)
        assert str(third.pid).encode() in waiting.recv(1000)


def test_fork_mode_keeps_the_channel(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """A fork-mode app can say ready and hear shutdown, is no cluster worker, and exits when it is done."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      process.send({ worker: require('cluster').isWorker, id: process.env.NODE_UNIQUE_ID ?? null });
    """)
    worker = fleet.start(app_of(node, str(script)))
    assert fleet.gone(worker) == 0
    assert worker.heard("message") == [{"worker": False, "id": None}]


def test_grandchildren_are_not_affected(fleet: Fleet, node: str, tmp_path: Path) -> None:
    """What a worker starts sees the user's NODE_OPTIONS, no channel of ours, and is no worker."""
    script = tmp_path / "app.cjs"
    script.write_text("""
      const code = 'console.log(JSON.stringify([process.env.NODE_OPTIONS ?? null, process.env.NODE_UNIQUE_ID '
        + '?? null, !!process.send, Object.keys(process.env).filter((name) => '
        + 'name.startsWith("PIDONE") && name !== "PIDONE_STRICT")]))'; // set by the tests themselves
      require('child_process').execFile(process.execPath, ['-e', code], (error, stdout) => {
        process.send([JSON.parse(stdout), process.execArgv, process.env.NODE_OPTIONS]);
      });
    """)
    env = {"NODE_OPTIONS": "--max-old-space-size=64"}
    worker = fleet.start(app_of(node, str(script), cluster=True, env=env))
    fleet.eventually(lambda: worker.heard("message"), "the answer")
    assert worker.heard("message") == [
        [["--max-old-space-size=64", None, False, []], [], "--max-old-space-size=64"]
    ]


def test_nonsense_on_the_channel(fleet: Fleet, any_node: str, port: int, tmp_path: Path) -> None:
    """Broken lines, endless lines, wrong types and unknown commands are ignored, each with one notice."""
    script = tmp_path / "app.cjs"
    lines = [
        "not json",
        json.dumps({"cmd": "NODE_CLUSTER", "act": "queryServer", "seq": 1, "port": "x", "address": 7}),
        json.dumps({"cmd": "NODE_CLUSTER", "act": "queryServer", "seq": 2, "port": 70000}),
        json.dumps({"cmd": "NODE_CLUSTER", "act": "close", "key": [1]}),
        json.dumps({"cmd": "NODE_CLUSTER", "act": "dance"}),
        json.dumps({"cmd": "NODE_UNHEARD_OF"}),
        json.dumps({"cmd": "NODE_HANDLE_ACK"}),
        "[" * 100000,
    ]
    script.write_text(f"""
      const fs = require('fs');
      const lines = {json.dumps(lines)};
      lines.push('x'.repeat(3 << 20), '"still here"', '{{"half":');
      const server = require('http').createServer((request, response) => response.end('up'));
      server.listen(+process.env.PORT, () => setTimeout(() => {{
        const all = Buffer.from(lines.join('\\n'));
        let at = 0;
        (function more() {{
          while (at < all.length) {{
            try {{ at += fs.writeSync(3, all, at); }} catch {{ return setTimeout(more, 5); }}
          }}
        }})();
      }}, 50)); // by then Node has written what it has to say itself
    """)
    (worker,) = fleet.start_ready(app_of(any_node, str(script), cluster=True, env={"PORT": str(port)}))
    fleet.eventually(lambda: "still here" in worker.heard("message"), "the message behind the nonsense")
    assert fleet.get(port) == "up"
    worker.signal(signal.SIGKILL)
    fleet.gone(worker)
    reasons = "\n".join(fleet.log.of("channel.ignored"))
    for part in ("not JSON", "longer than", "in the middle", "NODE_UNHEARD_OF", "dance", "acknowledgement"):
        assert part in reasons
