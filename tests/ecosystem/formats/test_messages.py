"""Errors name the place, quote the text, say the remedy, and never print a secret."""

# ruff: noqa: E501 the cases are other people's files, one to a line

import pytest
from ecosystem.formats.support import Reader

from pidone.ecosystem.formats.secrets import quote, redact
from pidone.errors import ConfigError


def refusal(read_files: Reader, files: dict[str, str], **options: object) -> str:
    """The message with which files are refused."""
    with pytest.raises(ConfigError) as raised:
        read_files(files, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "e.config.js",
            "\n\nthrow new TypeError('no port')",
            "e.config.js:3:11: TypeError: no port, at \"throw new TypeError('no port')\"",
        ),
        (
            "e.config.js",
            "module.exports = {\n  apps: [{ script: 'a' 'b' }]\n}",
            "e.config.js:2:24: SyntaxError: Unexpected string, at \"apps: [{ script: 'a' 'b' }]\"",
        ),
        (
            "e.config.js",
            "exports.apps = [{ cwd: path.join('a') }]",
            "e.config.js:1:24: ReferenceError: path is not defined, at \"exports.apps = [{ cwd: path.join('a') }]\"; add: const path = require('path')",
        ),
        ("e.config.js", "throw 'text'", "e.config.js: throws 'text' (not an Error)"),
        (
            "e.config.mjs",
            "\nimport x from './nope.mjs'",
            "e.config.mjs:2: Error: Cannot find module './nope.mjs'; the file is not there (names are relative to the file that requires them)",
        ),
        (
            "e.config.mjs",
            "import { joint } from 'path'",
            "e.config.mjs:1: SyntaxError: The requested module 'path' does not provide an export named 'joint'",
        ),
        ("pm2.json", '{\n "apps": [}\n}', "pm2.json:2:11: SyntaxError: unexpected token in expression: '}', at \"\"apps\": [}\""),
        ("e.config.js", "exports.apps = [\n{ script: 'a' }\n\n", "e.config.js:2: SyntaxError: the file ends before everything is closed"),
        ("pm2.json", '{"apps": [\n', "pm2.json:1: SyntaxError: the file ends before everything is closed"),
        ("e.toml", "[[apps]]\nscript = x\n", 'e.toml:2:10: is not TOML: Invalid value; text needs quotes, at "script = x"'),
        ("e.toml", "a = [1,\n", 'e.toml:1: is not TOML: Invalid value, and the file ends, at "a = [1,"'),
        ("pm2.yml", "apps: 'a\n", "pm2.yml:1:7: a quote that is never closed, at \"apps: 'a\""),
        ("pm2.json", "\n", "pm2.json: is empty; an ecosystem is an object with apps: [{script: 'server.js'}]"),
    ],
)  # fmt: skip
def test_names_place_text_and_remedy(name: str, text: str, message: str, read_files: Reader) -> None:
    """One line: file, line, column, what is wrong, the quoted line."""
    found = refusal(read_files, {name: text})
    assert found.startswith(message)


def test_error_in_another_file_names_that_file(read_files: Reader) -> None:
    """A required file that throws is named with its own line."""
    files = {"e.config.js": "\nrequire('./lib/x')", "lib/x.js": "\n\n\nnull.y"}
    assert refusal(read_files, files).startswith("lib/x.js:4:1: TypeError: cannot read property 'y' of null")


def test_missing_package_is_named(read_files: Reader, without_node: dict[str, str]) -> None:
    """Without Node, a third-party package is refused by name."""
    message = refusal(read_files, {"e.config.js": "require('@acme/settings')"}, env=without_node)
    assert message.startswith("e.config.js:1:1: Error: Cannot find module '@acme/settings', at ")
    assert "requires the package '@acme/settings', and there is no Node here that has it" in message


def test_failing_package_is_named(read_files: Reader, without_node: dict[str, str]) -> None:
    """A package that the engine cannot run is shown with its own error."""
    files = {
        "e.config.js": "require('net-tool')",
        "node_modules/net-tool/index.js": "require('net').connect(1)",
    }
    message = refusal(read_files, files, env=without_node)
    assert message.startswith("node_modules/net-tool/index.js:1:16: Error: net.connect() is refused")
    assert "requires the package 'net-tool', and there is no Node here" in message


