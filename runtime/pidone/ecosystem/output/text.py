"""Tables as the text of a file: TOML with comments, or JSON."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import tomli_w

from pidone.ecosystem.keys import APP_KEYS, RUNTIME_KEYS, Key
from pidone.ecosystem.output.convert import Tables
from pidone.ecosystem.problems import strip_controls

SCHEMA: Final = "https://raw.githubusercontent.com/pidone/pidone/main/docs/ecosystem.schema.json"
"""Where editors find what `pidone schema` prints, and its `$id`."""
_WIDTH: Final = 110
_CONTROL: Final = r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""What both leave as it is: DEL, C1 (ECMA-48, 8.2.2), and what changes the order of text (UAX #9)."""
_OBVIOUS: Final = frozenset({"name", "script", "args", "cwd", "env", "interpreter"})


def json_text(found: Tables) -> str:
    """As JSON, which has no comments."""
    runtime = {"runtime": found.runtime} if found.runtime else {}
    whole = {"apps": found.apps, **runtime, **found.rest}
    return without_controls(json.dumps(whole, indent=2, ensure_ascii=False)) + "\n"


def without_controls(text: str) -> str:
    r"""JSON or TOML, in which `\u009b` means the same and says nothing to a terminal."""
    if text.isprintable():
        return text
    return re.sub(_CONTROL, lambda found: f"\\u{ord(found[0]):04x}", text)


def toml_text(found: Tables, heading: str, ideas: Sequence[str] = ()) -> str:
    """As TOML; `heading` becomes its first comment. A key is explained where it first occurs.

    `ideas` are lines for the first app, which are keys of its once they are uncommented.
    """
    explained: set[str] = set(_OBVIOUS)
    comments = [*heading.splitlines(), *found.remarks]
    parts = [[f"#:schema {SCHEMA}", *(f"# {strip_controls(line)}" for line in comments)]]
    rest = {name: tomli_w.dumps({name: value}) for name, value in found.rest.items()}
    # Lists that are short enough to be written inline must stand before the first table.
    parts += [[text.rstrip()] for text in rest.values() if not text.startswith("[")]
    for app, left_out in zip(found.apps, found.left_out or [()] * len(found.apps), strict=True):
        lines = ["[[apps]]", *_table("apps", app, APP_KEYS, explained, ideas)]
        ideas = ()
        if left_out:
            lines.insert(1, "# Left out, because they mean nothing: " + strip_controls(", ".join(left_out)))
        parts.append(lines)
    if found.runtime:
        parts.append(["[runtime]", *_table("runtime", found.runtime, RUNTIME_KEYS, explained)])
    parts += [[text.rstrip()] for text in rest.values() if text.startswith("[")]
    return without_controls("\n\n".join("\n".join(lines) for lines in parts)) + "\n"


def _table(
    name: str,
    table: Mapping[str, object],
    known: Mapping[str, Key],
    explained: set[str],
    ideas: Sequence[str] = (),
) -> Iterator[str]:
    """The lines of a table below its header: values first, comments, then the tables in it."""
    below: list[str] = []
    for key, value in table.items():
        text = tomli_w.dumps({key: value}).rstrip()
        if text.startswith("["):
            below += ["", tomli_w.dumps({name: {key: value}}).rstrip()]
        else:
            yield from _commented(text, known.get(key), explained)
    yield from (f"# {idea}" for idea in ideas)
    yield from below


def _commented(text: str, key: Key | None, explained: set[str]) -> Iterable[str]:
    if key is None or key.name in explained:
        return [text]
    explained.add(key.name)
    doc = key.doc.partition(". ")[0].rstrip(".").replace("`", "")
    if len(doc) > _WIDTH - 2:  # what follows a colon are examples
        doc = doc.partition(":")[0]
    line = f"{text}  # {doc}"
    return [line] if "\n" not in text and len(line) <= _WIDTH else [f"# {doc}", text]
