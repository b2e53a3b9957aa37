#!/usr/bin/env python3
"""The pages that are made of what the code says: `reference.py` writes them, tests compare them.

docs/configuration.md, docs/reference/*.md, the manual page docs/pidone.1, and docs/completion/ for shells.
"""

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click

from pidone.cli import start
from pidone.cli.click_app import program
from pidone.cli.completion import SCRIPTS
from pidone.cli.options import Argument
from pidone.cli.registry import TOPICS
from pidone.ecosystem.output.reference import markdown as keys
from pidone.init.bare import options as bare
from pidone.init.exitcodes import ExitCode
from pidone.logs.events import EVENTS

ROOT: Final = Path(__file__).resolve().parents[1]
RUNTIME: Final = ROOT / "runtime/pidone"
MADE: Final = "<!-- Made by `make reference` from {}; a test fails if it is not. -->\n"
KINDS: Final = ("gauge", "counter", "histogram", "info")
SUFFIXES: Final = {"counter": "_total", "info": "_info"}


class Metric(NamedTuple):
    """One family, as a scraper sees it."""

    name: str
    kind: str
    meaning: str


def texts(nodes: Sequence[ast.expr]) -> list[str]:
    """The leading string literals of some expressions."""
    found = []
    for node in nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            break
        found.append(node.value)
    return found


def metrics() -> list[Metric]:
    """All that the code of the control side can put out, by name."""
    found = set()
    for path in (RUNTIME / "control").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            words: list[str] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                words = texts(node.args)
                if node.func.id == "_histogram" and len(words) == 2:
                    words.insert(1, "histogram")
            elif isinstance(node, ast.Tuple):
                words = texts(node.elts)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found |= set(of_the_container(node.target.id, node.value))
            match words:
                case [name, kind, meaning] if kind in KINDS:
                    found.add(Metric(name + SUFFIXES.get(kind, ""), kind, meaning))
    return sorted(found)


def of_the_container(variable: str, table: ast.expr | None) -> Iterator[Metric]:
    """Rows of the two tables whose names come without what they have in common."""
    kind = variable.removesuffix("s")
    if kind in KINDS and isinstance(table, ast.Tuple):
        for row in table.elts:
            assert isinstance(row, ast.Tuple)
            name, meaning = texts(row.elts)
            yield Metric(f"pidone_container_{name}{SUFFIXES.get(kind, '')}", kind, meaning)


def exit_codes() -> list[tuple[int, str]]:
    """The runtime's own, with what stands below each in the source."""
    source = ast.parse((RUNTIME / "init/exitcodes.py").read_text())
    body = next(node for node in source.body if isinstance(node, ast.ClassDef)).body
    meanings = {}
    for first, second in itertools.pairwise(body):
        match first, second:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(meaning))),
            ):
                meanings[name] = " ".join(meaning.split())
    return [(int(code), meanings[code.name]) for code in ExitCode]


class Command(NamedTuple):
    """What `--help` knows of one."""

    name: str
    usage: str
    text: str
    arguments: list[tuple[str, str]]
    options: list[tuple[str, str]]


def command(name: str) -> Command:
    """One that click reads; not `start` and `exec`, which have parsers of their own.

    In words of ours, because click's versions differ in how they write usage and defaults.
    """
    made = program.get_command(None, name)
    assert made is not None
    given = [each for each in made.params if isinstance(each, Argument)]
    options = [each for each in made.params if isinstance(each, click.Option)]
    usage = ["pidone", name, *(["[OPTIONS]"] if options else []), *map(written, given)]
    return Command(
        name,
        " ".join(usage),
        " ".join((made.help or "").split()),
        [(written(each), each.text) for each in given],
        [(", ".join(each.opts) + value_of(each), (each.help or "") + default_of(each)) for each in options],
    )


def written(argument: Argument) -> str:
    """Its name in a usage."""
    if argument.metavar:
        return argument.metavar
    text = (argument.name or "").upper() + ("..." if argument.nargs < 0 else "")
    return text if argument.required else f"[{text}]"


def value_of(option: click.Option) -> str:
    """What it takes, after a blank."""
    if option.is_flag:
        return ""
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    return " " + (option.metavar or "|".join(map(str, choices)) or option.type.name.upper())


def default_of(option: click.Option) -> str:
    """In words, if there is one."""
    default: object = option.default
    is_told = isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""
    return f" Default: {default:g}." if is_told and isinstance(default, int | float) else ""


