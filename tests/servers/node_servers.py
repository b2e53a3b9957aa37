"""Servers of Node, Bun and Deno."""

from servers.install import built, node
from servers.server import NEW, Server

_PLAIN = node(
    "servers-plain",
    *(
        "express@5",
        "fastify@5",
        "koa@3",
        "@nestjs/core@11",
        "@nestjs/common@11",
        "@nestjs/platform-express@11",
    ),
    *("reflect-metadata", "rxjs", "serve@14", "socket.io@4", "@hapi/hapi@21"),
)
_HAS_HANDLER = "\nprocess.on('SIGTERM', () => server.close());\n"

_EXPRESS = """
const app = require('express')();
app.get('/', (request, response) => response.send(`${process.pid} up`));
const server = app.listen(+process.env.PORT);
"""
_FASTIFY = """
const app = require('fastify')();
app.get('/', async () => `${process.pid} up`);
app.listen({ port: +process.env.PORT, host: '127.0.0.1' });
process.on('SIGTERM', () => app.close());
"""
_KOA = """
const app = new (require('koa'))();
app.use((context) => { context.body = `${process.pid} up`; });
const server = app.listen(+process.env.PORT);
"""
_HAPI = """
const server = require('@hapi/hapi').server({ port: +process.env.PORT });
server.route({ method: 'GET', path: '/', handler: () => `${process.pid} up` });
server.start();
process.on('SIGTERM', () => server.stop({ timeout: 3000 }));
"""
_NEST = """
require('reflect-metadata');
const { Controller, Get, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
class Root { index() { return `${process.pid} up`; } }
Controller()(Root);
Get()(Root.prototype, 'index', Object.getOwnPropertyDescriptor(Root.prototype, 'index'));
class App {}
Module({ controllers: [Root] })(App);
(async () => {
  const app = await NestFactory.create(App);
  app.enableShutdownHooks();
  await app.listen(+process.env.PORT);
})();
"""
_SOCKETIO = """
const server = require('http').createServer((request, response) => response.end(`${process.pid} up`));
const io = new (require('socket.io').Server)(server);
server.listen(+process.env.PORT);
process.on('SIGTERM', () => io.close());
"""
_NEXT = {
    "next.config.js": "module.exports = { output: 'standalone', outputFileTracingRoot: __dirname };",
    "app/layout.js": "export default ({ children }) => <html><body>{children}</body></html>;",
    "app/page.js": "export default () => <p>page</p>;",
    "app/who/route.js": """
export const dynamic = 'force-dynamic';
export function GET() { return new Response(`${process.pid} up`); }
""",
}
_SVELTE = {
    "package.json": '{"name": "app", "type": "module", "private": true}',
    "svelte.config.js": """
import adapter from '@sveltejs/adapter-node';
export default { kit: { adapter: adapter() } };
""",
    "vite.config.js": """
import { sveltekit } from '@sveltejs/kit/vite';
export default { plugins: [sveltekit()] };
""",
    "src/app.html": "<!doctype html><head>%sveltekit.head%</head><body>%sveltekit.body%</body>",
    "src/routes/+server.js": "export function GET() { return new Response(`${process.pid} up`); }",
}
_ROUTER = {
    "package.json": """
{"name": "app", "type": "module", "private": true,
 "dependencies": {"@react-router/node": "7", "@react-router/serve": "7", "react-router": "7", "isbot": "5"}}
""",
    "vite.config.js": """
import { reactRouter } from '@react-router/dev/vite';
export default { plugins: [reactRouter()] };
""",
    "app/root.jsx": """
import { Outlet } from 'react-router';
export default function Root() { return <html><body><Outlet /></body></html>; }
""",
    "app/routes.js": "import { index } from '@react-router/dev/routes'; export default [index('who.js')];",
    "app/who.js": "export function loader() { return new Response(`${process.pid} up`); }",
}


_NEW = frozenset({NEW})


def _script(name: str, code: str, *, code_at_stop: int = 0, is_quick: bool = False) -> Server:
    return Server(
        name=name,
        need=_PLAIN,
        command=("{node}", "app.cjs"),
        files={"app.cjs": code},
        codes=frozenset({code_at_stop}),
        is_quick=is_quick,
    )


