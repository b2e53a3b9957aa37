"""YAML as js-yaml 4 reads it (YAML 1.2 core, timestamps and merge keys), on top of PyYAML's parser.

PyYAML's own resolver is YAML 1.1, where `no` is false, `0755` is 493 and `1:30` is 90.
"""

import datetime as dt
import math
import re
from typing import Any, Final

from yaml.composer import Composer
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner, ScannerError

from pidone.ecosystem.document import KeyPath
from pidone.ecosystem.formats.plain import MAX_DEPTH, Plain, javascript_number, spell
from pidone.ecosystem.formats.remedies import YAML, YAML_OPENED, in_other_words
from pidone.ecosystem.formats.secrets import problem
from pidone.ecosystem.formats.source import Parsed, Source

_TAG: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)")
_FLOAT: Final = re.compile(
    r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    r"""(?P<year>[0-9]{4})-(?P<month>[0-9][0-9]?)-(?P<day>[0-9][0-9]?)
    (?:[Tt]|[ \t]+)(?P<hour>[0-9][0-9]?):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]*))?
    (?:[ \t]*(?:Z|(?P<sign>[-+])(?P<zone_hour>[0-9][0-9]?)(?::(?P<zone_minute>[0-9]{2}))?))?""",
    re.VERBOSE,
)
_FIRST_YEAR_MEANT: Final = 100
"""`Date.UTC` takes smaller ones for those of the twentieth century."""
_BASES: Final = {"0b": 2, "0x": 16, "0o": 8}
_FIRST_OF_NUMBERS: Final = list("-+.0123456789")


class _Resolver(BaseResolver):
    """Which plain scalars are not strings."""


for _name, _pattern, _first in (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(rf"(?:{_INT.pattern})$"), _FIRST_OF_NUMBERS),
    ("float", re.compile(rf"(?:{_FLOAT.pattern})$"), _FIRST_OF_NUMBERS),
    ("timestamp", re.compile(rf"(?:{_DATE.pattern}|{_TIMESTAMP.pattern})$", re.VERBOSE), list("0123456789")),
    ("merge", re.compile(r"<<$"), ["<"]),
):
    _Resolver.add_implicit_resolver(_TAG + _name, _pattern, _first)


class _Loader(Reader, Scanner, Parser, Composer, _Resolver):
    """PyYAML's stages up to the node tree; turning nodes into values is done here."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        """Refuse early what is nested too deeply: the scanner's effort grows with the square of the depth."""
        if self.flow_level >= MAX_DEPTH:
            raise ScannerError(None, None, f"is nested more than {MAX_DEPTH} levels deep", self.get_mark())
        super().fetch_flow_collection_start(token_class)

    def scan_to_next_token(self) -> None:
        """Skip tabs too, where they do not indent: PyYAML refuses one behind a value or a colon."""
        super().scan_to_next_token()
        while self.peek() == "\t" and self.buffer[self.pointer - self.column : self.pointer].strip():
            while self.peek() == "\t":
                self.forward()
            super().scan_to_next_token()


class _Builder:
    """Nodes to values. Aliases are expanded and counted, so that a bomb is refused before it grows."""

    def __init__(self, source: Source) -> None:
        self.plain = Plain(source.name)
        self.lines: dict[KeyPath, int] = {}
        self._source = source
        self._around: list[Node] = []
        """What is being built: an alias of one of these would go on for ever."""

    def build(self, node: Node, path: KeyPath) -> object:
        self.plain.visit(path)
        line = self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self.plain.value(self._scalar(node), path)
        if any(node is each for each in self._around):
            raise problem(self._source, f"{spell(path)} is an alias of what it stands in", line=line)
        self._around.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            self._expect_tag(node, "seq", "omap", "pairs")
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._around.pop()

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        self._expect_tag(node, "map", "set")
        holder = next((step for step in reversed(path) if step != "<<"), None)
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                for name, value in self._merge_values(value_node, path):
                    merged.setdefault(name, value)
                continue
            name = self._key(key_node)
            if name in own:
                raise self._problem(f'key "{name}" is there twice; remove one', key_node)
            self.lines[(*path, name)] = key_node.start_mark.line + 1
            value = self.build(value_node, (*path, name))
            if isinstance(value_node, ScalarNode) and _is_environment(holder):
                if value is None and value_node.tag == _TAG + "float":
                    continue  # .inf and .nan have no text, and null is one there
                if holder == "env" and value_node.tag == _TAG + "timestamp":
                    value = f'"{value}"'  # PM2 hands on the JSON of objects, which js-yaml's Date is
            own[name] = value
        return {**{name: value for name, value in merged.items() if name not in own}, **own}

    def _merge_values(self, node: Node, path: KeyPath) -> list[tuple[str, object]]:
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        found: list[tuple[str, object]] = []
        for item in nodes:
            if not isinstance(item, MappingNode):
                raise self._problem("<< takes a mapping (or a list of mappings), usually an *alias", node)
            self.lines[(*path, "<<")] = node.start_mark.line + 1
            merged = self.build(item, (*path, "<<"))
            found += merged.items() if isinstance(merged, dict) else ()
        return found

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._problem("a key must be a text, not a list or mapping", node)
        value = self._scalar(node)
        if isinstance(value, bool) or value is None:
            return {True: "true", False: "false", None: "null"}[value]
        return str(value)

    def _scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "merge", "!") or (kind == "float" and _is_too_large(text)):
            return text
        if kind == "null" and text in ("", "~", "null", "Null", "NULL"):
            return None
        if (
            kind == "bool"
            and text.lower() in ("true", "false")
            and text in (text.lower(), text.upper(), text.title())
        ):
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return javascript_number(_integer(text))
        if kind == "float" and _FLOAT.fullmatch(text):
            return javascript_number(_float(text))
        if kind == "timestamp" and (stamp := _timestamp(text)):
            return stamp
        if kind == "binary":
            raise self._problem("binary data has no meaning here; write a text", node)
        if kind in ("null", "bool", "int", "float", "timestamp"):
            raise self._problem(f"is not a value of the tag !!{kind}", node)
        raise self._problem(f"unknown tag {node.tag}; quote the text if it begins with !", node)

    def _expect_tag(self, node: Node, *kinds: str) -> None:
        if node.tag not in ("!", *(_TAG + kind for kind in kinds)):
            raise self._problem(f"unknown tag {node.tag}; quote the text if it begins with !", node)

    def _problem(self, message: str, node: Node) -> Exception:
        return problem(
            self._source, message, line=node.start_mark.line + 1, column=node.start_mark.column + 1
        )


