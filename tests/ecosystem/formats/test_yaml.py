"""YAML means what js-yaml 4 makes of it; the expected values were made with js-yaml 4.3.1."""

# ruff: noqa: E501 the cases are other people's files, one to a line

from typing import Any

import pytest
from ecosystem.formats.support import Reader

from pidone.errors import ConfigError

JS_YAML = [
    ("1_000", "1_000"), ("0755", 755), ("0o22", 18), ("0x1F", 31), ("0b11", 3), ("+5", 5), ("1e3", 1000),
    ("1:30", "1:30"), ("1.", 1), (".5", 0.5), ("-.5", "-.5"), ("1_0.5", "1_0.5"), (".inf", None), (".NaN", None),
    ("~", None), ("", None), ("NULL", None), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
    ("True", True), ("FALSE", False), ("tRue", "tRue"), ("-0", 0), ("0o8", "0o8"), ("08", 8), ("_1", "_1"),
    ("0_1", "0_1"), ("-0x1f", -31), ("0x", "0x"), ("1e", "1e"), ("1.5e+3", 1500), ("!!str 5", "5"), ('!!int "5"', 5),
    ("=", "="), ("!!set {x, y}", {"x": None, "y": None}), ("12345678901234567890", 12345678901234567000),
    ("0123.5", 123.5), ("1.e3", 1000), ("1E3", 1000), ("._5", "._5"), (".", "."), ("20:30:40", "20:30:40"),
    ("0b12", "0b12"), ("0B1", "0B1"), ("2001-12-14", "2001-12-14T00:00:00.000Z"), ("2001-1-1", "2001-1-1"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-15T02:59:43.100Z"), ("!!float 3", 3), ("!!null ~", None),
    ("2001-01-01 10:00:00", "2001-01-01T10:00:00.000Z"), ("{1: a, true: b, ~: c, 1.0e1: d}", {"1": "a", "true": "b", "null": "c", "10": "d"}),
    ("[a:b, c]", ["a:b", "c"]), ("|\n  two\n  lines\n", "two\nlines\n"), (">-\n  one\n  line", "one line"),
    ("\tx", "x"), ("x\t", "x"), ("x \t # c", "x"), ("[a,\tb]\t", ["a", "b"]), ("'it''s'", "it's"), (r'"\u00e9\x41\/"', "éA/"), ("1e400", "1e400"),
    ("2024-02-31", "2024-03-02T00:00:00.000Z"), ("2024-13-01", "2025-01-01T00:00:00.000Z"), ("0099-12-31", "1999-12-31T00:00:00.000Z"),
    ("2024-01-02T24:60:00 -1:30", "2024-01-03T02:30:00.000Z"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), JS_YAML)
def test_scalar_is_what_js_yaml_makes_of_it(text: str, expected: Any, read_files: Reader) -> None:
    """A YAML scalar has its YAML 1.2 meaning, number by number and word by word."""
    document = read_files({"pm2.yml": f"script: a\nv: {text}\n"})
    value = document.apps[0]["v"]
    assert (value, type(value)) == (expected, type(expected))


def test_anchors_and_merge_keys(read_files: Reader) -> None:
    """Merged keys give way to a mapping's own, and of several merged mappings the first wins."""
    text = """
base: &base {cwd: /srv, env: &env {A: 1}}
other: &other {cwd: /x, time: true}
apps:
  - script: a
    <<: [*base, *other]
    env: {<<: *env, B: 2}
  - {<<: *base, script: b, cwd: /own}
"""
    document = read_files({"pm2.yaml": text})
    assert document.apps == (
        {"cwd": "/srv", "env": {"A": 1, "B": 2}, "time": True, "script": "a"},
        {"cwd": "/own", "env": {"A": 1}, "script": "b"},
    )


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("apps:\n  - script: a\n    script: b\n", "pm2.yml:3:5", 'key "script" is there twice'),
        ("apps:\n\t- script: a\n", "pm2.yml:2:1", "a tab where YAML wants spaces"),
        ("apps: !foo 1\n", "pm2.yml:1:7", "unknown tag !foo"),
        ("apps: []\n---\napps: []\n", "pm2.yml:2:1", "more than one document"),
        ("apps:\n  - script: *nope\n", "pm2.yml:2:13", "undefined alias"),
        ("apps: [\n", "pm2.yml:2:1", "expected"),
        ("? [a]\n: 1\n", "pm2.yml:1:3", "a key must be a text"),
        ("apps: !!bool yes\n", "pm2.yml:1:7", "not a value of the tag !!bool"),
        ("<<: 5\n", "pm2.yml:1:5", "<< takes a mapping"),
        ("a: \x07\n", "pm2.yml:1", "character U+0007"),
        ("apps: !!binary aGk=\n", "pm2.yml:1:7", "binary data"),
    ],
)
def test_error_names_place_and_reason(text: str, where: str, why: str, read_files: Reader) -> None:
    """What is not YAML is refused with line, column and reason."""
    with pytest.raises(ConfigError) as raised:
        read_files({"pm2.yml": text})
    assert str(raised.value).startswith(where + ":")
    assert why in str(raised.value)


def test_line_of_every_key_is_known(read_files: Reader) -> None:
    """A YAML document tells on which line a key stands."""
    text = "# c\ndeploy:\n  x: 1\napps:\n  - script: a\n    env:\n      A: 1\n  -\n    script: b\n"
    document = read_files({"pm2.yml": text})
    assert [
        document.line_of(path) for path in [(0, "script"), (0, "env", "A"), (1, "script"), ("deploy", "x")]
    ] == [*(5, 7, 9, 3)]
    assert document.line_of((0, "nope")) == 5
