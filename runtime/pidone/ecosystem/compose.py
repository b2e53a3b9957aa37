"""Several files as one: `include`, several FILEs, a folder of them. Later ones win, key by key.

A base image brings one part, the child image another. Apps are the same if they are called the same; their
tables (`env`, `limits`, ...) are laid over each other too. Folders of the parts stay what they were, and each
value remembers the file it is from.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem import keys
from pidone.ecosystem.document import Document, KeyPath
from pidone.ecosystem.references import UnsetVariableError, escape, expand
from pidone.ecosystem.source_files import SourceFiles
from pidone.errors import ConfigError

_INCLUDE: Final = "include"
_DEEPEST: Final = 8
_MOST: Final = 200
_JOINED: Final = ("smoke", "alerts", "static")
"""Lists whose parts follow each other."""


def with_includes(document: Document, files: SourceFiles) -> Document:
    """A document laid over those that it includes. Raises ConfigError."""
    return _with_includes(document, files, ())


def _with_includes(document: Document, files: SourceFiles, trail: tuple[str, ...]) -> Document:
    if document.top.get(_INCLUDE) is None:
        return document
    if len(trail) >= _DEEPEST or document.name in trail:
        raise ConfigError(
            f"{document.name}: include goes in a circle: " + " -> ".join([*trail, document.name])
        )
    including = _Including(document, files)
    below = [_with_includes(files.read(path), files, (*trail, document.name)) for path in including.paths()]
    top = {name: value for name, value in document.top.items() if name != _INCLUDE}
    notices = (*document.notices, *including.notices)
    return composed([*below, document.but(top=top, notices=notices)], files.options.cwd)


class _Including:
    """What the `include` of a document names."""

    def __init__(self, document: Document, files: SourceFiles) -> None:
        self._files = files
        self._name = document.name
        self._wanted = document.top[_INCLUDE]
        self._has_references = document.has_references
        self._source = document.source
        self._folder = document.source.parent if document.source else Path()
        line = document.line_of((_INCLUDE,))
        self._where = f"{document.name}:{line}" if line else document.name
        self.notices: list[str] = []
        """Patterns that nothing matches."""

    def paths(self) -> list[Path]:
        """The files of patterns and folders come in the order of their names."""
        found: list[Path] = []
        problems: list[str] = []
        for pattern in self._patterns():
            try:
                found += self._matching(pattern)
            except ConfigError as error:
                problems.append(f'{self._where}: include = "{pattern}": {error}')
        if problems:
            raise ConfigError("\n".join(problems))
        if len(found) > _MOST:
            raise ConfigError(f"{self._where}: include: more than {_MOST} files")
        return found

    def _patterns(self) -> list[str]:
        patterns = [self._wanted] if isinstance(self._wanted, str) else self._wanted
        if not isinstance(patterns, list | tuple) or not all(isinstance(each, str) for each in patterns):
            raise ConfigError(
                f'{self._where}: include: expected a path or a list of paths such as ["conf.d/*.toml"]'
            )
        if not self._has_references:
            return list(patterns)
        unset: set[str] = set()
        try:
            expanded: list[str] = expand(list(patterns), self._files.options.environ, unset)
        except UnsetVariableError as error:
            raise ConfigError(f"{self._where}: include: {error}") from None
        if unset:
            names = ", ".join(f"${{{name}}}" for name in sorted(unset))
            raise ConfigError(f"{self._where}: include: {names} is not set")
        return expanded

    def _matching(self, pattern: str) -> list[Path]:
        base = self._files.options.cwd / self._folder
        if any(char in pattern for char in "*?["):
            import glob  # noqa: PLC0415  # hardly any file includes others

            outermost = os.path.dirname(pattern)
            if not glob.has_magic(outermost) and os.path.isdir(base / outermost):
                self._files.note(self._folder / outermost)  # another one may come
            matches = [match for match in sorted(glob.glob(str(base / pattern))) if self._is_other(match)]
            if not matches:
                self.notices.append(f'{self._where}: include = "{pattern}": matches no file')
            return [self._folder / os.path.relpath(match, base) for match in matches]
        if not os.path.exists(base / pattern):
            raise ConfigError(f"no such file (from the folder of {self._name})")
        return list(self._files.files_of(self._folder / pattern))

    def _is_other(self, match: str) -> bool:
        """Whether it is a file, and not the one whose pattern it matches."""
        if not os.path.isfile(match):
            return False
        source = self._source
        return source is None or not os.path.samefile(match, self._files.options.cwd / source)


class _Part:
    """Where a value of the composed document stands."""

    def __init__(self, document: Document, path: KeyPath) -> None:
        self.document, self.path = document, path


class _Places:
    """Tells the file and line of every value; a class, so that a document can be pickled."""

    def __init__(self) -> None:
        self.parts: dict[KeyPath, _Part] = {}

    def part_of(self, path: KeyPath) -> tuple[Document, KeyPath] | None:
        """The document and the path in it, of the closest thing that is known."""
        for length in range(len(path), 0, -1):
            if part := self.parts.get(path[:length]):
                return part.document, (*part.path, *path[length:])
        return None

    def keep_members(self, path: KeyPath, table: Mapping[str, object]) -> None:
        """Remember where the members of a table stand, before another one is laid over it."""
        if found := self.part_of(path):
            for member in table:
                self.parts.setdefault((*path, member), _Part(found[0], (*found[1], member)))

    def line_of(self, path: KeyPath) -> int | None:
        """As `Document.line_of`."""
        found = self.part_of(path)
        return found[0].line_of(found[1]) if found else None

    def file_of(self, path: KeyPath) -> str | None:
        """As `Document.file_of`."""
        found = self.part_of(path)
        return found[0].file_of(found[1]) or found[0].name if found else None


def composed(documents: Sequence[Document], cwd: Path) -> Document:
    """Documents laid over each other, the last one on top.

    The last one that may have references says how those, and unknown keys, count for the whole.
    """
    if len(documents) == 1:
        return documents[0]
    last = next((each for each in reversed(documents) if each.has_references), documents[-1])
    places = _Places()
    apps: dict[str, dict[str, object]] = {}
    top: dict[str, object] = {}
    for document in documents:
        for index, raw in enumerate(document.apps):
            app = _adapted(
                _with_folder(raw, document, cwd, is_first=_name(raw, index) not in apps), document, last
            )
            name = _name(raw, index)
            position = [*apps, name].index(name)
            _lay(apps.setdefault(name, {}), app, (position,), _Part(document, (index,)), places)
        _lay_top(top, _adapted({**document.top}, document, last), document, places, cwd)
    env: dict[str, str | None] = {}
    for document in documents:
        env |= document.env
    return last.but(
        apps=tuple(apps.values()),
        top=top,
        notices=tuple(notice for document in documents for notice in document.notices),
        env=env,
        line_of=places.line_of,
        file_of=places.file_of,
    )


def _name(raw: Mapping[str, object], index: int) -> str:
    named = raw.get("name") or next(
        (raw[key] for key in ("script", "exec", "cmd", "command") if key in raw), None
    )
    return (
        str(named) if raw.get("name") else Path(str(named).replace("\0", "")).stem if named else f"#{index}"
    )


def _with_folder(
    raw: Mapping[str, object], document: Document, cwd: Path, *, is_first: bool
) -> dict[str, object]:
    """The app with its folder in full: where it starts depends on the file that says so."""
    base = cwd / document.source.parent if document.strict and document.source else cwd
    spelling = next(
        (key for key in raw if (key_of := keys.find(key, keys.APP_KEYS)) and key_of.name == "cwd"), None
    )
    if spelling is None:
        return {**raw, "cwd": os.path.normpath(base)} if is_first else {**raw}
    folder = raw[spelling]
    if not isinstance(folder, str) or folder.startswith(("/", "~", "${")):
        return {**raw}
    return {**raw, spelling: os.path.normpath(base / folder)}


def _adapted(table: Mapping[str, Any], document: Document, last: Document) -> dict[str, Any]:
    """Texts of a language without references, for one that has them."""
    if document.has_references or not last.has_references:
        return dict(table)
    return {name: _escaped(value) for name, value in table.items()}


def _escaped(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _escaped(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def _lay(
    below: dict[str, object], table: Mapping[str, object], path: KeyPath, part: _Part, places: _Places
) -> None:
    """Key by key; tables in it too."""
    places.parts.setdefault(path, part)
    for spelling, value in table.items():
        key = keys.find(spelling, keys.APP_KEYS)
        name = next(
            (
                old
                for old in below
                if key and (known := keys.find(old, keys.APP_KEYS)) and known.name == key.name
            ),
            spelling,
        )
        old = below.get(name)
        here = _Part(part.document, (*part.path, spelling))
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            below[name] = {**old, **value}
            places.keep_members((*path, name), old)
            for member in value:
                places.parts[(*path, name, member)] = _Part(part.document, (*here.path, member))
        else:
            below[name] = value
            places.parts = {
                known: each for known, each in places.parts.items() if known[: len(path) + 1] != (*path, name)
            }
        places.parts[(*path, name)] = here


def _lay_top(
    below: dict[str, object], top: Mapping[str, Any], document: Document, places: _Places, cwd: Path
) -> None:
    for name, value in top.items():
        old = below.get(name)
        if isinstance(old, Mapping):
            places.keep_members((name,), old)
        places.parts.setdefault((name,), _Part(document, (name,)))
        if name in _JOINED and isinstance(value, list) and isinstance(old, list):
            for index in range(len(value)):
                places.parts[(name, len(old) + index)] = _Part(document, (name, index))
            below[name] = [*old, *value]
            continue
        places.parts[(name,)] = _Part(document, (name,))
        if isinstance(value, Mapping):
            table = dict(value)
            if name == "runtime" and document.strict and document.source:
                for key, path in keys.paths_in(value):
                    table[key] = os.path.normpath(cwd / document.source.parent / path)
            below[name] = {**(old if isinstance(old, Mapping) else {}), **table}
            for member in value:
                places.parts[(name, member)] = _Part(document, (name, member))
        else:
            below[name] = value
