"""Which changes of files count."""

import json
import os
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.supervise.watching.changes import lines_for
from pidone.supervise.watching.paths import WatchedPaths, folders_of
from pidone.supervise.watching.patterns import translate


def group(*ignore: str, paths: tuple[str, ...] = (".",), depth: int | None = None) -> WatchedPaths:
    return WatchedPaths("/app", paths, ignore, depth)


@pytest.mark.parametrize("path", ["/app", "/app/a.py", "/app/src/deep/b.js", "/app/a b"])
def test_what_is_below_counts(path: str) -> None:
    """Files and folders, at any depth."""
    assert group().concerns(path)


@pytest.mark.parametrize("path", ["/application/a.py", "/other", "/"])
def test_what_is_elsewhere_does_not(path: str) -> None:
    """A folder whose name begins alike is another one."""
    assert not group().concerns(path)


@pytest.mark.parametrize(
    "path",
    [
        "/app/.git/HEAD",
        "/app/node_modules/x/y.js",
        "/app/a/__pycache__/b.cpython-311.pyc",
        "/app/a.py~",
        "/app/.a.swp",
    ],
)
def test_what_never_counts(path: str) -> None:
    """Dot files, packages, caches, what editors leave."""
    assert not group().concerns(path)


def test_a_watched_folder_may_be_hidden_itself() -> None:
    """The rule about dot files is for what is below it."""
    assert group(paths=(".config",)).concerns("/app/.config/app.json")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("logs", "/app/logs/a.log"),
        ("logs/", "/app/logs/a.log"),
        ("./logs", "/app/logs/a.log"),
        ("/app/logs", "/app/logs/deep/a.log"),
        ("*.log", "/app/deep/a.log"),
        ("public/*.css", "/app/public/a.css"),
        ("\\.cache", "/app/x/.cache"),
        ("**/tmp/**", "/app/x/tmp/y"),
        ("**/*.log", "/app/a.log"),
        ("**/*.log", "/app/deep/er/a.log"),
        ("logs/**", "/app/logs/a"),
        ("public/**/*.css", "/app/public/a.css"),
        ("public/**/*.css", "/app/public/x/y/a.css"),
        ("*.{log,pid}", "/app/run/a.pid"),
        ("data-?", "/app/data-1/x"),
        ("[a-c]*.txt", "/app/b.txt"),
        ("[!a-c]*.txt", "/app/d.txt"),
        ("/app/**/cache", "/app/x/cache/y"),
        ("a b", "/app/a b/c"),
        ("[c-a].txt", "/app/[c-a].txt"),
        ("re:[\\/]tmp[\\/]", "/app/x/tmp/y"),
        ("re:[\\/]tmp[\\/]", "/app/tmp/y"),
        (r"re:(?i)\.LOG$", "/app/x.log"),
    ],
)
def test_ignored(pattern: str, path: str) -> None:
    """Names, paths and patterns, as PM2's files write them."""
    assert not group(pattern).concerns(path)
    assert group(pattern).concerns("/app/src/main.py")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("logs", "/app/catalogs/a"),
        ("public/*.css", "/app/public/deep/a.css"),
        ("*.{log,pid}", "/app/a.logs"),
        ("*.{log", "/app/a.log"),
        ("data-?", "/app/data-/x"),
        ("[a-c]*.txt", "/app/d.txt"),
        ("/app/logs", "/app/src/logs/a"),
        ("src/logs", "/app/other/src/logs/a"),
        (r"re:\.log$", "/app/a.log.py"),
    ],
)
def test_not_ignored(pattern: str, path: str) -> None:
    """What only looks alike counts."""
    assert group(pattern).concerns(path)


def test_an_exemption_takes_back_what_others_say() -> None:
    """Also what never counts otherwise: somebody asked for it by name."""
    only_env = group("!.env", "*.log", "!keep.log")
    assert only_env.concerns("/app/.env")
    assert only_env.concerns("/app/logs/keep.log")
    assert not only_env.concerns("/app/.other")
    assert not only_env.concerns("/app/logs/a.log")


def test_depth() -> None:
    """How many folders below a watched one count."""
    assert group(depth=0).concerns("/app/a.py")
    assert not group(depth=0).concerns("/app/src/a.py")
    assert group(depth=1).concerns("/app/src/a.py")
    assert group(depth=0, paths=("src",)).concerns("/app/src/a.py")


def test_a_folder_outside_of_the_apps_own() -> None:
    """`..` is no dot file."""
    assert group("*.log", paths=("../lib",)).concerns("/lib/x.js")
    assert not group("*.log", paths=("../lib",)).concerns("/lib/x.log")
    assert group(".*", paths=("../lib",)).concerns("/lib/x.js")


@given(glob=st.text("ab*?[]{},!\\/.^-&|()", max_size=12), path=st.text("ab./", min_size=1, max_size=8))
def test_any_text_is_a_pattern(glob: str, path: str) -> None:
    """Nonsense matches nothing or something, but never breaks; without wildcards it matches itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            matches = re.compile(translate(glob)).fullmatch
    except re.error as error:
        pytest.fail(f"{glob!r}: {error}")
    matches(path)
    if not set(glob) & set("*?[]{}!\\^"):
        assert matches(glob)


def test_ignored_folders_are_not_looked_at(tmp_path: Path) -> None:
    """However many there are in node_modules; links are followed once, and not in circles."""
    for name in ("src/deep", "node_modules/a/b", ".git/objects", "out/x", "elsewhere/y"):
        (tmp_path / "app" / name).mkdir(parents=True)
    (tmp_path / "app/src/circle").symlink_to(tmp_path / "app")
    (tmp_path / "linked/inside").mkdir(parents=True)
    (tmp_path / "app/src/link").symlink_to("../../linked")
    base = str(tmp_path / "app")
    found = folders_of(
        [WatchedPaths(base, (".",), ("out",)), WatchedPaths(base, ("elsewhere/file", "nowhere/at/all"))]
    )
    below = {os.path.relpath(path, base) for path in found}
    assert below == {".", "elsewhere", "elsewhere/y", "src", "src/deep", "src/link", "src/link/inside"}


def test_an_exemption_may_be_inside_of_what_is_ignored(tmp_path: Path) -> None:
    """Then there is no telling where."""
    (tmp_path / "node_modules/mine").mkdir(parents=True)
    found = folders_of([WatchedPaths(str(tmp_path), (".",), ("!node_modules/mine",))])
    assert str(tmp_path / "node_modules/mine") in found


def test_each_change_is_told_to_whom_it_concerns() -> None:
    """One line per app and path."""
    groups = [group(paths=("one",)), group(paths=(".",))]
    told = [json.loads(line) for line in lines_for({"/app/two/y", "/app/one/x"}, groups)]
    assert told == [
        {"group": 0, "path": "/app/one/x"},
        {"group": 1, "path": "/app/one/x"},
        {"group": 1, "path": "/app/two/y"},
    ]
