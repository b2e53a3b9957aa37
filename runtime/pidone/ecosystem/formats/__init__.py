"""From a file, or standard input, to a `Document`: formats and shapes, but not what the keys mean.

Everything is read where it is asked for: whoever must not be burdened or endangered by an engine and a parser
asks in a child (`supervise/run/loading.py`), which sets the limits.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pidone.ecosystem.document import Document, KeyPath
from pidone.ecosystem.formats import languages, strictjson
from pidone.ecosystem.formats.languages import ecosystem_files, is_ecosystem_file
from pidone.ecosystem.formats.remedies import NOTHING_EXPORTED, way_out
from pidone.ecosystem.formats.shapes import shape
from pidone.ecosystem.formats.source import Parsed, Source, load
from pidone.errors import ConfigError

__all__ = ["ecosystem_files", "is_ecosystem_file", "read"]


def read(source: Path | None, *, env: Mapping[str, str], argv: Sequence[str], cpus: int) -> Document:
    """Read an ecosystem file; None is standard input.

    Args:
        source: The file as the user wrote it.
        env: What `process.env` shows.
        argv: What `process.argv` shows behind `node pm2-runtime`, such as `start FILE --env production`;
            if empty, `start FILE`.
        cpus: What `os.cpus()` shows: the CPUs of this container.

    Raises:
        ConfigError: it cannot be read. The message holds one line per problem: file, line, column, text,
            remedy.
    """
    if source and (what := languages.FOREIGN.get(source.name)):
        raise ConfigError(f"{source}: {what}; {languages.CONVERTED}")
    loaded = load(source)
    if what := languages.foreign(loaded):
        raise ConfigError(f"{loaded.name}: {what}")
    language = languages.of(loaded)
    try:
        parsed = _parse(loaded, language, env, argv, cpus)
    except MemoryError:
        raise ConfigError(f"{loaded.name}: needs more memory than a configuration may have") from None
    except RecursionError:
        raise ConfigError(f"{loaded.name}: is nested too deeply") from None
    except ConfigError as error:
        if language != languages.JAVASCRIPT or not re.match(r"\s*[{\[]\s*[\"'\]}{]", loaded.text):
            raise
        raise ConfigError(f"{error}; JSON in a .js file needs module.exports = before it") from None
    finder = _LineFinder(loaded, language, parsed.lines)
    try:
        found = shape(parsed.value, loaded.name, finder.line_of)
    except ConfigError as error:
        is_empty = language == languages.JAVASCRIPT and not parsed.value
        hint = way_out(NOTHING_EXPORTED, "", loaded.text) if is_empty else ""
        raise ConfigError(f"{error}{hint}") from None
    finder.origins = found.origins
    return Document(
        apps=found.apps,
        top=found.top,
        source=loaded.path,
        language=language,
        notices=(*parsed.notices, *found.notices),
        env=parsed.env,
        line_of=finder.line_of,
    )


def _parse(source: Source, language: str, env: Mapping[str, str], argv: Sequence[str], cpus: int) -> Parsed:
    """Each language is imported only where it is needed."""
    if language == languages.TOML:
        from pidone.ecosystem.formats import toml  # noqa: PLC0415

        return toml.parse(source)
    if language == languages.PROCFILE:
        from pidone.ecosystem.formats import procfile  # noqa: PLC0415

        return procfile.parse(source)
    if language == languages.YAML:
        from pidone.ecosystem.formats import yaml12  # noqa: PLC0415

        return yaml12.parse(source)
    if language == languages.JSON and (value := strictjson.parse(source)) is not strictjson.NOT_JSON:
        return Parsed(value)
    from pidone.ecosystem.formats import javascript  # noqa: PLC0415

    return javascript.parse(source, env, argv, cpus, as_expression=language == languages.JSON)


class _LineFinder:
    """Looks for lines when the first one is asked for."""

    def __init__(self, source: Source, language: str, told: Mapping[KeyPath, int]) -> None:
        self._source = source
        self._language = language
        self.origins: tuple[KeyPath, ...] | None = None
        """Of the apps, once they are found: a path may begin with the number of one then."""
        self._lines: Mapping[KeyPath, int] | None = told or None

    def line_of(self, path: KeyPath) -> int | None:
        """As `Document.line_of`."""
        from pidone.ecosystem.formats.lines import javascript_lines, nearest, toml_lines  # noqa: PLC0415 rare

        if self._lines is None:
            scan = toml_lines if self._language == languages.TOML else javascript_lines
            self._lines = scan(self._source.text)
        if self.origins is not None and path and isinstance(path[0], int):
            if path[0] >= len(self.origins):
                return None
            path = (*self.origins[path[0]], *path[1:])
        return nearest(self._lines, path)
