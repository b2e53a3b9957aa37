"""`pidone schema` and the reference page."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from ecosystem.fixtures import ALL, ROOT, Fixture
from harness import PIDONE
from hypothesis import given, settings
from hypothesis import strategies as st

from pidone.ecosystem.formats import read
from pidone.ecosystem.keys import APP_GROUPS, APP_KEYS, NOTHING_IN_A_CONTAINER, find
from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.output.schema import json_schema
from pidone.ecosystem.output.text import toml_text
from pidone.ecosystem.values import Invalid
from pidone.errors import ConfigError

VALIDATOR = jsonschema.Draft7Validator(json_schema())
GOOD: list[dict[str, Any]] = [
    {"apps": [{"script": "a.js", "maxRestarts": "5", "env_prod": {"A": None}, "watch": False}]},
    {"apps": {"api": {"script": "a.js", "ready": {"http": "/", "interval": "1s"}}}},
    {"script": "a.js", "exec_mode": "cluster", "instances": "max", "out_file": "/dev/null", "pmx": False},
    {"apps": [{"cmd": "x", "hooks": {"pre_start": "a"}}], "runtime": {"signals": {"SIGHUP": "reload"}}},
    {"apps": [{"exec": "x"}], "smoke": ["http:3000/"], "alerts": [{"cpu": 90, "exec": "a"}]},
]
SPELLINGS: list[dict[str, Any]] = [
    {"execMode": "Cluster", "killTimeout": "5S", "max_memoryRestart": "1gb", "minUptime": "${UP:-5s}"},
    {"exec_mode": " FORK ", "instances": "4,", "killSignal": "sigterm", "autorestart": "Yes"},
    {"on_ready_timeout": "FAIL", "depends_on": {"db": "service_healthy"}, "balance": "Source"},
    {"env_file": {"A": 1}, "deepMonitoring": True, "stop_exit_codes": "0", "max_memory_restart": "80%/n"},
    {"cron_restart": 0, "listen": ["127.0.0.1:80", "[::1]:80/udp", {"port": "3000"}], "ready": "log:up"},
    {
        "limits": {"RLIMIT_NOFILE": "1024:unlimited"},
        "umask": "0o27",
        "cpu_affinity": "0-3, 5",
        "log": False,
    },
]
GOOD += [{"apps": [{"script": "a.js", **keys}]} for keys in SPELLINGS]
GOOD += [
    {
        "static": [
            {"path": "dist", "port": 8080, "spa": True, "basic_auth": {"username": "u", "password": "p"}}
        ]
    },
    {"static": {"path": ".", "maxMemoryRestart": "1G", "monitor": "x"}, "$schema": "x"},
    {"apps": [{"script": "a"}], "runtime": {"shutdownDelay": "5s", "logLevel": "INFO"}},
]
MISTAKES: list[dict[str, Any]] = [
    {"killTimeout": "5 parsecs"},
    {"maxMemoryRestart": []},
    {"nonsenseKey": 1},
    {"instances": "many"},
    {"execMode": "clutser"},
    {"kill_signal": "SIGNOPE"},
    {"max_memory_restart": "1X"},
    {"autorestart": "perhaps"},
    {"port": 99999},
    {"nice": -21},
    {"cron_restart": "tomorrow"},
    {"args": {}},
    {"env": ["A=1"]},
    {"listen": "here"},
    {"listen": [{"prot": 80}]},
    {"ready": "soon"},
    {"health": "http:nowhere"},
    {"depends_on": {"db": "perfect"}},
    {"limits": {"nofiles": 1}},
    {"umask": "999"},
    {"hooks": {"pre_start": {"timeout": 1}}},
    {"stop_exit_codes": [256]},
    {"log_retain": "for ever"},
    {"cpu_affinity": "all"},
]
BAD: list[object] = [
    *({"apps": [{"script": "a.js", **keys}]} for keys in MISTAKES),
    {"static": [{"path": "dist", "prot": 8080}]},
    {"static": [{"basic_auth": {"username": "u", "pass": "p"}}]},
    {"apps": [{"script": "a"}], "runtime": {"logLevel": "loud"}},
    {"apps": [{"script": "a"}], "smoke": ["ping"]},
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
    schema = json_schema()
    assert schema["$schema"] == jsonschema.Draft7Validator.META_SCHEMA["$schema"]
    jsonschema.Draft7Validator.check_schema(schema)


def test_it_can_be_published() -> None:
    """It has one address, which new files name, and of this draft nothing that later ones have or ignore."""
    schema = json_schema()
    assert f"#:schema {schema['$id']}" == toml_text(Tables(()), "").splitlines()[0]
    assert urlsplit(str(schema["$id"])).path.endswith("/docs/ecosystem.schema.json")
    newer = {"$defs", "prefixItems", "dependentRequired", "dependentSchemas", "unevaluatedProperties"}
    parts = list(objects(schema))
    assert not [part for part in parts if newer & part.keys()]
    references = [part for part in parts if "$ref" in part]
    assert {str(part["$ref"]) for part in references} == {"#/definitions/app", "#/definitions/site"}
    assert all(len(part) == 1 for part in references)  # what stands beside one is not looked at


def objects(schema: object) -> Iterator[Mapping[str, object]]:
    """All objects within a schema, itself too."""
    if isinstance(schema, Mapping):
        yield schema
    if isinstance(schema, Mapping | list | tuple):
        for part in schema.values() if isinstance(schema, Mapping) else schema:
            yield from objects(part)


@pytest.mark.parametrize("value", GOOD)
def test_what_is_read_fits(value: object) -> None:
    """In every shape and spelling."""
    VALIDATOR.validate(value)


@pytest.mark.parametrize("value", BAD)
def test_mistakes_do_not_fit(value: object) -> None:
    """An editor underlines them."""
    assert not VALIDATOR.is_valid(value)


WORDS = [
    *("max", "true", "OFF", "cluster", "fork_mode", "SIGTERM", "hup", "rtmin+2", "@daily", "NULL", "0-3,5"),
    *("unlimited", "1024:2048", "ipc", "none", "log:x", "http:/x", "tcp:80", "exec:a", "fd:3", "https://h/"),
    *("unix:/a", "*:80", "[::1]:80", "h:80/tcp", "Europe/Vienna", "python", "auto", "027", "all", "30d"),
    *("spread", "message"),
]
NAMES = ["http", "interval", "port", "name", "app", "condition", "username", "command", "soft", "nofile", "A"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.from_regex(r"\A[+-]?[0-9]{0,5}(\.[0-9]{1,2})?\s?(ms|[smhdwkKMGT]|[GM]i?B|%|%/n|,|/s)?\Z"),
    st.sampled_from(WORDS),
    st.just("*/5 * * * *"),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.sampled_from(NAMES),
        SCALARS,
        max_size=3,
    ),
)


EVERY_KEY = [(key, jsonschema.Draft7Validator(key.kind.schema)) for group in APP_GROUPS for key in group.keys]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(value=VALUES)
def test_what_a_kind_reads_fits_its_schema(value: object) -> None:
    """Nothing that would start is underlined; each value is tried on every key."""
    for key, validator in EVERY_KEY:
        with contextlib.suppress(Invalid):
            key.kind.parse(value)
            assert validator.is_valid(value), key.name


@pytest.mark.parametrize("value", GOOD)
def test_good_examples_are_really_read(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples above are about the readers, too."""
    assert _errors(value, tmp_path, monkeypatch) == []


