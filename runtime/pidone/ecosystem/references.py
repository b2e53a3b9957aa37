"""`${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}` in texts; defaults may hold more.

`$${` is a literal `${`; a lone `$` means nothing, as in docker compose.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pidone.ecosystem.spec import Template

_HEAD: Final = r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(:?[-?])?"
_BRACE: Final = r"[{}]"
_DEEPEST: Final = 100
_MARK: Final = "\x01"
"""Around a name of PER_INSTANCE, between `expand_app` and `template`; nobody writes that into a variable."""
PER_INSTANCE: Final = frozenset({"app", "instance"})
"""Names that stand for the app and the index of its instance, in the values of its variables."""


class Reference(NamedTuple):
    """One reference, as it stands in a text."""

    start: int
    end: int
    is_escaped: bool
    name: str
    operator: str
    """`-`, `:-`, `?`, `:?`, or nothing."""
    rest: str
    """What follows the operator."""


class UnsetVariableError(ValueError):
    """`${NAME:?message}` of a variable that is not there."""

    path: tuple[str | int, ...] = ()
    """Where it stands in the value that was to be expanded."""


def references(text: str) -> Iterator[Reference]:
    """The outermost references of a text, in order; what is not closed is none."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(_BRACE, text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closing[opened.pop()] = brace.start()
    position = 0
    pattern = re.compile(_HEAD)
    while head := pattern.search(text, position):
        position = head.end()
        end = closing.get(text.index("{", head.start()))
        if end is not None and (head[3] or end == head.end()):
            yield Reference(
                head.start(), end + 1, bool(head[1]), head[2], head[3] or "", text[head.end() : end]
            )
            position = end + 1


def substitute(text: str, replacement: Callable[[Reference], str]) -> str:
    """The text with each of its references replaced."""
    pieces = []
    position = 0
    for reference in references(text):
        pieces += [text[position : reference.start], replacement(reference)]
        position = reference.end
    return "".join([*pieces, text[position:]])


def escape(text: str) -> str:
    """Text that `expand` turns into this text."""
    return substitute(text, lambda reference: "$" + text[reference.start : reference.end])


def lookup(reference: Reference, known: Mapping[str, str]) -> str | None:
    """The variable's value; None where the default counts."""
    current = known.get(reference.name)
    return current if current or not reference.operator.startswith(":") else None


def expand(value: Any, environ: Mapping[str, str], unset: set[str]) -> Any:
    """Every text of a value with its references replaced.

    Names without value or default are added to `unset` and become empty. Raises UnsetVariableError.
    """
    return _expand(value, environ, unset, 0)


def expand_app(table: Mapping[str, Any], environ: Mapping[str, str], unset: set[str]) -> Any:
    """As `expand`, of an app's table: what stands for the instance in `env` and `env_NAME` is marked.

    `template` knows the marks.
    """
    lasting = {**environ, **{name: f"{_MARK}{name}{_MARK}" for name in PER_INSTANCE}}
    found = {}
    for key, value in table.items():
        is_env = (key == "env" or key.startswith("env_")) and isinstance(value, Mapping)
        found[key] = _expand_at(key, value, lasting if is_env else environ, unset, 1)
    return found


def template(text: str) -> Template | None:
    """What instances make their value of, or None for a text that is the same for all."""
    pieces = text.split(_MARK)
    return Template(tuple(pieces)) if len(pieces) > 1 else None


def _expand(value: Any, environ: Mapping[str, str], unset: set[str], depth: int) -> Any:
    if depth > _DEEPEST:
        return value
    if isinstance(value, str):
        return _expand_text(value, environ, unset, depth) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _expand_at(key, item, environ, unset, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_expand_at(index, item, environ, unset, depth + 1) for index, item in enumerate(value)]
    return value


def _expand_at(key: str | int, value: Any, environ: Mapping[str, str], unset: set[str], depth: int) -> Any:
    try:
        return _expand(value, environ, unset, depth)
    except UnsetVariableError as error:
        error.path = (key, *error.path)
        raise


def _expand_text(text: str, environ: Mapping[str, str], unset: set[str], depth: int) -> str:
    def replacement(reference: Reference) -> str:
        if reference.is_escaped:
            return text[reference.start + 1 : reference.end]
        current = lookup(reference, environ)
        if current is not None:
            return current
        rest = str(_expand(reference.rest, environ, unset, depth + 1))
        if reference.operator.endswith("?"):
            raise UnsetVariableError(f"${{{reference.name}}} is not set" + (f": {rest}" if rest else ""))
        if not reference.operator:
            unset.add(reference.name)
        return rest

    return substitute(text, replacement)