def cell(text: str) -> str:
    """For a table of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def commands_page() -> Iterator[str]:
    """By topic, as in `pidone --help`."""
    yield "# Commands\n\n" + MADE.format("the commands' own `--help`") + "\n"
    yield "What each is good for, and how to name apps: [operating.md](../operating.md#targets).\n"
    for topic, names in TOPICS.items():
        yield f"\n## {topic}\n"
        for name in names:
            yield f"\n### pidone {name}\n\n"
            if name in PLAIN:
                yield f"```text\n{PLAIN[name]().rstrip()}\n```\n"
                continue
            known = command(name)
            yield f"{known.text}\n\n`{known.usage}`\n"
            if known.arguments or known.options:
                yield "\n| | |\n|---|---|\n"
            yield from (
                f"| `{cell(one)}` | {cell(text)} |\n" for one, text in (*known.arguments, *known.options)
            )


def events_page() -> Iterator[str]:
    """In the order of the code, which is that of a life."""
    yield "# Events\n\n" + MADE.format("pidone/logs/events.py") + "\n"
    yield "pidone's own records. Names and fields are stable: alerts may be written on them.\n"
    yield "How records look, and what else is in them: [logging.md](../logging.md).\n"
    yield "\n| event | meaning | fields |\n|---|---|---|\n"
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        yield f"| `{name}` | {cell(event.meaning)} | {fields} |\n"


def metrics_page() -> Iterator[str]:
    """By name."""
    yield "# Metrics\n\n" + MADE.format("pidone/control/") + "\n"
    yield "What `/metrics` can show. Labels: [operating.md](../operating.md#metrics).\n"
    yield "\n| metric | kind | meaning |\n|---|---|---|\n"
    yield from (f"| `{each.name}` | {each.kind} | {cell(each.meaning)} |\n" for each in metrics())


def exit_codes_page() -> Iterator[str]:
    """Of the runtime."""
    yield "# Exit codes\n\n" + MADE.format("pidone/init/exitcodes.py") + "\n"
    yield "What a container ends with when pidone decides. Else it is the code of the app that ended it,\n"
    yield "or 128 + n for signal n. Those of commands: [operating.md](../operating.md#commands).\n"
    yield "\n| code | meaning |\n|---|---|\n"
    yield from (f"| {code} | {cell(meaning)} |\n" for code, meaning in exit_codes())


def roff(text: str) -> str:
    """Text of a manual page: no request, no escape, dashes that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def manual() -> Iterator[str]:
    """pidone(1), for man(7)."""
    yield '.\\" Made by "make reference"; a test fails if it is not.\n'
    yield '.TH PIDONE 1 "" "pidone" "User Commands"\n'
    yield ".SH NAME\npidone \\- the one foreground process of a container\n.SH SYNOPSIS\n"
    ways = ("[start] [OPTIONS] FILE|SCRIPT [-- ARGS...]", "[start] [OPTIONS] -- COMMAND [ARGS...]")
    for way in (*ways, "exec [OPTIONS] [--] COMMAND [ARGS...]", "COMMAND [OPTIONS] [ARGS...]"):
        yield f".B pidone\n{roff(way)}\n.br\n"
    yield ".SH DESCRIPTION\n" + roff(ABOUT) + "\n"
    for name, read in PLAIN.items():
        yield f".SH {name.upper()}\n.nf\n{roff(read().strip())}\n.fi\n"
    for topic, names in TOPICS.items():
        if others := [name for name in names if name not in PLAIN]:
            yield f'.SH "{topic.upper()}"\n'
        for name in others:
            known = command(name)
            yield f".SS {roff(known.usage)}\n{roff(known.text)}\n"
            for one, text in (*known.arguments, *known.options):
                yield f".TP\n.B {roff(one)}\n{roff(' '.join(text.split()))}\n"
    yield '.SH "EXIT STATUS"\nThe code of the app that ended the container, 128 + n for signal n, or:\n'
    for code, meaning in exit_codes():
        yield f".TP\n.B {code}\n{roff(meaning)}\n"
    yield ".SH ENVIRONMENT\n"
    for name, meaning in VARIABLES.items():
        yield f".TP\n.B {name}\n{roff(meaning)}\n"
    yield '.SH "SEE ALSO"\n' + roff("https://github.com/pidone/pidone/tree/main/docs") + "\n"


ABOUT: Final = """\
pidone is process 1 of a container. It starts the apps of an ecosystem file as clusters, keeps them up,
lets them share a port, reloads them without losing a request, buries every orphan, and writes one JSON
object per line to standard output. While it runs, the other commands operate it through a unix socket."""
VARIABLES: Final = {
    "PIDONE_SOCKET": "The control socket of a runtime, and where commands look for it; none: no socket.",
    "PIDONE_TERMINATION_GRACE": "The engine's time before SIGKILL; too short a one is told at the start.",
    "NO_COLOR": "If set, no colours on terminals.",
}
PLAIN: Final[Mapping[str, Callable[[], str]]] = {"start": lambda: start.USAGE, "exec": lambda: bare.USAGE}
"""Commands whose help is a text of its own."""
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/configuration.md": keys,
    "docs/reference/commands.md": lambda: "".join(commands_page()),
    "docs/reference/events.md": lambda: "".join(events_page()),
    "docs/reference/metrics.md": lambda: "".join(metrics_page()),
    "docs/reference/exit-codes.md": lambda: "".join(exit_codes_page()),
    "docs/pidone.1": lambda: "".join(manual()),
    "docs/completion/pidone.bash": lambda: SCRIPTS["bash"],
    "docs/completion/_pidone": lambda: SCRIPTS["zsh"],
    "docs/completion/pidone.fish": lambda: SCRIPTS["fish"],
}


if __name__ == "__main__":
    for name, text in PAGES.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(text())
