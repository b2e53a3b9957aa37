"""Random input in every language ends in a document or one clear error."""

# ruff: noqa: E501 pieces of syntax, as many to a line as fit

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ecosystem.formats.support import ENV
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import is_ecosystem_file, read
from pidone.ecosystem.formats.javascript.esm import rewrite
from pidone.ecosystem.formats.javascript.tokens import tokens
from pidone.ecosystem.formats.lines import javascript_lines, toml_lines
from pidone.ecosystem.formats.plain import javascript_number
from pidone.errors import ConfigError

NAMES = ("e.config.js", "e.config.mjs", "pm2.json", "pm2.yml", "e.toml", "noname")

PIECES = [
    *("apps", "script", "env", "module.exports", "=", "export default", "export const apps =", "import x from", "await"),
    *("{", "}", "[", "]", "(", ")", ":", ",", ";", "'", '"', "`", "${", "/*", "*/", "//", "#", "\\", "\n", "\n  ", "- "),
    *("&a", "*a", "<<:", "!!int", "---", "|", ">", "? ", "[[apps]]", "'''", '"""', "a.b", "0x1", "1e3", "null", "/", "=>"),
    *("\t", "\r\n", "\ufeff", "\u2028", "\U0001f680", "\ud83d", "é", "require('fs')", "process.env.A", "function", "...", "#!"),
    *("import.meta", "import('x')", "async", "return", "new Promise(() => {})", "throw 1", "with", "as", "default", "get "),
]  # fmt: skip

texts = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join) | st.text(max_size=80)
inputs = texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=120)


def refuse_or_read(name: str, data: bytes) -> None:
    """Read `data`; anything but a document of plain values or a ConfigError of readable lines is a bug."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        is_ecosystem_file(path)
        try:
            document = read(path, env=ENV, argv=[], cpus=2)
        except ConfigError as error:
            message = str(error)
        else:
            check_document(document)
            return
    lines = message.splitlines()
    assert lines
    assert all(line.startswith(str(path)) for line in lines), lines
    assert "internal error" not in message


def check_document(document: Document) -> None:
    """Plain values everywhere, and lines can be asked for."""
    for index, app in enumerate(document.apps):
        check_plain(app)
        document.line_of((index, *list(app)[:1]))
    check_plain(document.top)


def check_plain(value: Any) -> None:
    """Only what JSON could say, and encodable."""
    if isinstance(value, dict):
        for key, item in value.items():
            key.encode()
            check_plain(item)
    elif isinstance(value, list):
        for item in value:
            check_plain(item)
    elif isinstance(value, str):
        value.encode()
    else:
        assert value is None or isinstance(value, (bool, int, float))


quick = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(data=inputs)
def test_any_input_is_read_or_refused(name: str, data: bytes) -> None:
    """No traceback, no hang, no bug whatever the bytes are."""
    refuse_or_read(name, data)


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_scanners_take_any_text(text: str) -> None:
    """What looks at source without parsing it never fails, and tokens cover the text in order."""
    found = tokens(text)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(text[token.start : token.end] == token.text for token in found)
    rewrite(text)
    for line in (*javascript_lines(text).values(), *toml_lines(text).values()):
        assert 1 <= line <= text.count("\n") + 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@quick
@given(value=json_values)
def test_engine_and_fast_path_agree(value: Any) -> None:
    """A strict JSON file gives the same value when it is evaluated as JavaScript (a comment makes the difference)."""
    import json

    with tempfile.TemporaryDirectory() as folder:
        strict, loose = Path(folder) / "a.json", Path(folder) / "b.json"
        text = json.dumps({"apps": [{"v": value}]}).replace('"__proto__"', '"proto"')
        strict.write_text(text)
        loose.write_text(text + " // not strict")
        same = [read(path, env=ENV, argv=[], cpus=1).apps for path in (strict, loose)]
        assert same[0] == same[1]


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_numbers_are_those_of_javascript(number: float) -> None:
    """Whole numbers below 10**21 are integers, everything else a float, and nothing changes its value as a double."""
    result = javascript_number(number)
    assert float(result) == float(number)
    assert isinstance(result, int) == (float(number).is_integer() and abs(number) < 1e21)
