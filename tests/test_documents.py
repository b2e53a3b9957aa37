"""What the documents name is there: links and their anchors, files, commands, options, targets of make."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from harness import PIDONE

from pidone.cli.registry import COMMANDS, TOPICS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "k8s/*.md", "docker/**/*.md", "examples/**/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)
OURS = ("pidone", "pm2-runtime", "pm2", "tini", "dumb-init")
SHELLS = ("console", "sh", "bash")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def links(page: Path) -> list[str]:
    """Its links into this repository."""
    found = re.findall(r"\]\(<?([^)\s>]+)>?\)", prose(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each code block."""
    pattern = r"^ *```(\w*)\n(.*?)^ *```"
    yield from re.findall(pattern, (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> Iterator[list[str]]:
    """The commands of its shell blocks, as words; of a console only what is typed."""
    for language, text in blocks(page):
        if language not in SHELLS:
            continue
        joined = text.replace("\\\n", " ")
        for line in joined.splitlines():
            typed = line.partition("$ ")[2] if language == "console" else line
            for part in re.split(r"&&|\|\||;|\|", typed.partition(" #")[0]):
                if words := part.split():
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file or folder of the repository, and to a heading in it if they say so."""
    wrong = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        there = target.exists() and target.is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors(target.relative_to(ROOT))):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_are_there(page: Path) -> None:
    """Whatever stands in `code` and begins with a folder of the repository."""
    tops = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
    named = re.findall(rf"`((?:{tops})/[\w./*-]+)`", prose(page))
    missing = [name for name in named if not any(ROOT.glob(name.rstrip("/")))]
    assert missing == []


@cache
def help_of(command: str) -> str:
    """What `pidone COMMAND --help` says."""
    words = [PIDONE, "--help"] if command == "" else [PIDONE, command, "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def run_of_ours(words: Sequence[str]) -> Sequence[str] | None:
    """The words after `pidone`, if it is in the command at all; of an engine's command what runs inside."""
    at = [i for i, word in enumerate(words) if word.rpartition("/")[2] == "pidone"]
    if not at or (words[0] in ("docker", "kubectl") and not {"exec", "--"} & set(words[: at[0]])):
        return None
    if words[0] in ("pip", "pipx", "uv", "python3", "git", "ln", "source", "gh"):
        return None
    return words[at[0] + 1 :]


def unknown_options(command: str, words: Sequence[str]) -> list[str]:
    """The long options among some words that the help of a command does not know."""
    options = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    known = [*re.findall(r"(?<![\w-])--[a-z][\w-]*", help_of(command)), "--version", "--help"]
    return [f"{command} {option}" for option in options if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_that_are_shown_exist(page: Path) -> None:
    """Each first word is a command or a file, each long option one that its help knows."""
    wrong = []
    for words in command_lines(page):
        ours = run_of_ours(words)
        if not ours:
            continue
        if ours[0] not in {*COMMANDS, "exec"} and not re.search(r"^-|\.\w+$|^[A-Z]+$", ours[0]):
            wrong.append(" ".join(words))
            continue
        command = ours[0] if ours[0] in {*COMMANDS, "exec"} else "start"
        wrong += unknown_options(command, ours[: ours.index("--")] if "--" in ours else ours)
    assert wrong == []


OTHERS = {
    *("apt-get", "cp", "curl", "docker", "export", "gh", "git", "helm", "jq", "kubectl", "ln", "make", "npm"),
    *("npx", "pip", "pipx", "pre-commit", "python3", "sh", "source", "uv"),
}
"""Programs of others that a document may show; what such a command names of ours is looked up."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_of_others_name_what_is_there(page: Path) -> None:
    """Their files and folders are the repository's, a target is one of the Dockerfile's."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()}
    stages = set(re.findall(r"^FROM .+ AS (\S+)$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE))
    wrong = []
    for words in command_lines(page):
        if words[0].rpartition("/")[2] in OURS:
            continue
        if words[0] not in OTHERS:
            wrong.append(words[0])
        for before, word in pairwise(words):
            name = word.rpartition("=")[2]
            if before == "--target" and name not in stages:
                wrong.append(name)
            if "/" in name and name.partition("/")[0] in tops and not (ROOT / name).exists():
                wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_inline_commands_exist(page: Path) -> None:
    """`pidone WORD` in a sentence is a command, a file, an option or a placeholder."""
    known = {*COMMANDS, *(name for names in TOPICS.values() for name in names), "exec"}
    said = re.findall(r"`pidone ([\w.-]+)", prose(page))
    wrong = [word for word in said if word not in known and not re.search(r"^-|\.|^[A-Z]|^\d", word)]
    assert wrong == []


def test_targets_of_make_that_are_named_exist() -> None:
    """In every page."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        inline = [words.split()[1:] for words in re.findall(r"`(make [^`]+)`", prose(page))]
        typed = [words[1:] for words in command_lines(page) if words[0] == "make"]
        asked = {
            word for words in [*inline, *typed] for word in words if re.fullmatch(r"[a-z][a-z0-9-]*", word)
        }
        assert asked <= targets, page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_configurations_that_are_shown_parse(page: Path) -> None:
    """TOML, YAML and JSON are what they say they are."""
    readers: Mapping[str, Callable[[str], object]] = {
        "toml": tomllib.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
    }
    for language, text in blocks(page):
        if (read := readers.get(language)) is not None:
            read(re.sub(r"\{\{.*?\}\}", "x", text))
        elif language == "json":
            for line in text.splitlines():
                json.loads(line)


def test_guides_for_newcomers_name_keys_that_exist() -> None:
    """What stands right of the bar as `key = value` in a table is a key of the reference."""
    reference = (ROOT / "docs/configuration.md").read_text()
    known = set(re.findall(r"^\| `(\w+)`", reference, re.MULTILINE))
    rows = re.findall(r"^\|[^|]+\|(.+)\|$", (ROOT / "docs/coming-from.md").read_text(), re.MULTILINE)
    named = {key for row in rows for key in re.findall(r"`(\w+) = ", row)}
    assert len(named) > 8
    assert named <= known
