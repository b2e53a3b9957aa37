"""Recipes are ecosystems without a warning, pages about rooms name what is there, figures agree."""

import ast
import os
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from harness import PIDONE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = sorted(path.name for path in (ROOT / "runtime/pidone").iterdir() if (path / "__init__.py").exists())
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def recipes() -> list[tuple[str, str]]:
    """Title and ecosystem of each recipe of the cookbook."""
    sections = re.split(r"^## ", (DOCS / "cookbook.md").read_text(), flags=re.MULTILINE)[1:]
    return [
        (section.splitlines()[0], text)
        for section in sections
        for language, text in BLOCK.findall(section)
        if language == "toml"
    ]


def program(path: Path) -> None:
    """One that there would be in the image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_every_recipe_has_an_ecosystem() -> None:
    """One for each heading."""
    titles = re.findall(r"^## (.+)$", (DOCS / "cookbook.md").read_text(), re.MULTILINE)
    assert titles == [title for title, _ in recipes()]


@pytest.mark.parametrize(("title", "text"), recipes(), ids=[title for title, _ in recipes()])
def test_a_recipe_is_right(title: str, text: str, tmp_path: Path) -> None:
    """`check --strict` warns of nothing, once its programs and secrets are there; notes are in order."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "database_password").write_text("x")
    for app in tomllib.loads(text)["apps"]:
        script = app["script"]
        program(tmp_path / ("bin" if re.fullmatch(r"[\w-]+", script) else ".") / script)
    (tmp_path / "ecosystem.toml").write_text(text.replace("/run/secrets", str(secrets)))
    done = subprocess.run(
        [PIDONE, "check", "--strict", "ecosystem.toml"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_its_page(name: str) -> None:
    """With what it is for, a picture of the flow, what always holds, and where to start."""
    text = (DOCS / "rooms" / f"{name}.md").read_text()
    assert text.startswith(f"# {name}/: ")
    assert "```" in text
    assert "Rules that hold:" in text
    assert "Where to start:" in text
    assert "\nTests: `tests/" in text


@pytest.mark.parametrize("name", ROOMS)
def test_a_page_names_files_that_are_there(name: str) -> None:
    """Of its own room, of another one, or of the repository."""
    text = (DOCS / "rooms" / f"{name}.md").read_text()
    folders = (ROOT / "runtime/pidone" / name, ROOT / "runtime/pidone", ROOT)
    named = {
        *re.findall(r"`([\w/.]+(?:\.py|/))`", text),
        *re.findall(r"(?<![\w/.])([a-z][\w/]*\.py)\b", text),
    }
    inside = {file.name for file in folders[0].rglob("*.py")}
    missing = {
        each
        for each in named
        if each not in inside and not any((folder / each).exists() for folder in folders)
    }
    assert named
    assert missing == set()


@pytest.mark.parametrize("name", ROOMS)
def test_a_page_names_types_that_are_there(name: str) -> None:
    """In the file that stands beside them."""
    text = (DOCS / "rooms" / f"{name}.md").read_text()
    for types, file in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `([\w/]+\.py)` \|", text, re.MULTILINE):
        tree = ast.parse((ROOT / "runtime/pidone" / name / file).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        defined |= {
            target.id
            for node in tree.body
            for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
            if isinstance(target, ast.Name)
        }
        assert set(re.findall(r"`(\w+)`", types)) <= defined, (file, types)


FIGURES = {
    "memory of the runtime, MB": r"(?:any language, in|the process|RSS of the runtime is) (\d+) ?MB",
    "size of the bundle, MB": r"(?:bundle (?:is|has|of)|It is) (\d+) MB(?: \(\d+ MB compressed\)|\b)",
}
"""What is said of the same thing in several places."""


@pytest.mark.parametrize("what", FIGURES)
def test_a_figure_is_the_same_everywhere(what: str) -> None:
    """In the README, the guides and the decisions, wherever one says it."""
    said: dict[int, set[str]] = defaultdict(set)
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for number in re.findall(FIGURES[what], " ".join(page.read_text().split())):
            said[int(number)].add(str(page.relative_to(ROOT)))
    assert len(said) == 1, dict(said)


def test_versions_that_are_pinned_are_this_one() -> None:
    """Where a page says `uses:` or `rev:` of our own repository."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    pinned = {
        number
        for page in (ROOT / "README.md", ROOT / "action.yml", *DOCS.rglob("*.md"))
        for number in re.findall(r"pidone(?:/pidone)?@v(\d+\.\d+\.\d+)", page.read_text())
    }
    assert pinned == {version}


def test_the_comparison_is_complete_and_dated() -> None:
    """Each cell says something, and what is said of pidone in both tables is the same."""
    text = (DOCS / "comparison.md").read_text()
    assert re.search(r"As of [A-Z][a-z]+ 20\d\d:", text)
    tables = [
        [
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in table.splitlines()
            if "---" not in row
        ]
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    ]
    others = [name for rows in tables for name in rows[0][2:]]
    assert others == ["PM2", "supervisord", "s6-overlay", "tini", "gunicorn", "process-compose", "Pebble"]
    ours: dict[str, str] = {}
    for rows in tables:
        assert all(len(row) == len(rows[0]) and all(row) for row in rows[1:])
        for row in rows[1:]:
            assert ours.setdefault(row[0], row[1]) == row[1]
    keys = set(re.findall(r"^\| `(\w+)`", (DOCS / "configuration.md").read_text(), re.MULTILINE))
    named = {key for cell in ours.values() for key in re.findall(r"`([a-z_]+)`", cell)}
    assert named <= keys
