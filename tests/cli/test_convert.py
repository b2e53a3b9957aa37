"""`pidone convert`."""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from ecosystem.fixtures import ALL, Fixture
from harness import PIDONE
from hypothesis import given
from hypothesis import strategies as st

from pidone.cli.click_app import run as run_command
from pidone.cli.prepare.convert import converted
from pidone.ecosystem.load import load, read_document, resolve
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.references import escape, expand
from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError


def run(words: list[str]) -> int:
    """`pidone convert`, in this process."""
    return run_command(["convert", *words])


RICH = r"""
process.env.LOADED = "by ${dotenv}";
delete process.env.DROPPED;
module.exports = {
  apps: [{
    script: "app.js", killTimeout: 5000, max_memory_restart: 1073741824, args: "--a 'b c' ${x}", pmx: false,
    nope: 1, env: { A: "${HOME}", B: { c: null }, C: 1.50, D: null, E: true, "F G": "${1} $${H}" },
    env_production: "A=1", listen: [3000, { port: 80, name: "web" }], instances: 0, watch: [], cron: 0,
    ready: { http: "/", interval: 500, timeout: null }, hooks: { pre_start: "x ${Y}" }, wait_ready: "false",
    filter_env: ["SECRET"], uid: "root", error_file: false, log_max_size: 0, time: true, umask: "027",
    depends_on: { other: "started" }, multiline: true,
  }, { name: "other", cmd: "/bin/true", cwd: "sub/dir", output: "NULL", stop_exit_codes: 3 }],
  runtime: { shutdownDelay: "5s", signals: { hup: "reload" }, hooks: { pre_start: ["a", "b ${C}"] } },
  smoke: ["http:3000/${x}", { tcp: 80, timeout: 1000 }],
  deploy: { production: { user: "me", env: { FROM: "deploy" }, ref: null } },
  name: "beside",
};
"""
REFERENCES = r"""
apps:
  - script: ${HERE}/run.sh
    kill_timeout: ${WAIT:-3s}
    instances: 2,
    env: {A: "${HERE}", B: "$${HERE}", C: "${NOT_THERE-x}", D: no}
runtime: {start_delay: "${WAIT:-3s}"}
"""


def meaning(ecosystem: Ecosystem) -> Ecosystem:
    """All of it that has an effect."""
    return ecosystem.but(source=None, origins=(), listens_at={}, missing_rights=(), warnings=(), notices=())


def check_round_trip(file: Path, environ: dict[str, str], out: Path) -> str:
    """Convert, read again, compare under every `--env`; the new text."""
    options = LoadOptions(environ=environ, cwd=Path.cwd(), cpus=4, must_exist=False)
    document = read_document(file, options)
    try:
        resolve(document, options)
    except ConfigError:
        assert not document.apps
        return ""
    out.parent.mkdir(parents=True, exist_ok=True)
    text = converted(file, out, options)
    out.write_text(text)
    sets = {name.removeprefix("env_") for app in document.apps for name in app if name.startswith("env_")}
    for env_name in (None, "production", *sets):
        asked = options.but(env_name=env_name)
        before = resolve(document, asked)
        after = load(out, asked)
        assert meaning(after) == meaning(before)
    return text


