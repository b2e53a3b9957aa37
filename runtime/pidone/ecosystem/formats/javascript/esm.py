"""Turns an ES module into a function body, since the engine's binding has no module loader.

Imports become constants at the head, exports become getters (so that they are hoisted and live), `import()`
and `import.meta` become names of the same length. Line numbers stay; columns too, except on the line of an
import.

The names the body may use: `$modules` (one namespace per import), `$export(getters)`,
`$exportAll(namespace)`, `$ns`, `$imprt(specifier)` and `$importmeta`.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from pidone.ecosystem.formats.javascript.tokens import Token, tokens
from pidone.record import Record

_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


class Import(Record):
    """One static import: every name it wants must exist."""

    specifier: str
    names: tuple[str, ...]


class Rewritten(Record):
    """A script, or the body of a module."""

    code: str
    is_module: bool
    """Whether it has an import or export statement."""
    imports: tuple[Import, ...] = ()
    awaits: bool = False
    """Whether the word await occurs; only then has the body to be asynchronous."""


class _Rewriter:
    """Walks the tokens of one file and notes what to replace."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = tokens(text)
        self.edits: list[tuple[int, int, str]] = []
        self.imports: list[Import] = []
        self.head: list[str] = []
        self.getters: dict[str, str] = {}
        self.is_module = False

    def at(self, index: int) -> str:
        return self.all[index].text if index < len(self.all) else ""

    def blank(self, first: int, behind: int) -> None:
        """Remove tokens, keeping line breaks."""
        start, end = self.all[first].start, self.all[min(behind, len(self.all)) - 1].end
        self.edits.append((start, end, ";" + "\n" * self.text.count("\n", start, end)))

    def run(self) -> None:
        depth = 0
        index = 0
        while index < len(self.all):
            token = self.all[index]
            if token.kind == "mark" and token.text in _OPENING:
                depth += 1
            elif token.kind == "mark" and token.text in _CLOSING:
                depth -= 1
            elif token.kind == "template":
                depth += token.text.endswith("${") - token.text.startswith("}")
            elif token.kind == "word" and self.at(index - 1 if index else len(self.all)) not in (".", "?."):
                if token.text == "import" and self.at(index + 1) != ":":
                    index = self._import(index, top=depth == 0)
                    continue
                if token.text == "export" and depth == 0 and self.at(index + 1) not in (":", "=", ""):
                    index = self._export(index)
                    continue
            index += 1

    def _import(self, index: int, *, top: bool) -> int:
        token, following = self.all[index], self.at(index + 1)
        if following == "(":
            self.edits.append((token.start, token.end, "$imprt"))
            return index + 1
        if following == "." and self.at(index + 2) == "meta":
            self.is_module = True
            self.edits.append((token.start, self.all[index + 2].end, "$importmeta"))
            return index + 3
        if not top or following == "=":
            return index + 1
        self.is_module = True
        clause_end = index + 1
        while clause_end < len(self.all) and self.all[clause_end].kind != "string":
            clause_end += 1
            if self.at(clause_end - 1) == "{":  # names may be strings
                while clause_end < len(self.all) and self.at(clause_end) != "}":
                    clause_end += 1
        if clause_end >= len(self.all):
            return index + 1  # broken; the engine will say how
        behind = self._behind_attributes(clause_end + 1)
        self._bind(self.all[index + 1 : clause_end], _unquote(self.at(clause_end)))
        self.blank(index, behind)
        return behind

    def _behind_attributes(self, index: int) -> int:
        """Skip `with { type: "json" }` and the semicolon."""
        if self.at(index) in ("with", "assert") and self.at(index + 1) == "{":
            while index < len(self.all) and self.at(index) != "}":
                index += 1
            index += 1
        return index + 1 if self.at(index) == ";" else index

    def _bind(self, clause: Sequence[Token], specifier: str) -> None:
        module = f"$modules[{len(self.imports)}]"
        names: list[str] = []
        position = 0
        while position < len(clause):
            text = clause[position].text
            if text == "*":  # * as ns
                self.head.append(f"const {clause[position + 2].text} = {module};")
                position += 3
            elif text == "{":
                end = next((i for i in range(position, len(clause)) if clause[i].text == "}"), len(clause))
                for outer, local in _pairs(clause[position + 1 : end]):
                    names.append(outer)
                    self.head.append(f"const {local} = {module}[{json.dumps(outer)}];")
                position = end + 1
            elif clause[position].kind == "word" and text != "from":
                names.append("default")
                self.head.append(f"const {text} = {module}.default;")
                position += 1
            else:
                position += 1
        self.imports.append(Import(specifier, tuple(names)))

    def _export(self, index: int) -> int:
        self.is_module = True
        following = self.at(index + 1)
        if following == "default":
            return self._export_default(index)
        if following == "*":
            return self._export_star(index)
        if following == "{":
            return self._export_list(index)
        token = self.all[index]
        self.edits.append((token.start, token.end, " " * 6))
        if following in ("const", "let", "var"):
            for name in self._declared(index + 2):
                self.getters[name] = name
        else:
            self._declare_callable(index + 1)
        return index + 1

    def _declare_callable(self, index: int, exported_as: str | None = None) -> bool:
        """`function`, `async function`, `function*` or `class` with a name."""
        if self.at(index) == "async":
            index += 1
        if self.at(index) not in ("function", "class"):
            return False
        index += 2 if self.at(index + 1) == "*" else 1
        name = self.at(index)
        if index >= len(self.all) or self.all[index].kind != "word" or name == "extends":
            return False
        self.getters[exported_as or name] = name
        return True

    def _export_default(self, index: int) -> int:
        start, end = self.all[index].start, self.all[index + 1].end
        kept_lines = "\n" * self.text.count("\n", start, end)
        if self._declare_callable(index + 2, "default"):
            self.edits.append((start, end, " " * 14 + kept_lines))
        else:
            self.edits.append((start, end, "$ns.default = " + kept_lines))
        return index + 2

    def _export_star(self, index: int) -> int:
        named = self.at(index + 2) == "as"
        source = index + (5 if named else 3)
        module = f"$modules[{len(self.imports)}]"
        if named:
            self.getters[_unquote(self.at(index + 3))] = module
        else:
            self.head.append(f"$exportAll({module});")
        self.imports.append(Import(_unquote(self.at(source)), ()))
        behind = self._behind_attributes(source + 1)
        self.blank(index, behind)
        return behind

    def _export_list(self, index: int) -> int:
        end = index + 2
        while end < len(self.all) and self.at(end) != "}":
            end += 1
        pairs = _pairs(self.all[index + 2 : end])
        behind = end + 1
        if self.at(behind) == "from":
            module = f"$modules[{len(self.imports)}]"
            self.imports.append(Import(_unquote(self.at(behind + 1)), tuple(inner for inner, _ in pairs)))
            self.getters |= {outer: f"{module}[{json.dumps(inner)}]" for inner, outer in pairs}
            behind = self._behind_attributes(behind + 2)
        else:
            self.getters |= {outer: inner for inner, outer in pairs}
        self.blank(index, behind)
        return behind

    def _declared(self, index: int) -> list[str]:
        """The names of a const, let or var statement whose first declarator is at `index`."""
        names: list[str] = []
        expecting = True
        while index < len(self.all):
            token = self.all[index]
            if expecting:
                expecting = False
                if token.text in ("{", "["):
                    behind = self._behind_group(index)
                    names += _bound(self.all[index + 1 : behind - 1])
                    index = behind
                    continue
                names.append(token.text)
            elif token.text == ";" or (token.after_newline and self._ends_statement(index)):
                break
            elif token.text == ",":
                expecting = True
            elif token.kind == "mark" and token.text in _OPENING:
                index = self._behind_group(index)
                continue
            index += 1
        return names

    def _ends_statement(self, index: int) -> bool:
        """Automatic semicolon: two operands without an operator between them."""
        before, token = self.all[index - 1], self.all[index]
        operand = before.kind != "mark" or before.text in _CLOSING
        return operand and token.kind == "word" and token.text not in ("in", "instanceof")

    def _behind_group(self, index: int) -> int:
        depth = 0
        while index < len(self.all):
            if self.all[index].kind == "mark":
                depth += (self.at(index) in _OPENING) - (self.at(index) in _CLOSING)
            index += 1
            if depth == 0:
                break
        return index

    def code(self) -> str:
        pieces: list[str] = []
        position = 0
        for start, end, replacement in sorted(self.edits):
            pieces += [self.text[position:start], replacement]
            position = end
        pieces.append(self.text[position:])
        getters = ",".join(f"{json.dumps(name)}:()=>{value}" for name, value in self.getters.items())
        return "".join([f"$export({{{getters}}});" if getters else "", *self.head, *pieces])


