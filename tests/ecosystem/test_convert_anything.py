"""Whatever a usable file says, converting it changes nothing of what it means."""

from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import options
from ecosystem.test_anything import _LANGUAGE
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import read
from pidone.ecosystem.keys import APP_KEYS, RUNTIME_KEYS
from pidone.ecosystem.load import resolve
from pidone.ecosystem.output.convert import OutputFile, convert
from pidone.ecosystem.output.text import json_text, toml_text
from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError

_SCALAR = st.one_of(
    st.sampled_from(_LANGUAGE),
    st.booleans(),
    st.integers(0, 100_000),
    st.floats(0, 100),
    st.none(),
    st.text(),
)
_VALUE = st.one_of(_SCALAR, st.lists(_SCALAR, max_size=2), st.dictionaries(st.text(max_size=3), _SCALAR))
_KEYS = st.sampled_from([*APP_KEYS, "env_production", "killTimeout", "vizion", "nobody_knows"])


def usable(keys: dict[str, Any], language: str) -> dict[str, Any]:
    """Those keys that are accepted."""
    found = {}
    for name, value in keys.items():
        try:
            resolve(document({"script": "x", name: value}, {}, language), options())
        except ConfigError:
            continue
        found[name] = value
    return found


def document(app: dict[str, Any], runtime: dict[str, Any], language: str) -> Document:
    """One app."""
    top = {"runtime": runtime} if runtime else {}
    return Document(apps=({"name": "app", **app},), top=top, source=Path("/e"), language=language)


def meaning(ecosystem: Ecosystem) -> Ecosystem:
    """All of it that has an effect."""
    return ecosystem.but(source=None, origins=(), listens_at={}, missing_rights=(), warnings=(), notices=())


@settings(max_examples=30, deadline=None)
@example(
    app={"restart_delay": "5s", "exp_backoff_restart_delay": "5s"},
    delay=None,
    language="json",
    env_name=None,
    suffix=".toml",
)
@given(
    app=st.dictionaries(_KEYS, _VALUE, max_size=8),
    delay=st.one_of(st.none(), st.integers(0, 10**6), st.sampled_from(["5s", "1h30m", "${A:-3s}"])),
    language=st.sampled_from(["json", "yaml", "javascript"]),
    env_name=st.sampled_from([None, "production"]),
    suffix=st.sampled_from([".toml", ".json"]),
)
def test_converting_changes_no_meaning(
    tmp_path_factory: pytest.TempPathFactory,
    app: dict[str, Any],
    delay: object,
    language: str,
    env_name: str | None,
    suffix: str,
) -> None:
    """Every value that is accepted, in any combination that is."""
    app = {"script": "x", **usable(app, language)}
    runtime = {"start_delay": delay} if delay is not None and "start_delay" in RUNTIME_KEYS else {}
    original = document(app, runtime, language)
    asked = options(env_name=env_name)
    try:
        before = resolve(original, asked)
    except ConfigError:
        assume(False)
        raise
    assume(not any("is not a name for commands" in line for line in before.warnings))  # refused by TOML
    target = OutputFile(Path("/"), has_references=suffix == ".toml")
    converted = convert(original, options(), target).tables
    text = toml_text(converted, "x") if target.has_references else json_text(converted)
    file = tmp_path_factory.mktemp("new") / f"e{suffix}"
    file.write_text(text)
    # The folder of the file is /, wherever this test could write it.
    after = resolve(read(file, env={}, argv=(), cpus=1).but(source=Path(f"/e{suffix}")), asked)
    assert meaning(after) == meaning(before)
