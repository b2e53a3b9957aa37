"""JavaScript configurations: Node's value without Node, and the same value as a Node that is there."""

# ruff: noqa: E501 the cases are other people's files, one to a line

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ecosystem.formats.support import ENV, Reader, everything

from pidone.ecosystem.formats.shapes import shape

APP = "{ script: 'a.js' }"
ONE: dict[str, Any] = {"apps": [{"script": "a.js"}]}
Files = dict[str, str]

# What plain CommonJS and ES modules give in Node as well. `<here>` is the folder of the files.
SAME_AS_NODE: dict[str, tuple[Files, Any]] = {
    "comments and trailing commas": (
        {"e.config.js": "// c\nmodule.exports = { /* x */ apps: [{ script: 'a.js', }, ], }; // end"},
        ONE,
    ),
    "no newline after a last comment": ({"e.config.js": f"exports.apps = [{APP}] // end"}, ONE),
    "crlf": ({"e.config.js": "module.exports = {\r\n  apps: [{ script: 'a.js' }]\r\n}\r\n"}, ONE),
    "hashbang": ({"e.config.js": f"#!/usr/bin/env node\nmodule.exports = {{ apps: [{APP}] }}"}, ONE),
    "undefined vanishes": (
        {"e.config.js": "module.exports = { apps: [{ script: 'a.js', x: undefined, y: [undefined] }] }"},
        {"apps": [{"script": "a.js", "y": [None]}]},
    ),
    "dates and boxed values": (
        {"e.config.js": "module.exports = { apps: [{ d: new Date(0), n: new Number(3), s: new String('s') }] }"},
        {"apps": [{"d": "1970-01-01T00:00:00.000Z", "n": 3, "s": "s"}]},
    ),
    "numbers": (
        {"e.config.js": "module.exports = { apps: [{ n: [1.0, 1e3, 0x10, -0, 1e21, 12345678901234567890, 0.1] }] }"},
        {"apps": [{"n": [1, 1000, 16, 0, 1e21, 12345678901234567000, 0.1]}]},
    ),
    "path": (
        {
            "e.config.js": """const p = require('path'); module.exports = { apps: [{ v: [
            p.join('a', '..', 'b', './c/'), p.resolve('/x', 'y', '../z'), p.resolve('q'), p.basename('/a/b.js', '.js'),
            p.extname('x.tar.gz'), p.extname('.env'), p.dirname('/a/b/'), p.dirname('a'), p.relative('/a/b/c', '/a/d'),
            p.isAbsolute('a'), p.normalize('/a/./b//c/..'), p.parse('/home/u/f.txt'), p.format({ dir: '/d', name: 'n',
            ext: '.e' }), p.sep, p.posix.join('a', 'b'), p.join(''), p.join('..', 'x'), p.basename('/'), p.extname('a.'),
            p.resolve('/'), p.normalize('./a'), p.normalize(''), p.join('/a', '/../../b'), p.extname('..')] }] }"""
        },
        {
            "apps": [
                {
                    "v": [
                        *("b/c/", "/x/z", "<here>/q", "b", ".gz", "", "/a", ".", "../../d", False, "/a/b"),
                        {"root": "/", "dir": "/home/u", "base": "f.txt", "ext": ".txt", "name": "f"},
                        *("/d/n.e", "/", "a/b", ".", "../x", "", ".", "/", "a", ".", "/b", ""),
                    ]
                }
            ]
        },
    ),
    "fs": (
        {
            "e.config.js": """const fs = require('node:fs');
            const names = fs.readdirSync('./apps').filter((n) => fs.statSync(`./apps/${n}`).isDirectory());
            let missing; try { fs.readFileSync('nope'); } catch (e) { missing = [e.code, e.message]; }
            module.exports = { apps: names.map((name) => ({ name, script: JSON.parse(fs.readFileSync(
              `${__dirname}/apps/${name}/p.json`)).main })), missing, x: fs.existsSync('x'), e: fs.existsSync(__filename),
              t: fs.readFileSync('apps/t', 'utf8').trim().toUpperCase(), b: fs.readFileSync('apps/t').toString('hex') }""",
            "apps/one/p.json": '{"main": "1.js"}',
            "apps/two/p.json": '{"main": "2.js"}',
            "apps/t": "hé\n",
        },
        {
            "apps": [{"name": "one", "script": "1.js"}, {"name": "two", "script": "2.js"}],
            "missing": ["ENOENT", "ENOENT: no such file or directory, open 'nope'"],
            "x": False, "e": True, "t": "HÉ", "b": "68c3a90a",
        },
    ),
    "hand-written .env reader": (
        {
            "e.config.js": r"""const env = {}; for (const line of require('fs').readFileSync('.env', 'utf-8').split('\n')) {
            const m = line.match(/^\s*([\w.-]+)\s*=\s*(.*)?\s*$/); if (m) env[m[1]] = (m[2] || '').replace(/^['"]|['"]$/g, '') }
            module.exports = { apps: [{ script: 'a.js', env }] }""",
            ".env": "PORT=1\n# c\nNAME='x y'\n",
        },
        {"apps": [{"script": "a.js", "env": {"PORT": "1", "NAME": "x y"}}]},
    ),
    "local modules, folders, json and cycles": (
        {
            "e.config.js": """const a = require('./lib'); const b = require('./lib/b.json'); const { c } = require('./pkg');
            module.exports = { apps: [{ script: a.name, b, c, same: require('./lib') === a, self: typeof require.resolve }] }""",
            "lib/index.js": "exports.early = 1; const two = require('./two'); exports.name = two.name + two.saw;",
            "lib/two.js": "const one = require('./index'); module.exports = { name: 'n', saw: one.early };",
            "lib/b.json": '{"k": [1]}',
            "pkg/package.json": '{"main": "src/m"}',
            "pkg/src/m.js": "module.exports = { c: __dirname.split('/').pop() }",
        },
        {"apps": [{"script": "n1", "b": {"k": [1]}, "c": "src", "same": True, "self": "function"}]},
    ),
    "whole environment": (
        {"e.config.js": "module.exports = { apps: [{ script: 'a.js', env: process.env, m: { ...process.env, X: 1 } }] }"},
        {"apps": [{"script": "a.js", "env": ENV, "m": {**ENV, "X": 1}}]},
    ),
    "process.env makes texts": (
        {"e.config.js": "process.env.N = 5; process.env.U = undefined; delete process.env.A;"
         "module.exports = { apps: [{ n: process.env.N, u: process.env.U, a: 'A' in process.env, z: process.env.Z ?? 'd' }] }"},
        {"apps": [{"n": "5", "u": "undefined", "a": False, "z": "d"}]},
    ),
    "sloppy mode": (
        {"e.config.js": "leaked = 010; with ({ y: 2 }) { leaked += y } module.exports = { apps: [{ n: leaked, t: typeof this }] }"},
        {"apps": [{"n": 10, "t": "object"}]},
    ),
    "builders, loops, getters, classes, regex, templates": (
        {
            "e.config.js": r"""class App { constructor(n) { this.name = n } get x() { return 1 } static of(n) { return new App(n) } }
            const apps = []; for (const [i, n] of ['a', 'b'].entries()) apps.push({ ...App.of(`${n}-${i}`), script: `${'x'.repeat(i + 1)}.js` });
            const o = { get lazy() { return /a+(\/)b/.exec('aa/b')[1] } };
            module.exports = { apps: apps.concat([Object.assign({}, o, { ratio: 10 / 4 / 5, big: 1_000 })]) }"""
        },
        {"apps": [{"name": "a-0", "script": "x.js"}, {"name": "b-1", "script": "xx.js"}, {"lazy": "/", "ratio": 0.5, "big": 1000}]},
    ),
    "array with its own includes, as PM2 users write": (
        {"e.config.js": "module.exports = { apps: [{ stop_exit_codes: (() => { const a = [0]; a.includes = (x) => x < 2; return a })() }] }"},
        {"apps": [{"stop_exit_codes": [0]}]},
    ),
    "toJSON": (
        {"e.config.js": "module.exports = { apps: [{ v: { toJSON: (k) => `made for ${k}` } }] }"},
        {"apps": [{"v": "made for v"}]},
    ),
    "the words import and export in texts": (
        {"e.config.js": "// import x from 'y'\nconst s = `export default ${'import'}`; module.exports = { apps: [{ s, r: /import a/.source, o: { import: 1 } }] }"},
        {"apps": [{"s": "export default import", "r": "import a", "o": {"import": 1}}]},
    ),
    "named export": ({"e.config.mjs": f"export const apps = [{APP}];"}, ONE),
    "exports in all ways": (
        {
            "e.config.mjs": """import { a as first, default as d, list } from './lib.mjs'; import * as all from './lib.mjs';
            import cjs, { named } from './c.cjs'; export * from './more.mjs'; export { x as y } from './more.mjs';
            export const { p, q: [r = 5, ...rest] } = { p: 1, q: [undefined, 3, 4] }, last = 2
            export let apps = [{ first, d, list, all: Object.keys(all).sort(), cjs, named }];
            export function helper() {} ; helper.toJSON = () => 'fn'; export class K { static toJSON() { return 'cls' } }
            apps[0].th = typeof this;""",
            "lib.mjs": "export const a = 'A'; export default 'D'; const l = [1]; export { l as list }; export { l as 'odd name' };",
            "more.mjs": "export const x = 1; export default 2;",
            "c.cjs": "exports.named = 'n'; exports.other = 1;",
        },
        {
            "apps": [
                {"first": "A", "d": "D", "list": [1], "all": ["a", "default", "list", "odd name"],
                 "cjs": {"named": "n", "other": 1}, "named": "n", "th": "undefined"}
            ],
            "K": "cls", "helper": "fn", "last": 2, "p": 1, "r": 5, "rest": [3, 4], "x": 1, "y": 1,
        },
    ),
    "import.meta, top-level await, dynamic import": (
        {
            "e.config.mjs": """import path, { join } from 'node:path'; import { fileURLToPath, pathToFileURL } from 'url'; import { createRequire } from 'module';
            const __filename = fileURLToPath(import.meta.url); const __dirname = path.dirname(__filename);
            const require = createRequire(import.meta.url);
            const { v } = await import('./' + 'v.mjs'); const u = new URL('./x/y z.js', import.meta.url);
            export const apps = [{ d: __dirname === process.cwd(), j: join('a', 'b'), v, k: require('./k.json').k, u: fileURLToPath(u),
              h: pathToFileURL('/a b').href, b: path.basename(import.meta.url) }]""",
            "v.mjs": "await null; export const v = 7;",
            "k.json": '{"k": 8}',
        },
        {"apps": [{"d": True, "j": "a/b", "v": 7, "k": 8, "u": "<here>/x/y z.js", "h": "file:///a%20b", "b": "e.config.mjs"}]},
    ),
    "urls": (
        {
            "e.config.js": """const u = new URL('postgres://u:p@db.example:5433/x?a=1&b=2#f');
            module.exports = { apps: [{ h: u.hostname, p: u.port, n: u.pathname, q: u.searchParams.get('b'), href: u.href, s: u.search,
              o: new URL('/b?c', 'https://e.example:443/a').href, bad: (() => { try { new URL('x') } catch (e) { return e.code } })() }] }"""
        },
        {"apps": [{"h": "db.example", "p": "5433", "n": "/x", "q": "2", "href": "postgres://u:p@db.example:5433/x?a=1&b=2#f",
                   "s": "?a=1&b=2", "o": "https://e.example/b?c", "bad": "ERR_INVALID_URL"}]},
    ),
}  # fmt: skip

