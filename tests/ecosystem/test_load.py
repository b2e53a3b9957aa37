"""From files to ecosystems."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ecosystem.documents import ENVIRON, options

from pidone.ecosystem.load import load
from pidone.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    """A file."""
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.toml", '[[apps]]\nname = "a"\nscript = "/bin/true"\ninstances = 2\nenv = { PORT = 3000 }\n'),
        ("e.json", '{"apps": [{"name": "a", "script": "/bin/true", "instances": 2, "env": {"PORT": 3000}}]}'),
        ("e.yml", "apps:\n  - name: a\n    script: /bin/true\n    instances: '2,'\n    env: {PORT: 3000}\n"),
        (
            "e.config.js",
            "module.exports = [{name: 'a', script: '/bin/true', instances: 2, env: {PORT: 3000}}]",
        ),
    ],
)
def test_every_format_means_the_same(tmp_path: Path, name: str, text: str) -> None:
    """One app in four languages."""
    write(tmp_path, name, text)
    ecosystem = load(Path(name), options(cwd=tmp_path))
    (app,) = ecosystem.apps
    assert (app.name, app.argv, app.instances, dict(app.env)) == ("a", ("/bin/true",), 2, {"PORT": "3000"})
    assert ecosystem.warnings == ecosystem.notices == ()


def test_errors_name_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file as the user named it, and where the value stands."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "e.toml", '[[apps]]\nname = "api"\nscript = "/bin/true"\n\ninstances = "many"\n')
    with pytest.raises(ConfigError) as caught:
        load(Path("e.toml"), options(cwd=tmp_path))
    assert str(caught.value) == 'e.toml:5: app "api": instances = "many": expected a number or "max"'


def test_relative_paths_start_at_the_file_in_toml_and_at_the_runtime_elsewhere(tmp_path: Path) -> None:
    """TOML is ours and means its own folder; PM2's formats mean what they mean to PM2."""
    (tmp_path / "sub").mkdir()
    write(tmp_path, "sub/e.toml", '[[apps]]\nscript = "./x.py"\ncwd = "web"\n')
    write(tmp_path, "sub/e.json", '{"apps": [{"script": "./x.py", "cwd": "web"}]}')
    assert load(Path("sub/e.toml"), options(cwd=tmp_path)).apps[0].cwd == str(tmp_path / "sub/web")
    assert load(Path("sub/e.json"), options(cwd=tmp_path)).apps[0].cwd == str(tmp_path / "web")


def test_an_ecosystem_can_be_handed_to_another_process(tmp_path: Path) -> None:
    """It is read in a child of the runtime."""
    path = write(
        tmp_path, "e.toml", '[[apps]]\nscript = "/bin/true"\nlimits = { nofile = 1 }\nhealth = "tcp:1"\n'
    )
    ecosystem = load(path, options())
    assert pickle.loads(pickle.dumps(ecosystem)) == ecosystem


def test_reading_imports_nothing_heavy(tmp_path: Path) -> None:
    """The start waits for it."""
    path = write(tmp_path, "e.toml", '[[apps]]\nscript = "/bin/true"\n')
    code = f"""
import sys, pathlib
from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
load(pathlib.Path({str(path)!r}), LoadOptions())
heavy = "click rich pydantic psutil asyncio yaml subprocess shutil difflib logging".split()
print(sorted(set(heavy) & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.skipif(not shutil.which("sh"), reason="needs sh")
def test_the_surroundings_decide_what_is_not_written(tmp_path: Path) -> None:
    """Without a cwd of its own an app starts in the runtime's."""
    path = write(tmp_path, "e.json", '[{"script": "sh"}]')
    app = load(path, options(cwd=Path("/usr"), must_exist=True, environ=ENVIRON)).apps[0]
    assert app.cwd == "/usr"
    assert app.name == "sh"
