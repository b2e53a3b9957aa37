"""`ignore_watch` and `watch_options`, as PM2's files and ours write them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.ecosystem.values import Invalid
from pidone.ecosystem.values.watching import PATTERNS, WATCH_OPTIONS


def read(folder: Path, keys: str) -> Ecosystem:
    """A JavaScript ecosystem of one app."""
    file = folder / "ecosystem.config.js"
    file.write_text(
        f"module.exports = {{ apps: [{{ name: 'a', script: '/bin/true', watch: true, {keys} }}] }}"
    )
    return load(file, LoadOptions(cwd=folder, environ={"PATH": "/usr/bin:/bin"}))


def app(folder: Path, keys: str) -> AppSpec:
    return read(folder, keys).apps[0]


def test_regular_expressions_of_javascript(tmp_path: Path) -> None:
    """They survive the way out of the engine, flags included."""
    found = app(tmp_path, r"ignore_watch: ['node_modules', /[\/\\]\./, /\.LOG$/i]")
    assert found.ignore_watch == ("node_modules", r"re:[\/\\]\.", r"re:(?i)\.LOG$")


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        ("{ignored: 'logs'}", ("logs",)),
        ("{ignored: ['logs', /x/]}", ("logs", "re:x")),
        ("{ignored: false}", ()),
        ("{}", ()),
    ],
)
def test_ignored_of_the_options(tmp_path: Path, options: str, ignored: tuple[str, ...]) -> None:
    """It means the same as `ignore_watch`, and comes on top of it."""
    assert app(tmp_path, f"watch_options: {options}").ignore_watch == ignored
    assert app(tmp_path, f"ignore_watch: 'own', watch_options: {options}").ignore_watch == ("own", *ignored)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("{depth: 0}", "watch_depth", 0),
        ("{depth: 3}", "watch_depth", 3),
        ("{}", "watch_depth", None),
        ("{usePolling: true}", "watch_polling", 0.1),
        ("{usePolling: true, interval: 500}", "watch_polling", 0.5),
        ("{usePolling: false, interval: 500}", "watch_polling", None),
        ("{awaitWriteFinish: true}", "watch_delay", 2.0),
        ("{awaitWriteFinish: {stabilityThreshold: 700}}", "watch_delay", 0.7),
        ("{awaitWriteFinish: {pollInterval: 100}}", "watch_delay", 2.0),
        ("{awaitWriteFinish: false}", "watch_delay", 0.0),
    ],
)
def test_options_of_chokidar(tmp_path: Path, options: str, field: str, value: Any) -> None:
    """Those that have a meaning here."""
    assert getattr(app(tmp_path, f"watch_options: {options}"), field) == value


def test_the_longer_delay_counts(tmp_path: Path) -> None:
    """PM2's key and chokidar's mean the same pause."""
    assert app(tmp_path, "watch_delay: 3000, watch_options: {awaitWriteFinish: true}").watch_delay == 3.0
    assert app(tmp_path, "watch_delay: 1000, watch_options: {awaitWriteFinish: true}").watch_delay == 2.0


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    """But not what only says what is the case anyway."""
    found = read(tmp_path, "watch_options: {persistent: true, followSymlinks: false, cwd: '/x', dept: 1}")
    assert [warning.rpartition(": ")[2] for warning in found.warnings] == ["cwd, dept"]
    assert not read(tmp_path, "watch_options: {ignoreInitial: true, followSymlinks: false}").warnings


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (PATTERNS, ["re:("], "not a regular expression"),
        (PATTERNS, "!re:[", "not a regular expression"),
        (PATTERNS, [{"x": 1}], "expected a pattern"),
        (PATTERNS, True, "expected text"),
        (WATCH_OPTIONS, [], "expected a table"),
        (WATCH_OPTIONS, {"depth": -1}, "expected a number of folders"),
        (WATCH_OPTIONS, {"depth": "deep"}, "expected a number of folders"),
        (WATCH_OPTIONS, {"usePolling": True, "interval": -1}, "expected milliseconds"),
        (WATCH_OPTIONS, {"awaitWriteFinish": {"stabilityThreshold": "x"}}, "expected milliseconds"),
        (WATCH_OPTIONS, {"ignored": ["re:*"]}, "not a regular expression"),
    ],
)
def test_nonsense(kind: Any, value: object, problem: str) -> None:
    """It is refused, and what is wrong is said."""
    with pytest.raises(Invalid) as caught:
        kind.parse(value)
    told = [caught.value.expected, *(found.expected for found in caught.value.findings)]
    assert any(problem in each for each in told)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ignored", "depth", "usePolling", "interval", "regexp"]), inner
            )
        ),
        max_leaves=6,
    )
)
def test_anything_is_options_or_refused(value: object) -> None:
    """No value breaks the reader."""
    for kind in (PATTERNS, WATCH_OPTIONS):
        try:
            kind.advise(value)
            kind.parse(value)
        except Invalid:
            continue