OURS: dict[str, tuple[Files, Any]] = {
    "default export": ({"e.config.mjs": f"export default {{ apps: [{APP}] }}"}, ONE),
    "default export of an array": ({"e.config.mjs": f"export default [{APP}]"}, ONE),
    "default export of an async arrow": ({"e.config.mjs": f"export default async () => ({{ apps: [{APP}] }})"}, ONE),
    "default export of a named function": (
        {"e.config.mjs": f"export default function make() {{ return {{ apps: [{APP}] }} }}\nmake.x = 1;"},
        ONE,
    ),
    "default as": ({"e.config.mjs": f"const c = {{ apps: [{APP}] }};\nexport {{ c as default }}"}, ONE),
    "compiled default": ({"e.config.js": f"exports.__esModule = true; exports.default = {{ apps: [{APP}] }}"}, ONE),
    "module syntax in a plain .js": ({"e.config.js": f"import os from 'os'\nexport default {{ apps: [{APP}] }}"}, ONE),
    "module.exports in a .mjs": ({"e.config.mjs": f"module.exports = {{ apps: [{APP}] }}"}, ONE),
    "module.exports under type module": (
        {
            "e.config.js": f"const path = require('path'); module.exports = {{ apps: [{APP}] }}",
            "package.json": '{"type": "module"}',
        },
        ONE,
    ),
    "type module further up": (
        {"sub/e.config.js": f"exports.apps = [{APP}]", "package.json": '{"type": "module"}'},
        ONE,
    ),
    "a function that returns a promise": (
        {"e.config.js": f"module.exports = () => new Promise((r) => setTimeout(() => r([{APP}]), 60000))"},
        ONE,
    ),
    "a promise": ({"e.config.js": f"module.exports = Promise.resolve({{ apps: Promise.resolve([{APP}]) }})"}, ONE),
    "cpus of the container": (
        {
            "e.config.js": "const os = require('os'); module.exports = { apps: [{ n: os.cpus().length,"
            " p: os.availableParallelism(), l: os.platform(), h: os.homedir(), e: os.EOL }] }"
        },
        {"apps": [{"n": 4, "p": 4, "l": "linux", "h": "/home/app", "e": "\n"}]},
    ),
    "process.argv and execPath": (
        {"e.config.js": "module.exports = { apps: [{ a: process.argv, x: process.execPath }] }"},
        {
            "apps": [
                {
                    "a": ["/usr/local/bin/node", "/usr/local/bin/pm2-runtime", "start", "e.config.js"],
                    "x": "/usr/local/bin/node",
                }
            ]
        },
    ),
    "unused child_process": (
        {
            "e.config.js": "const { execSync } = require('child_process'); let v; try { v = execSync('id') }"
            f" catch {{ v = 'unknown' }} module.exports = {{ apps: [{APP}], v }}"
        },
        {**ONE, "v": "unknown"},
    ),
    "map and set": (
        {"e.config.js": "module.exports = { apps: [{ m: new Map([['k', 1]]), s: new Set([1, 2]), b: 10n }] }"},
        {"apps": [{"m": {"k": 1}, "s": [1, 2], "b": 10}]},
    ),
    "polluted prototypes": (
        {
            "e.config.js": "Object.prototype.toJSON = () => 1; Array.prototype.toJSON = () => 2; Object.prototype.evil = 3;"
            f" JSON.stringify = () => '4'; Array.isArray = () => false; module.exports = {{ apps: [{APP}] }}"
        },
        ONE,
    ),
    "a package that lies beside the file": (
        {
            "e.config.js": "module.exports = { apps: [{ script: require('tiny') + require('@s/p/sub') }] }",
            "node_modules/tiny/package.json": '{"main": "m.js"}',
            "node_modules/tiny/m.js": "module.exports = 'a.'",
            "node_modules/@s/p/package.json": '{"exports": {"./sub": {"import": "./no.mjs", "require": "./s.js"}}}',
            "node_modules/@s/p/s.js": "module.exports = 'js'",
        },
        ONE,
    ),
    "dotenv": (
        {
            "e.config.js": "require('dotenv/config'); const d = require('dotenv'); const more = d.config({ path: ['nope', '.b'],"
            " override: true }); module.exports = { apps: [{ x: process.env.X, a: process.env.A, m: process.env.M, e: more.error.code,"
            " p: d.parse('K = v # c\\nL: \"a # b\"\\nexport Q=`q`\\nE=') }] }",
            ".env": 'X=1\nA=not-this\nM="one\\ntwo"\n',
            ".b": "A=this\n",
        },
        {"apps": [{"x": "1", "a": "this", "m": "one\ntwo", "e": "ENOENT", "p": {"K": "v", "L": "a # b", "Q": "q", "E": ""}}]},
    ),
}  # fmt: skip