@pytest.mark.parametrize("value", [value for value in BAD if isinstance(value, dict) and value])
def test_bad_examples_are_really_reported(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an editor underlines is an error, or an unknown key."""
    assert _errors(value, tmp_path, monkeypatch) != []


def _errors(value: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "e.yaml").write_text(json.dumps(value))
    monkeypatch.chdir(folder)
    how = LoadOptions(environ={"PATH": "/usr/bin:/bin"}, must_exist=False)
    try:
        found = load(Path("e.yaml"), how)
    except ConfigError as error:
        # db and other names of examples are no apps of theirs
        return [line for line in str(error).split("\n") if "there is no such app" not in line]
    return [line for line in found.warnings if "unknown key" in line or "PM2" in line]


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
    properties = json_schema()["definitions"]["app"]["properties"]  # type: ignore[index]
    for key in (key for group in APP_GROUPS for key in group.keys):
        assert key.doc in properties[key.name]["description"]


def test_the_command_prints_it() -> None:
    """On stdout, as JSON."""
    done = subprocess.run([PIDONE, "schema"], capture_output=True, check=True)
    assert json.loads(done.stdout) == json_schema()


def test_the_published_schema_is_up_to_date() -> None:
    """`pidone schema > docs/ecosystem.schema.json` makes it so; the first line of new files names it."""
    assert json.loads((ROOT / "docs/ecosystem.schema.json").read_text()) == json_schema()


def test_the_reference_page_is_up_to_date() -> None:
    """`pidone schema --markdown > docs/configuration.md` makes it so."""
    done = subprocess.run([PIDONE, "schema", "--markdown"], capture_output=True, check=True, text=True)
    assert done.stdout == (ROOT / "docs/configuration.md").read_text()
