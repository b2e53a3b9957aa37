"""One way to say what is wrong in a file: name, line, column, the quoted text, what would be right."""

from pidone.ecosystem.formats.secrets import printable, quote
from pidone.ecosystem.formats.source import Source
from pidone.errors import ConfigError


def problem(
    source: Source, message: str, *, line: int | None = None, column: int | None = None
) -> ConfigError:
    """The error to raise; `line` and `column` count from 1."""
    message = printable(message)
    if line is None:
        return ConfigError(f"{source.name}: {message}")
    where = f"{source.name}:{line}" + (f":{column}" if column else "")
    lines = source.text.split("\n")
    text = quote(lines[line - 1], column) if 0 < line <= len(lines) else ""
    return ConfigError(f"{where}: {message}" + (f', at "{text}"' if text else ""))
