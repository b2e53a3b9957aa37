"""Well-known Node servers are acquitted."""

from pathlib import Path

import npm
import pytest
from harness import free_port
from prove.proving import MANNERS, RELOAD, failures, prove

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
        tmp_path,
        'script = "app.js"\nexec_mode = "cluster"\ninstances = 2\nkill_timeout = "5s"\n',
        *(MANNERS if package == "express" else RELOAD),
    )
    assert failures(report) == {}
    assert code == 0