SERVERS = (
    _script("express", _EXPRESS + _HAS_HANDLER, is_quick=True),
    _script("express without a handler", _EXPRESS),
    _script("fastify", _FASTIFY, is_quick=True),
    _script("koa", _KOA + _HAS_HANDLER),
    _script("hapi", _HAPI),
    _script("NestJS", _NEST, code_at_stop=143),  # it sends itself the signal again
    _script("socket.io", _SOCKETIO),
    Server(
        name="serve",
        need=_PLAIN,
        command=("{node}", "{modules}/serve/build/main.js", "-l", "{port}", "-L", "--no-port-switching"),
        files={"index.html": "hello"},
        tells_pid=False,
        is_quick=True,
    ),
    Server(
        name="Next.js standalone",
        need=built(
            "servers-next",
            ("next@15", "react@19", "react-dom@19"),
            _NEXT,
            ("{node}", "{modules}/next/dist/bin/next", "build"),
        ),
        command=("{node}", "{built}/.next/standalone/server.js"),
        env={"NODE_PATH": "", "HOSTNAME": "127.0.0.1", "ASK": "/who"},
        ready_by="log",  # it listens before it can answer
    ),
    Server(
        name="SvelteKit",
        need=built(
            "servers-svelte",
            (
                "@sveltejs/kit@2",
                "@sveltejs/adapter-node@5",
                "svelte@5",
                "vite@6",
                "@sveltejs/vite-plugin-svelte@5",
            ),
            _SVELTE,
            ("{node}", "{modules}/vite/bin/vite.js", "build"),
        ),
        command=("{node}", "{built}/build/index.js"),
        env={"SHUTDOWN_TIMEOUT": "2"},
    ),
    Server(
        name="react-router-serve",
        need=built(
            "servers-router",
            (
                *(
                    "@react-router/serve@7.18.4",
                    "@react-router/node@7.18.4",
                    "@react-router/dev@7.18.4",
                    "react-router@7.18.4",
                ),
                *("react@19", "react-dom@19", "vite@7", "isbot@5"),
            ),
            _ROUTER,
            ("{node}", "{modules}/@react-router/dev/bin.js", "build"),
        ),
        command=("{node}", "{modules}/@react-router/serve/bin.js", "{built}/build/server/index.js"),
        env={"NODE_ENV": "production"},
    ),
    Server(
        name="Node-RED",
        need=node("servers-red", "node-red@4"),
        command=("{node}", "{modules}/node-red/red.js", "-p", "{port}", "-u", "{folder}/data-{port}"),
        tells_pid=False,
    ),
    Server(
        name="Bun.serve",
        need=node("servers-bun", "bun"),
        command=("{modules}/bun/bin/bun.exe", "app.ts"),
        files={
            "app.ts": """
const server = Bun.serve({ port: +process.env.PORT!, fetch: () => new Response(`${process.pid} up`) });
process.on('SIGTERM', async () => { await server.stop(); process.exit(0); });
"""
        },
        loses=_NEW,
    ),
    Server(
        name="Elysia",
        need=node("servers-elysia", "bun", "elysia"),
        command=("{modules}/bun/bin/bun.exe", "app.ts"),
        files={
            "app.ts": """
const { Elysia } = require(process.env.NODE_PATH + '/elysia');
const app = new Elysia().get('/', () => `${process.pid} up`).listen(+process.env.PORT!);
process.on('SIGTERM', async () => { await app.stop(); process.exit(0); });
"""
        },
        loses=_NEW,
    ),
    Server(
        name="Deno.serve",
        need=node("servers-deno", "deno"),
        command=("{modules}/.bin/deno", "run", "-A", "app.ts"),
        files={
            "app.ts": """
const server = Deno.serve({ port: +Deno.env.get('PORT')! }, () => new Response(`${Deno.pid} up`));
Deno.addSignalListener('SIGTERM', async () => { await server.shutdown(); Deno.exit(0); });
"""
        },
        loses=_NEW,
    ),
)
