"""Which changes of files count."""

import json

import pytest

from runtime.supervise.changes import Group, lines_for


def group(*ignore: str, paths: tuple[str, ...] = (".",)) -> Group:
    return Group(base="/app", paths=paths, ignore=ignore)


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
    ],
)
def test_ignored(pattern: str, path: str) -> None:
    """Names, paths and patterns, as PM2's files write them."""
    assert not group(pattern).concerns(path)
    assert group(pattern).concerns("/app/src/main.py")


def test_each_change_is_told_to_whom_it_concerns() -> None:
    """One line per app and path."""
    groups = [group(paths=("one",)), group(paths=(".",))]
    told = [json.loads(line) for line in lines_for({"/app/two/y", "/app/one/x"}, groups)]
    assert told == [
        {"group": 0, "path": "/app/one/x"},
        {"group": 1, "path": "/app/one/x"},
        {"group": 1, "path": "/app/two/y"},
    ]