def placed(value: Any, folder: Path) -> Any:
    """`<here>` replaced by the folder."""
    return json.loads(json.dumps(value).replace("<here>", str(folder)))


@pytest.mark.parametrize("case", [*SAME_AS_NODE, *OURS])
def test_evaluates(case: str, read_files: Reader, tmp_path: Path, without_node: dict[str, str]) -> None:
    """A configuration gives its value without any Node."""
    files, expected = (SAME_AS_NODE | OURS)[case]
    needs_no_node = {} if "whole environment" in case else without_node
    document = read_files(files, env=needs_no_node)
    wanted = shape(placed(expected, tmp_path), "x", lambda _: None)
    assert everything(document) == {"apps": list(wanted.apps), **wanted.top}


_ASK_NODE = """const load = async () => { const file = process.argv[1]; process.argv = [];
  return file.endsWith('.mjs') ? { ...(await import(file)) } : require(file) };
load().then((v) => { require('fs').writeSync(1, JSON.stringify(v)) })"""


@pytest.mark.skipif(shutil.which("node", path=ENV["PATH"]) is None, reason="no node to compare with")
@pytest.mark.parametrize("case", SAME_AS_NODE)
def test_expected_value_is_nodes(case: str, tmp_path: Path) -> None:
    """The expected values are what a real Node gives."""
    files, expected = SAME_AS_NODE[case]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content.encode())
    command = ["node", "-e", _ASK_NODE, str(tmp_path / next(iter(files)))]
    result = subprocess.run(command, env=ENV, cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(result.stdout) == placed(expected, tmp_path)


def test_a_package_is_loaded_by_node_if_there_is_one(read_files: Reader) -> None:
    """A third-party package makes a real Node evaluate the file, and what the package prints stays out of it."""
    if shutil.which("node", path=ENV["PATH"]) is None:
        pytest.skip("no node")
    document = read_files(
        {
            "e.config.js": "const v = require('native-like'); require('dotenv2');"
            " process.env.SET = 'x'; module.exports = async () => ({ apps: [{ script: v, cpus: require('os').cpus().length }] })",
            "node_modules/native-like/index.js": "console.log('noise'); module.exports = process.version ? 'a.js' : 0;"
            " require('v8').serialize({});",
            "node_modules/dotenv2/index.js": "process.stdout.write('{\"apps\": 1}')",
        }
    )
    assert everything(document) == {"apps": [{"script": "a.js", "cpus": 4}]}
    assert document.env == {"SET": "x"}
    assert any("noise" in notice for notice in document.notices)


def test_the_command_line_is_seen(read_files: Reader) -> None:
    """A configuration that looks for `--env` in process.argv finds it, as under pm2-runtime."""
    text = "const i = process.argv.indexOf('--env'); exports.script = process.argv[i + 1] + process.argv[3]"
    document = read_files({"e.config.js": text}, argv=["start", "e.config.js", "--env", "staging"])
    assert document.apps == ({"script": "staginge.config.js"},)