@pytest.mark.parametrize(
    "code", ["throw new Error(process.env.DB_PASSWORD)", "console.log(process.env.DB_PASSWORD)"]
)
def test_values_of_variables_are_not_printed(code: str, read_files: Reader) -> None:
    """Neither an error nor a notice shows the value of a variable."""
    files = {"e.config.js": f"{code}; throw new Error('then ' + process.env.API_URL)"}
    env = {"DB_PASSWORD": "hunter2", "API_URL": "https://u:pw@example.org"}
    message = refusal(read_files, files, env=env)
    assert "***" in message
    assert "hunter2" not in message
    assert "pw@" not in message


def test_values_of_dotenv_files_are_not_printed(read_files: Reader) -> None:
    """What dotenv loaded is as secret as the environment, also in notices."""
    document = read_files(
        {
            "e.config.js": "require('dotenv').config(); console.log('key', process.env.KEY); exports.script = 'a'",
            ".env": "KEY=/not/a/path",
        }
    )
    assert document.notices == ("e.config.js: it prints: key ***",)


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("  DB_PASSWORD: hunter2", "DB_PASSWORD: ***"),
        ('script: "a.js" env: { DB_PASSWORD: "hun,ter2", PORT: 3000 }', 'script: "a.js" env: { DB_PASSWORD: ***, PORT: *** }'),
        ("db_password = 'it''", "db_password = ***'"),
        ("ApiKey: `hunter2", "ApiKey: ***"),
        ("script: server.js", "script: server.js"),
        ("url: postgres://user:hunter2@host/db", "url: postgres://***@host/db"),
        ("MIIEpAIBAAKCAQEA1234567890abcdefghijklmnopqrstuv", "***"),
        ("a\x1b[31mb", "a\ufffd[31mb"),
        ("x" * 5 + " " + "y " * 100, "x" * 5 + " " + "y " * 37 + "..."),
    ],
)  # fmt: skip
def test_quoted_lines_hide_values(line: str, quoted: str) -> None:
    """A quoted source line keeps its keys and loses the values of variables."""
    assert quote(line, 1) == quoted


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("login failed: password=hunter2, user=u", "login failed: password=*** user=u"),
        ('bad {"apiKey": "hunter 2"}', 'bad {"apiKey": ***}'),
        ("postgres://u:hunter2@db/x", "postgres://***@db/x"),
        ("Unexpected token: x", "Unexpected token: x"),
        ("the secret file is missing", "the secret file is missing"),
    ],
)
def test_messages_that_name_a_secret_lose_it(said: str, told: str) -> None:
    """A literal in the file is no variable's value, and still nobody's business."""
    assert redact(said, ()) == told


def test_notices_tell_what_has_no_meaning(read_files: Reader) -> None:
    """Values that JSON cannot say are left out, and named."""
    document = read_files(
        {
            "e.config.js": "module.exports = { apps: [{ script: 'a', error: () => 1, instances: Number(undefined),"
            " max_restarts: Infinity, x: Symbol('x') }] }"
        }
    )
    assert document.apps == ({"script": "a", "instances": None, "max_restarts": None},)
    assert [notice.removeprefix("e.config.js: ") for notice in document.notices] == [
        "apps[0].error is a function, which has no meaning here; ignored",
        "apps[0].instances is NaN, which is not a number; taken as not set",
        "apps[0].max_restarts is Infinity, which is not a number; taken as not set",
        "apps[0].x is a symbol, which has no meaning here; ignored",
    ]


def test_printing_without_end_is_cut(read_files: Reader) -> None:
    """A configuration that prints a lot gives one note of a bounded length."""
    document = read_files(
        {"e.config.js": "for (let i = 0; i < 1e4; i++) console.log('x'.repeat(1e4)); exports.script = 'a'"}
    )
    assert len(document.notices) == 1
    assert all(len(notice) < 600 for notice in document.notices)


def test_long_concatenations_pass_the_border_of_the_engine(read_files: Reader) -> None:
    """The engine's trees of strings ("ropes") reach us as texts: values, prints, arguments and errors."""
    build = "let s = ''; for (let i = 0; i < 1e5; i++) s += 'ab' + i; console.log(s); require('fs').existsSync(s);"
    document = read_files({"e.config.js": build + "exports.script = s"})
    assert len(str(document.apps[0]["script"])) == 688890
    assert document.notices[0].startswith("e.config.js: it prints: ab0ab1")
    for thrown in ("s", "new Error(s)"):
        message = refusal(read_files, {"e.config.js": f"{build} throw {thrown}"})
        assert "ab0ab1" in message
        assert len(message) < 1000
