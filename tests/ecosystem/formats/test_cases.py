"""The hard cases from the wild give what Node made of them, apart from the differences we want."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import npm
import pytest
from ecosystem.formats.support import ENV, Reader, everything

from pidone.ecosystem.formats import read
from pidone.ecosystem.formats.shapes import shape
from pidone.errors import ConfigError

CASES = Path(__file__).parent / "cases"
ROWS = [json.loads(line) for line in (CASES / "expected_node.jsonl").read_text().splitlines()]

INTENDED: dict[str, Any] = {
    "19_esm_default": {"apps": [{"name": "e", "script": "e.mjs", "cwd": "/stage/19_esm_default"}]},
    "21_type_module_cjs_body": {"apps": [{"name": "m", "script": "m.js"}]},
    "32_async_function": {"apps": [{"name": "never", "script": "n.js"}]},
}
"""Where we are kinder than Node and PM2."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["d"])
def test_gives_nodes_value(row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gives the value that Node (or js-yaml) made of it in the same surroundings."""
    folder = tmp_path / row["d"]
    shutil.copytree(CASES / row["d"], folder)
    monkeypatch.chdir(folder)
    expected = INTENDED.get(row["d"], row.get("v"))
    located = json.loads(json.dumps(expected).replace(f"/stage/{row['d']}", str(folder)))
    wanted = shape(located, row["f"], lambda _: None)

    document = read(Path(row["f"]), env=ENV, argv=[], cpus=4)

    assert everything(document) == {"apps": list(wanted.apps), **wanted.top}


def test_console_output_is_a_notice_and_not_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a configuration prints is told as a notice."""
    monkeypatch.chdir(CASES / "34_console_noise")
    document = read(Path("ecosystem.config.js"), env=ENV, argv=[], cpus=4)
    assert document.notices == ("ecosystem.config.js: it prints: loading { a: 1 } (and more lines)",)


def test_what_a_configuration_is_to_itself(read_files: Reader) -> None:
    """Required by somebody, in the main thread, without a terminal."""
    text = """const cluster = require('cluster'), threads = require('worker_threads');
    module.exports = {apps: [{script: 'a.js', env: {main: require.main === module, m: cluster.isPrimary,
      w: cluster.isWorker, t: threads.isMainThread, tty: String(process.stdout.isTTY)}}]}"""
    (app,) = read_files({"ecosystem.config.js": text}, env={"PATH": ""}).apps
    assert app["env"] == {"main": False, "m": True, "w": False, "t": True, "tty": "undefined"}


VERSION = "module.exports = {apps: [{script: 'a.js', args: [process.version, process.versions.node]}]}"


def test_which_node_it_is_says_the_image(read_files: Reader, only: Callable[[str], str]) -> None:
    """A guess of ours is told as one; where there is a Node it knows."""
    files = {"ecosystem.config.js": VERSION}
    (app,) = read_files(files, env={"PATH": only("node@18")}).apps
    args = app["args"]
    assert isinstance(args, list)
    assert args[0].startswith("v18.")
    assert args[0] == f"v{args[1]}"
    (notice,) = read_files(files, env={"PATH": ""}).notices
    assert "uses process.version, which may come out differently without a Node" in notice


INTERFACES = """const os = require('os'); const {networkInterfaces} = os;
const seen = [networkInterfaces(), os.networkInterfaces()].map((all) => JSON.stringify(all.lo));
module.exports = {apps: [{script: 'a.js', args: [...seen%s]}]}
"""


@pytest.mark.parametrize("beside", ["", ", typeof new TextEncoder()"])
def test_the_addresses_that_node_shows(beside: str, read_files: Reader, only: Callable[[str], str]) -> None:
    """As Node writes them, of this system; also where Node evaluates the file, in a network of its own."""
    path = only("node@22")
    asked = [f"{path}/node", "-p", "JSON.stringify(os.networkInterfaces().lo)"]
    expected = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    text = INTERFACES % beside
    (app,) = read_files({"ecosystem.config.js": text}, env={"PATH": path if beside else ""}).apps
    args = app["args"]
    assert isinstance(args, list)
    assert args[:2] == [expected, expected]


TYPESCRIPT = """import { name } from './shared.ts'
interface App { name: string; script: string }
const apps: App[] = [{ name, script: 'a.js' as string }]
export default { apps } satisfies { apps: App[] }
"""


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A folder for PATH in which nothing is but one program, as `node@22.6`."""

    def folder(package: str) -> str:
        name = package.partition("@")[0]
        modules = npm.modules(package.replace("@", "-"), package)
        binaries = {"node": "node/bin/node", "bun": "bun/bin/bun.exe", "deno": "deno/deno"}
        place = tmp_path_factory.mktemp("only")
        (place / name).symlink_to(modules / binaries[name])
        subprocess.run([place / name, "--version"], check=True, capture_output=True)
        return str(place)

    return folder


EVALUATORS = ("node@22", "node@22.6.0", "bun", "deno", "deno@2.4.4")


@pytest.mark.parametrize("package", EVALUATORS)
def test_typescript_is_read(package: str, read_files: Reader, only: Callable[[str], str]) -> None:
    """By whatever the image has for it; an import of another such file too."""
    env = {"PATH": only(package)}
    files = {"ecosystem.config.ts": TYPESCRIPT, "shared.ts": "export const name: string = 'from-types'"}
    assert read_files(files, env=env).apps == ({"name": "from-types", "script": "a.js"},)


ONE_APP = "type App = { script: string };\nconst apps: App[] = [{ script: 'a.js' as string }];\n"


@pytest.mark.parametrize("exported", ["export default { apps };", "module.exports = { apps };"])
@pytest.mark.parametrize("package", ["node@22", "deno"])
def test_typescript_of_one_kind_of_module(
    exported: str, package: str, read_files: Reader, only: Callable[[str], str]
) -> None:
    """The suffix says which, as that of `.mjs` and `.cjs`."""
    name = "e.config.mts" if exported.startswith("export") else "e.config.cts"
    found = read_files({name: ONE_APP + exported}, env={"PATH": only(package)})
    assert found.apps == ({"script": "a.js"},)


@pytest.mark.parametrize("package", ["node@18", *EVALUATORS[2:]])
def test_what_the_engine_lacks(package: str, read_files: Reader, only: Callable[[str], str]) -> None:
    """Node has it, or what has Node's built-ins as well."""
    text = """const { parseArgs } = require('util');
    const { values } = parseArgs({args: ['--x=1'], options: {x: {type: 'string'}}});
    const name = new Intl.NumberFormat('de-DE').format(1234567);
    module.exports = {apps: [{name, script: 'a.js', env: {...values, h: require('crypto')
      .createHmac('sha256', 'k').update('v').digest('hex').slice(0, 4)}}]}"""
    found = read_files({"ecosystem.config.js": text}, env={"PATH": only(package)})
    assert found.apps == ({"name": "1.234.567", "script": "a.js", "env": {"x": "1", "h": "c5d4"}},)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("require('util').parseArgs({})", "util.parseArgs"),
        ("new Intl.DateTimeFormat()", "Intl"),
        ("process.loadEnvFile('.env')", "process.loadEnvFile"),
        ("require('crypto').createHmac('sha256', 'k')", "crypto.createHmac"),
        ("new TextEncoder().encode('x')", "TextEncoder"),
        ("require('path').win32.join('a')", "path.win32"),
        ("require('fs').openSync('x')", "fs.openSync"),
        ("require('fs').opendirSync('x')", "fs.opendirSync"),
        ("require('zlib').gzipSync('x')", "zlib"),
        ("require('util').styleText('red', 'x')", "util.styleText"),
        ("new Worker('x')", "Worker"),
        ("new AbortController()", "AbortController"),
        ("require('dns').lookup('x')", "dns"),
        ("require('fs').globSync('*')", "fs.globSync"),
        ("process.getBuiltinModule('fs')", "process.getBuiltinModule"),
        ("require('readline').createInterface({})", "readline"),
        ("Buffer.alloc(3).writeUInt8(3)", "Buffer"),
        ("require('vm').runInNewContext('1')", "vm"),
        ("require('net').isIP('1.2.3.4').x.y", "net.isIP"),
        ("require('http').STATUS_CODES[200]", "http.STATUS_CODES"),
    ],
)
def test_without_node_the_built_in_is_named(
    text: str, named: str, read_files: Reader, without_node: dict[str, str]
) -> None:
    """Which one it is that only Node has."""
    with pytest.raises(ConfigError, match=re.escape(named)):
        read_files({"ecosystem.config.js": f"{text};\nmodule.exports = {{apps: []}}"}, env=without_node)


