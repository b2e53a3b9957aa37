"""Whatever a file says, the answer is an Ecosystem or a ConfigError."""

from pathlib import Path
from typing import Any

from ecosystem.documents import options
from hypothesis import given, settings
from hypothesis import strategies as st

from pidone.ecosystem.document import Document
from pidone.ecosystem.keys import APP_KEYS, RUNTIME_KEYS, TOP_LEVEL
from pidone.ecosystem.load import resolve
from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError

_LANGUAGE = (
    "max", "5s", "1h30m", "80%/n", "80%", "1.5G", "true", "0", "-1", "4,", "", "unix:/x", "[::]:80",
    "3000/udp", "http:/x", "log:(", "fd:3",
    "exec:a b", "npm start", "${A}", "${A:-b}", "$${A}", "${A:?no}", "a b", "~/x",
    "SIGTERM", "1:2", "unlimited", "0-3", "* * * * *", "node@16", "none",
    "\x00", "\ud800", "../../x", "/",
)  # fmt: skip
_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(_LANGUAGE),
)
_SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.integers(-10, 300), _TEXT)
_NAMES = st.one_of(
    _TEXT,
    st.sampled_from(
        [*APP_KEYS, "env_production", "maxRestarts", "interval", "http", "port", "app", "command", "soft"]
    ),
)
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=12,
)
_APP = st.dictionaries(_NAMES, _VALUE, max_size=12)
_TOP = st.dictionaries(
    st.one_of(_TEXT, st.sampled_from(TOP_LEVEL)),
    st.one_of(_VALUE, st.dictionaries(st.sampled_from([*RUNTIME_KEYS]), _VALUE, max_size=5)),
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(
    apps=st.lists(_APP, max_size=3),
    top=_TOP,
    language=st.sampled_from(["toml", "json", "yaml", "javascript"]),
    env_name=st.sampled_from([None, "production", ""]),
    personality=st.sampled_from(["pidone", "pm2-runtime"]),
    must_exist=st.booleans(),
)
def test_any_mapping_becomes_an_ecosystem_or_a_config_error(
    apps: list[dict[str, Any]],
    top: dict[str, Any],
    language: str,
    env_name: str | None,
    personality: str,
    must_exist: bool,  # noqa: FBT001
) -> None:
    """No value of any type in any place raises anything but ConfigError, whose lines all name the file."""
    document = Document(apps=tuple(apps), top=top, source=Path("e"), language=language)
    how = options(env_name=env_name, personality=personality, must_exist=must_exist)
    try:
        ecosystem = resolve(document, how)
    except ConfigError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("e: ") for line in lines), lines
        assert all(line.isprintable() for line in lines)
    else:
        assert isinstance(ecosystem, Ecosystem)
        assert hash(ecosystem.apps[0].key()) == hash(ecosystem.apps[0].key())
        for app in ecosystem.apps:
            assert all(isinstance(word, str) and "\0" not in word for word in app.argv)
            assert all(isinstance(value, str) for value in app.env.values())


def test_nesting_without_end_is_no_crash() -> None:
    """A value nested a thousand deep is refused or dropped like any other wrong value."""
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    for key in (
        "env",
        "args",
        "listen",
        "ready",
        "script",
        "health",
        "watch_options",
        "depends_on",
        "limits",
    ):
        document = Document(
            apps=({"script": "/bin/true", key: deep},), top={}, source=Path("e"), language="yaml"
        )
        try:
            resolve(document, options())
        except ConfigError:
            continue
