"""`pidone schema` and the reference page."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ecosystem.fixtures import ALL, ROOT, Fixture
from harness import PIDONE

from runtime.ecosystem.catalogue import APP_GROUPS
from runtime.ecosystem.formats import read
from runtime.ecosystem.keys import APP_KEYS, NOTHING_IN_A_CONTAINER, find
from runtime.ecosystem.schema import json_schema

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
GOOD: list[dict[str, Any]] = [
    {"apps": [{"script": "a.js", "maxRestarts": "5", "env_prod": {"A": None}, "watch": False}]},
    {"apps": {"api": {"script": "a.js", "ready": {"http": "/", "interval": "1s"}}}},
    {"script": "a.js", "exec_mode": "cluster", "instances": "max", "out_file": "/dev/null", "pmx": False},
    {"apps": [{"cmd": "x", "hooks": {"pre_start": "a"}}], "runtime": {"signals": {"SIGHUP": "reload"}}},
    {"apps": [{"exec": "x"}], "smoke": ["http:3000/"], "alerts": [{"cpu": 90, "exec": "a"}]},
]
BAD: list[object] = [
    {"apps": [{"script": "a.js", "instnaces": 2}]},
    {"apps": [{"script": "a.js", "balance": "round"}]},
    {"apps": [{"name": "a"}]},
    {"apps": [{"script": "a.js", "ready": {"htpp": "/"}}]},
    {"apps": [{"script": "a"}], "runtime": {"loglevel": "info"}},
    {},
    "text",
]


def test_it_is_a_schema() -> None:
    """Of the draft it names."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("value", GOOD)
def test_what_is_read_fits(value: object) -> None:
    """In every shape and spelling."""
    VALIDATOR.validate(value)


@pytest.mark.parametrize("value", BAD)
def test_mistakes_do_not_fit(value: object) -> None:
    """An editor underlines them."""
    assert not VALIDATOR.is_valid(value)


@pytest.mark.parametrize("fixture", ALL, ids=str)
def test_every_fixture_fits(fixture: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its format, apart from keys that we warn of."""
    file = fixture.copied(tmp_path)
    monkeypatch.chdir(file.parent)
    document = read(Path(file.name), env=fixture.environ, argv=[], cpus=4)
    apps = [{name: app[name] for name in app if _is_known(name)} for app in document.apps]
    VALIDATOR.validate({"apps": apps, **document.top})


def _is_known(name: str) -> bool:
    return name.startswith("env_") or name in NOTHING_IN_A_CONTAINER or bool(find(name, APP_KEYS))


def test_every_key_has_its_default_and_meaning() -> None:
    """What an editor shows beside a key."""
    properties = json_schema()["$defs"]["app"]["properties"]  # type: ignore[index]
    for key in (key for group in APP_GROUPS for key in group.keys):
        assert key.doc in properties[key.name]["description"]


def test_the_command_prints_it() -> None:
    """On stdout, as JSON."""
    done = subprocess.run([PIDONE, "schema"], capture_output=True, check=True)
    assert json.loads(done.stdout) == json_schema()


def test_the_reference_page_is_up_to_date() -> None:
    """`pidone schema --markdown > docs/configuration.md` makes it so."""
    done = subprocess.run([PIDONE, "schema", "--markdown"], capture_output=True, check=True, text=True)
    assert done.stdout == (ROOT / "docs/configuration.md").read_text()
