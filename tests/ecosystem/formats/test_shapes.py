"""Every shape of file gives the same: a list of apps, and the rest."""

# ruff: noqa: E501 the cases are other people's files, one to a line

import json
from typing import Any

import pytest
from ecosystem.formats.support import Reader

from pidone.errors import ConfigError

ONE = {"script": "a.js"}


@pytest.mark.parametrize(
    ("value", "apps", "top"),
    [
        ({"apps": [ONE]}, [ONE], {}),
        ([ONE, {"script": "b"}], [ONE, {"script": "b"}], {}),
        (ONE, [ONE], {}),
        ({"pm2": [ONE]}, [ONE], {}),
        ({"pm2": ONE}, [ONE], {}),
        ({"apps": ONE}, [ONE], {}),
        ({"apps": {"script": "a", "env": {"A": 1}}}, [{"script": "a", "env": {"A": 1}}], {}),
        (
            {"apps": {"web": ONE, "job": {"name": "j", "script": "b"}}},
            [{"name": "web", **ONE}, {"name": "j", "script": "b"}],
            {},
        ),
        ({"apps": [], "deploy": {"x": {}}}, [], {"deploy": {"x": {}}}),
        ({"apps": None, "static": []}, [], {"static": []}),
        ({"deploy": {"x": {}}}, [], {"deploy": {"x": {}}}),
        ({**ONE, "deploy": {}, "runtime": {"log_level": "debug"}}, [ONE], {"deploy": {}, "runtime": {"log_level": "debug"}}),
        ({"apps": [ONE], "restart_delay": 1}, [ONE], {"restart_delay": 1}),
        ([], [], {}),
    ],
)  # fmt: skip
def test_shape(value: Any, apps: list[Any], top: dict[str, Any], read_files: Reader) -> None:
    """An ecosystem is understood in each of its shapes."""
    document = read_files({"pm2.json": json.dumps(value)})
    assert list(document.apps) == apps
    assert document.top == top


def test_entries_left_by_a_condition_are_skipped(read_files: Reader) -> None:
    """`condition && {...}` may leave false in the list."""
    document = read_files(
        {"e.config.js": "module.exports = { apps: [false && {}, { script: 'a.js' }, null] }"}
    )
    assert document.apps == (ONE,)
    assert document.notices == (
        "e.config.js:1: apps[0] is false; ignored",
        "e.config.js:1: apps[2] is empty (null); ignored",
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("text", 'holds the text "text"'),
        (5, "holds the number 5"),
        (None, "holds empty (null)"),
        ({}, "is empty"),
        ({"apps": "a.js"}, 'apps is the text "a.js"; it must be a list of apps'),
        ({"pm2": True}, "pm2 is true"),
    ],
)
def test_what_cannot_be_an_ecosystem_is_refused(value: Any, why: str, read_files: Reader) -> None:
    """The error says what was found and what is wanted."""
    with pytest.raises(ConfigError) as raised:
        read_files({"pm2.json": json.dumps(value)})
    assert why in str(raised.value)
    assert "script: 'server.js'" in str(raised.value)


def test_every_wrong_entry_is_named(read_files: Reader) -> None:
    """All errors of a file are told at once."""
    with pytest.raises(ConfigError) as raised:
        read_files({"pm2.json": '{"apps": ["a.js", {"script": "b"}, [1]]}'})
    assert [line.split(";")[0] for line in str(raised.value).splitlines()] == [
        'pm2.json:1: apps[0] is the text "a.js"',
        "pm2.json:1: apps[2] is a list",
    ]