def rewrite(text: str) -> Rewritten:
    """`text`, which has no hashbang, as a function body."""
    rewriter = _Rewriter(text)
    rewriter.run()
    awaits = any(token.kind == "word" and token.text == "await" for token in rewriter.all)
    return Rewritten(
        rewriter.code(), is_module=rewriter.is_module, imports=tuple(rewriter.imports), awaits=awaits
    )


def _pairs(clause: Sequence[Token]) -> list[tuple[str, str]]:
    """`a as b, c` as [("a", "b"), ("c", "c")]."""
    found: list[tuple[str, str]] = []
    words = [token for token in clause if token.text != ","]
    index = 0
    while index < len(words):
        first = _unquote(words[index].text)
        if index + 2 < len(words) and words[index + 1].text == "as":
            found.append((first, _unquote(words[index + 2].text)))
            index += 3
        else:
            found.append((first, first))
            index += 1
    return found


def _bound(pattern: Sequence[Token]) -> list[str]:
    """The names a destructuring pattern binds, defaults left out (nested ones are taken apart as well)."""
    names: list[str] = []
    depth = 0
    default_at: int | None = None  # the depth at which a default value began
    for index, token in enumerate(pattern):
        following = pattern[index + 1].text if index + 1 < len(pattern) else ""
        if token.kind == "mark":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            if default_at is None:
                default_at = depth if token.text == "=" else None
            elif depth < default_at or (depth == default_at and token.text == ","):
                default_at = None
        elif token.kind == "word" and default_at is None and following != ":":
            names.append(token.text)
    return names


def _unquote(text: str) -> str:
    """A name or the value of a string literal; specifiers hardly ever hold escapes."""
    if text[:1] in ("'", '"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