def parse(source: Source) -> Parsed:
    """The value, notices, and the line of every key.

    Raises:
        ConfigError: it is not YAML, or not one document of plain values.
    """
    builder = _Builder(source)
    try:
        node = _Loader(source.text).get_single_node()
        value = builder.build(node, ()) if node else None
    except MarkedYAMLError as error:
        raise _explain(source, error) from None
    except ReaderError as error:
        line = source.text.count("\n", 0, error.position) + 1
        raise problem(source, f"character U+{int(error.character):04X} is not allowed", line=line) from None
    except YAMLError as error:
        raise problem(source, str(error)) from None
    except RecursionError:
        raise problem(source, "is nested too deeply") from None
    return Parsed(value, notices=tuple(builder.plain.notices), lines=builder.lines)


def _explain(source: Source, error: MarkedYAMLError) -> Exception:
    message = " ".join(str(part) for part in (error.problem, error.context) if part)
    mark = error.problem_mark or error.context_mark
    if words := in_other_words(message, YAML_OPENED):
        message, mark = words, error.context_mark or mark
    elif words := in_other_words(message, YAML):
        message = words
    elif "expected <block end>" in message or "did not find expected" in message:
        message = f"indented otherwise than the lines around it ({message})"
    if mark is None:
        return problem(source, message)
    return problem(source, message, line=mark.line + 1, column=mark.column + 1)


def _is_environment(key: object) -> bool:
    return isinstance(key, str) and (key == "env" or key.startswith("env_"))


def _integer(text: str) -> int | float:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    try:
        return sign * int(digits, _BASES.get(digits[:2], 10))
    except ValueError:  # more than 4300 digits
        return sign * math.inf


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _is_too_large(text: str) -> bool:
    """1e400, which js-yaml leaves as it is."""
    return bool(_FLOAT.fullmatch(text)) and text[-1].isdigit() and math.isinf(_float(text))


def _timestamp(text: str) -> str | None:
    """As `JSON.stringify` writes the Date that js-yaml makes; None if it is none.

    It takes any numbers, as `Date.UTC` does: the 31st of February is the 2nd of March, the year 24 is 1924.
    """
    found = _TIMESTAMP.fullmatch(text)
    if not found and not _DATE.fullmatch(text):
        return None
    year, month, day = map(int, text.split("-", 2)) if not found else map(int, found.group(1, 2, 3))
    more, month = divmod(month - 1, 12)
    year += more + (1900 if year < _FIRST_YEAR_MEANT else 0)
    try:
        moment = dt.datetime(year, month + 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day - 1)
        if found:
            hour, minute, second = map(int, found.group("hour", "minute", "second"))
            milliseconds = int((found["fraction"] or "")[:3].ljust(3, "0"))
            moment += dt.timedelta(hours=hour, minutes=minute, seconds=second, milliseconds=milliseconds)
            if found["sign"]:
                offset = dt.timedelta(hours=int(found["zone_hour"]), minutes=int(found["zone_minute"] or 0))
                moment -= offset if found["sign"] == "+" else -offset
    except (ValueError, OverflowError):  # beyond the year 9999
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
