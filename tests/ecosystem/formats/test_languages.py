"""Which files are ecosystems, in which language, and what their lines are."""

# ruff: noqa: E501 the cases are other people's files, one to a line

import os
import sys
from pathlib import Path

import pytest
from ecosystem.formats.support import ENV, Reader

from pidone.ecosystem.formats import is_ecosystem_file, languages, read
from pidone.ecosystem.formats.source import Source


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        *(
            (name, "", True)
            for name in ("-", "e.toml", "pm2.json", "x.json5", "a.yml", "a.yaml", "package.json")
        ),
        *((name, "", True) for name in ("e.config.js", "e.config.cjs", "e.config.mjs", "e.config.js.bak")),
        *((name, "exports.apps = [{ script: 'x' }]", False) for name in ("app.py", "app.ts", "run", "toml")),
        ("app.js", "require('http').createServer().listen(1)", False),
        ("app.js", "module.exports = { apps: [{ script: 'x' }] }", True),
        ("app.cjs", "module.exports = {\n // c\n 'apps': [{ script: 'x' }] }", True),
        ("app.js", "const apps = [{ script: 'x' }]; module.exports = { apps }", True),
        ("app.mjs", "export const apps = [{ script: 'x' }]", True),
        ("app.mjs", "export default { apps: [{ script: 'x' }] }", True),
        ("app.js", "exports.apps = [{ script: 'x' }]; http.createServer().listen(80)", False),
        ("app.js", "module.exports = { apps: [{ script: 'x' }] }; require('pm2').start()", False),
        ("app.js", "const s = 'module.exports = { apps: [{ script: 1 }] }'", False),
        ("app.js", "module.exports = { scripts: [{ script: 'x' }] }", False),
        ("app.js", "module.exports = express(); // apps: script:", False),
        ("ecosystem.js", "module.exports = make({ script: 'x' })", True),
        ("pm2.prod.cjs", "module.exports = [{ script: 'x' }]", True),
        ("pm2.js", "require('pm2').connect(() => {}); module.exports = { script: 'x' }", False),
        ("my-pm2-tool.js", "module.exports = [{ script: 'x' }]", False),
        ("ecosystem.js", "console.log('a program')", False),
        ("app.js", "exports.apps = [{ script: 'x' }] //" + "x" * 70_000, False),
    ],
)
def test_is_ecosystem_file(
    name: str, text: str, expected: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pidone app.js` runs a program unless the file plainly is a configuration."""
    monkeypatch.chdir(tmp_path)
    if text:
        Path(name).write_text(text)
    assert is_ecosystem_file(Path(name)) is expected


@pytest.mark.parametrize("name", ["missing.js", "folder.js"])
def test_what_cannot_be_read_is_no_ecosystem_file(name: str, tmp_path: Path) -> None:
    """The question never fails."""
    (tmp_path / "folder.js").mkdir()
    assert is_ecosystem_file(tmp_path / name) is False


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('{"apps": []}', languages.JSON),
        ("[{}]", languages.JSON),
        ("[{ script: 'a' }]", languages.JSON),
        ("// c\n{ apps: [] }", languages.JSON),
        ("// c\nmodule.exports = { apps: [] }", languages.JAVASCRIPT),
        ("'use strict'\nmodule.exports = {}", languages.JAVASCRIPT),
        ("export default { apps: [] }", languages.JAVASCRIPT),
        ("import a from 'a'\nexport const apps = a", languages.JAVASCRIPT),
        ("# c\n[[apps]]\nscript = 'a'", languages.TOML),
        ("[runtime]\nx = 1", languages.TOML),
        ('script = "a"', languages.TOML),
        ("apps:\n  - script: a", languages.YAML),
        ("- script: a", languages.YAML),
        ("---\napps: []", languages.YAML),
    ],
)
def test_language_of_standard_input(text: str, language: str) -> None:
    """Without a name the text tells its language."""
    assert languages.of(Source(path=None, text=text)) == language


@pytest.mark.parametrize(
    "text", ['{"script": "a"}', "exports.script = 'a'", "script: a", 'script = "a"', "{script: 'a'}"]
)
def test_reads_standard_input(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every language can come from standard input."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    with os.fdopen(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        document = read(None, env=ENV, argv=[], cpus=1)
    assert document.apps == ({"script": "a"},)
    assert (document.source, document.name) == (None, "<stdin>")


TEXT_AND_LINES = {
    "pm2.json": '{\n  "apps": [\n    {"script": "a",\n     "env": {"A": 1,\n "B": 2}},\n    {"script": "b"}\n  ],\n  "deploy": {}\n}',
    "e.config.js": "const x = { apps: 1 };\nmodule.exports = { apps: [\n  { script: 'a', // {\n    env: { A: `}\n`,\n      B }\n  }, { script: f({ script:\n 1 }) },\n ], deploy: {} }; var B = 1; function f() { return 'b' }",
    "e.toml": '# c\n[deploy]\nx = """\n[[apps]]\n"""\n[[apps]]\nscript = "a"\n[apps.env]\nA = 1\nB = [\n 2 ]\n\n[[apps]]\nscript = "b"\n',
    "e.config.mjs": "export const apps = [\n { script: 'a', env: {\n A: 1, B: 2 } },\n { script: 'b' }]\nexport const deploy = {}",
}  # fmt: skip
PATHS = [(0, "script"), (0, "env", "A"), (0, "env", "B"), (1, "script"), (0, "env", "nope"), ("deploy",), ()]
LINES = {
    "pm2.json": [3, 4, 5, 6, 4, 8, None],
    "e.config.js": [3, 4, 6, 7, 4, 9, None],
    "e.toml": [7, 9, 10, 14, 8, 2, None],
    "e.config.mjs": [2, 3, 3, 4, 2, None, None],
}


@pytest.mark.parametrize("name", TEXT_AND_LINES)
def test_line_of_keys(name: str, read_files: Reader) -> None:
    """A document tells on which line a key stands, or the closest thing around it."""
    document = read_files({name: TEXT_AND_LINES[name]})
    assert [document.line_of(path) for path in PATHS] == LINES[name]


def test_lines_of_computed_apps_are_not_guessed(read_files: Reader) -> None:
    """Where entries are made by code, no line is better than a wrong one."""
    document = read_files(
        {
            "e.config.js": "module.exports = {\n apps: [\n {n: 1},\n {n: 2}].map((x) => ({ script: `${x.n}` })) }"
        }
    )
    assert document.line_of((1, "script")) == 2


def test_mapped_apps_have_lines(read_files: Reader) -> None:
    """Lines follow the shape of the file."""
    document = read_files({"e.toml": '[apps.web]\nscript = "a"\n[apps.job]\nscript = "b"\n'})
    assert [app["name"] for app in document.apps] == ["web", "job"]
    assert document.line_of((1, "script")) == 4
    assert document.strict


def test_dates_in_toml_are_texts(read_files: Reader) -> None:
    """TOML's dates become texts, its numbers stay as they are."""
    document = read_files(
        {"e.toml": "script = 'a'\nd = 2024-01-02\nt = 07:32:00\nf = 1.0\ni = 0o22\nn = nan\n"}
    )
    assert document.apps == (
        {"script": "a", "d": "2024-01-02", "t": "07:32:00", "f": 1.0, "i": 18, "n": None},
    )
    assert document.notices == ("e.toml: n is nan, which is not a number; taken as not set",)


def test_relative_paths_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`__dirname` is the real folder, as in Node, also when the file is a link (a Kubernetes ConfigMap)."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "e.config.js").write_text("exports.script = __dirname")
    (tmp_path / "e.config.js").symlink_to("..data/e.config.js")
    monkeypatch.chdir("/")
    document = read(Path(os.path.relpath(tmp_path / "e.config.js", "/")), env=ENV, argv=[], cpus=1)
    assert document.apps == ({"script": str(tmp_path / "..data")},)
