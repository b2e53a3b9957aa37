"""From a file, or standard input, to a `Document`: formats and shapes, but not what the keys mean.

`read` waits for the result, `start_reading` gives something to wait for beside other things. Strict JSON is
parsed right here; everything else is read in a short-lived child (`child`), so that no engine and no parser
ever burdens or endangers the long-lived process.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem.document import Document, KeyPath
from pidone.ecosystem.formats import languages, strictjson
from pidone.ecosystem.formats.child import Reading, Reap, wait_for
from pidone.ecosystem.formats.languages import is_ecosystem_file
from pidone.ecosystem.formats.shapes import Shape, shape
from pidone.ecosystem.formats.source import Source, load

_SHORT: Final = 64 * 1024
"""Characters of TOML that are parsed in a moment, however they are arranged."""

__all__ = ["DocumentReading", "is_ecosystem_file", "read", "start_reading"]


def read(
    source: Path | None, *, env: Mapping[str, str], argv: Sequence[str], cpus: int, reap: Reap = wait_for
) -> Document:
    """Read an ecosystem file; None is standard input. Takes three seconds at the very most.

    Args:
        source: The file as the user wrote it.
        env: What `process.env` shows.
        argv: What `process.argv` shows behind `node pm2-runtime`, such as `start FILE --env production`;
            if empty, `start FILE`.
        cpus: What `os.cpus()` shows: the CPUs of this container.
        reap: Waits for the child by its pid. Pass a function that does nothing where a reaper takes every
            child.

    Raises:
        ConfigError: it cannot be read. The message holds one line per problem: file, line, column, text,
            remedy.
    """
    return start_reading(source, env=env, argv=argv, cpus=cpus, reap=reap).document()


def start_reading(
    source: Path | None, *, env: Mapping[str, str], argv: Sequence[str], cpus: int, reap: Reap = wait_for
) -> "DocumentReading":
    """As `read`, without waiting: for a loop that must go on, as on a reload.

    Raises:
        ConfigError: as `read`, when it shows at once.
    """
    loaded = load(source)
    language = languages.of(loaded)
    if language == languages.JSON and (value := strictjson.parse(loaded)) is not strictjson.NOT_JSON:
        return DocumentReading(loaded, language, answer={"value": value})

    if language == languages.TOML and len(loaded.text) <= _SHORT:
        from pidone.ecosystem.formats.reader import read_in_child  # noqa: PLC0415 other languages do without

        return DocumentReading(
            loaded, language, answer=read_in_child(loaded, language, env={}, argv=(), cpus=1)
        )

    def task() -> dict[str, Any]:
        from pidone.ecosystem.formats.reader import read_in_child  # noqa: PLC0415 the child alone needs it

        return read_in_child(loaded, language, env=env, argv=argv, cpus=cpus)

    return DocumentReading(loaded, language, child=Reading(task, name=loaded.name, reap=reap))


class DocumentReading:
    """A document in the making."""

    def __init__(
        self,
        source: Source,
        language: str,
        *,
        answer: Mapping[str, Any] | None = None,
        child: Reading | None = None,
    ) -> None:
        """Either the answer is there already, or a child is at work."""
        self._source = source
        self._language = language
        self._answer = answer
        self._child = child

    def fileno(self) -> int | None:
        """Readable when `advance` has something to do; None when the document is there already."""
        return self._child.fileno() if self._child else None

    def advance(self) -> bool:
        """Take what has come; whether `document` will not wait any more."""
        return self._child.advance() if self._child else True

    def cancel(self) -> None:
        """Give up; leaves no process behind."""
        if self._child:
            self._child.cancel()

    def document(self) -> Document:
        """Wait for the document.

        Raises:
            ConfigError: as `read`.
        """
        answer: Mapping[str, Any] = self._child.answer() if self._child else self._answer or {}
        found = shape(answer["value"], self._source.name)
        told = {tuple(path): line for path, line in answer.get("lines", ())}
        return Document(
            apps=found.apps,
            top=found.top,
            source=self._source.path,
            language=self._language,
            notices=(*answer.get("notices", ()), *found.notices),
            env=answer.get("env", {}),
            line_of=_LineFinder(self._source, self._language, found, told).line_of,
        )


class _LineFinder:
    """Looks for lines when the first one is asked for."""

    def __init__(self, source: Source, language: str, found: Shape, told: Mapping[KeyPath, int]) -> None:
        self._source = source
        self._language = language
        self._shape = found
        self._lines: Mapping[KeyPath, int] | None = told or None

    def line_of(self, path: KeyPath) -> int | None:
        """As `Document.line_of`."""
        from pidone.ecosystem.formats.lines import javascript_lines, nearest, toml_lines  # noqa: PLC0415 rare

        if self._lines is None:
            scan = toml_lines if self._language == languages.TOML else javascript_lines
            self._lines = scan(self._source.text)
        if path and isinstance(path[0], int):
            if path[0] >= len(self._shape.origins):
                return None
            path = (*self._shape.origins[path[0]], *path[1:])
        return nearest(self._lines, path)