def test_typescript_by_a_package_of_the_project(read_files: Reader, tmp_path: Path) -> None:
    """Where Node itself cannot."""
    modules = npm.modules("sucrase-3", "sucrase@3")
    (tmp_path / "node_modules").symlink_to(modules)
    files = {"ecosystem.config.ts": TYPESCRIPT, "shared.ts": "export const name: string = 'from-types'"}
    assert read_files(files).apps == ({"name": "from-types", "script": "a.js"},)


def test_typescript_with_an_error(read_files: Reader, only: Callable[[str], str]) -> None:
    """It is not that nothing could read it."""
    with pytest.raises(ConfigError, match=r"ecosystem.config.ts is wrong as TypeScript: \w+") as raised:
        read_files({"ecosystem.config.ts": TYPESCRIPT + "const a = {b: ["}, env={"PATH": only("node@22")})
    assert "takes its types away" not in str(raised.value)


def test_typescript_without_anything_for_it(read_files: Reader, without_node: dict[str, str]) -> None:
    """It is said what would do."""
    with pytest.raises(ConfigError, match="nothing here takes its types away"):
        read_files({"ecosystem.config.ts": TYPESCRIPT}, env=without_node)


def test_variables_that_dotenv_loads_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file puts into process.env is for the apps as well, as under PM2."""
    shutil.copytree(CASES / "09_dotenv_destructure", tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    document = read(Path("ecosystem.config.js"), env=ENV, argv=[], cpus=4)
    assert document.env == {"DEPLOY_USER": "dep", "DEPLOY_HOST": "203.0.113.9", "DEPLOY_PATH": "/srv/a b"}