@pytest.mark.parametrize("out", ["new.toml", "../elsewhere/new.json"])
@pytest.mark.parametrize("fixture", ALL, ids=str)
def test_every_fixture_means_the_same(
    fixture: Fixture, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted and read again: the same ecosystem, wherever the new file stands."""
    file = fixture.copied(tmp_path)
    monkeypatch.chdir(file.parent)
    check_round_trip(Path(file.name), fixture.environ, Path(out))


@pytest.mark.parametrize("out", ["new.toml", "new.json", "../elsewhere/new.toml", "../elsewhere/new.json"])
@pytest.mark.parametrize(("name", "text"), [("rich.config.js", RICH), ("references.yml", REFERENCES)])
def test_every_kind_of_value_means_the_same(
    name: str, text: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units, tables, references and texts that only look like them."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    check_round_trip(Path(name), {"HOME": "/h", "HERE": "/here", "DROPPED": "1"}, Path(out))


@pytest.mark.parametrize("name", ["@acme/api", "web:0", 7, "all"])
def test_a_name_that_pm2_takes_is_taken_afterwards(
    name: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that means something else to commands."""
    (tmp_path / "e.json").write_text(json.dumps({"apps": [{"name": name, "cmd": "true"}]}))
    monkeypatch.chdir(tmp_path)
    check_round_trip(Path("e.json"), dict(os.environ), tmp_path / "e.toml")


def test_the_result_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Canonical keys, units, comments; what means nothing is named once."""
    (tmp_path / "e.config.js").write_text(RICH)
    monkeypatch.chdir(tmp_path)
    options = LoadOptions(environ={"DROPPED": "1"}, cwd=tmp_path, must_exist=False)
    text = converted(Path("e.config.js"), None, options)
    (first, second) = tomllib.loads(text)["apps"]
    assert (first["kill_timeout"], first["max_memory_restart"], first["instances"]) == ("5s", "1G", "max")
    assert first["args"] == ["--a", "b c", "$${x}"]
    assert first["env"]["LOADED"] == "by $${dotenv}"
    assert first["unset_env"] == ["DROPPED"]
    assert second["cwd"] == "sub/dir"
    assert 'kill_timeout = "5s"  # How long it may take to stop before SIGKILL' in text
    assert "# Left out, because they mean nothing: pmx, nope" in text
    assert text.partition("\n")[2].startswith("# Converted from e.config.js")


def test_references_stay_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From YAML to TOML; JSON has none and gets the values."""
    (tmp_path / "e.yml").write_text(REFERENCES)
    monkeypatch.chdir(tmp_path)
    options = LoadOptions(environ={"HERE": "/here"}, cwd=tmp_path, must_exist=False)
    (app,) = tomllib.loads(converted(Path("e.yml"), None, options))["apps"]
    assert (app["script"], app["kill_timeout"]) == ("${HERE}/run.sh", "${WAIT:-3s}")
    (app,) = json.loads(converted(Path("e.yml"), Path("e.json"), options))["apps"]
    assert (app["script"], app["kill_timeout"], app["env"]["B"]) == ("/here/run.sh", "3s", "${HERE}")


@given(st.text(alphabet="${}AB:-?x ", max_size=20))
def test_escaped_text_is_text(text: str) -> None:
    """Whatever looks like a reference."""
    assert expand(escape(text), {"A": "no"}, set()) == text


def test_the_command_writes_or_prints(tmp_path: Path) -> None:
    """-o decides the format; without it TOML goes to stdout, or JSON."""
    (tmp_path / "e.json").write_text('{"script": "/bin/true"}')

    def convert(*words: str) -> tuple[int, str, str]:
        command = [PIDONE, "convert", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, out, _ = convert("e.json")
    assert (code, tomllib.loads(out)) == (0, {"apps": [{"script": "/bin/true"}]})
    assert json.loads(convert("e.json", "--json")[1]) == {"apps": [{"script": "/bin/true"}]}
    assert convert("e.json", "-o", "new.json")[:2] == (0, "")
    assert json.loads((tmp_path / "new.json").read_text()) == {"apps": [{"script": "/bin/true"}]}
    assert convert("e.json", "-o", "new.ini")[0] == 64
    (tmp_path / "bad.json").write_text('{"script": "/bin/true", "kill_timeout": "soon"}')
    code, _, err = convert("bad.json", "-o", "new.json")
    assert code == 78
    assert err.startswith("error: bad.json:1: ")


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason."""
    (tmp_path / "e.json").write_text('{"script": "/bin/true"}')
    assert run([str(tmp_path / "e.json"), "-o", str(tmp_path / "nowhere" / "x.toml")]) != os.EX_OK
    assert "No such file" in capsys.readouterr().err
