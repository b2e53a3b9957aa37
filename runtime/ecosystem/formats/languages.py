"""Which language a file is in, and whether it is an ecosystem at all."""

import json
import re
from pathlib import Path
from typing import Final

from runtime.ecosystem.formats.jstokens import tokens
from runtime.ecosystem.formats.source import Source

JAVASCRIPT: Final = "javascript"
JSON: Final = "json"
YAML: Final = "yaml"
TOML: Final = "toml"

_BY_SUBSTRING: Final = (
    (".json", JSON),
    (".yml", YAML),
    (".yaml", YAML),
    (".config.js", JAVASCRIPT),
    (".config.cjs", JAVASCRIPT),
    (".config.mjs", JAVASCRIPT),
)
"""PM2's rule, in its order: part of the name, so that `x.json5` and `x.config.js.bak` count."""
_JAVASCRIPT_SUFFIXES: Final = (".js", ".cjs", ".mjs")
_NAMED_LIKE_ONE: Final = frozenset({"ecosystem", "pm2"})
_MAX_SCAN_BYTES: Final = 64 * 1024
"""Larger JavaScript is a program (often a bundle); reading it costs start-up time."""
_TOML_START: Final = re.compile(
    r"""^\s*(?:\[\[?[\w.\-"' ]+\]\]?\s*(?:\#.*)?$|[\w.\-"']+\s*=)""", re.MULTILINE
)
_JAVASCRIPT_START: Final = re.compile(
    r"^\s*(?:module\.exports|exports\.|export\s|import\s|const\s|let\s|var\s|['\"]use strict|#!)",
    re.MULTILINE,
)


def by_name(path: Path) -> str | None:
    """The language that the file's name tells."""
    name = path.name
    if name.endswith(".toml"):
        return TOML
    for part, language in _BY_SUBSTRING:
        if part in name:
            return language
    return JAVASCRIPT if name.endswith(_JAVASCRIPT_SUFFIXES) else None


def of(source: Source) -> str:
    """The language by name, or by the look of the text (standard input, other names)."""
    return (by_name(source.path) if source.path else None) or by_text(source.text)


def by_text(text: str) -> str:
    """A guess that is right for whole ecosystem files."""
    start = text.lstrip()
    if start.startswith(("{", "(")) or _is_json(start):
        return JSON
    if _JAVASCRIPT_START.search(text) and "=" in text.partition("exports")[2] + text.partition("export ")[2]:
        return JAVASCRIPT
    if start.startswith("//") or start.startswith("/*"):
        return JAVASCRIPT if "export" in text else JSON
    first = next(
        (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), ""
    )
    return TOML if _TOML_START.match(first) else YAML


def _is_json(text: str) -> bool:
    if not text.startswith("["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return bool(re.match(r"\[\s*[{\[]\s*[\w'\"/]", text)) and not _TOML_START.match(text)
    return True


def is_ecosystem_file(path: Path) -> bool:
    """Whether `pidone PATH` shall read the file as an ecosystem rather than run it.

    Yes for `-`, for `*.toml`, and for PM2's names (`.json`, `.yml`, `.yaml`, `.config.js`, `.config.cjs`,
    `.config.mjs` anywhere in the file's name). Any other `.js`, `.cjs` or `.mjs` file is a program unless its
    text, without being run, plainly shows a configuration: it exports `apps` (`module.exports = { apps`,
    `exports.apps =`, `export const apps`, `export default { apps`), has a `script:` key, and neither listens nor
    uses PM2's API. For a file named after `ecosystem` or `pm2` (`ecosystem.js`, `pm2.prod.cjs`) any export
    together with a `script:` key is enough.
    """
    name = path.name
    if str(path) == "-" or name.endswith(".toml") or any(part in name for part, _ in _BY_SUBSTRING):
        return True
    if not name.endswith(_JAVASCRIPT_SUFFIXES):
        return False
    return _exports_apps(path, any_shape=bool(_NAMED_LIKE_ONE & set(name.lower().split(".")[:-1])))


def _exports_apps(path: Path, *, any_shape: bool) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            data = file.read(_MAX_SCAN_BYTES + 1)
    except OSError:
        return False
    if len(data) > _MAX_SCAN_BYTES or b"script" not in data or b"export" not in data:
        return False
    words = [token.text.strip("\"'") for token in tokens(data.decode("utf-8", "replace"))]
    if not _follows(words, ("script", ":")) or _follows(words, ("require", "(", "pm2")):
        return False
    if _follows(words, (".", "listen", "(")) or _follows(words, ("from", "pm2")):
        return False
    exports = [("module", ".", "exports", "="), ("export", "default"), ("exports", ".", "apps", "=")]
    exports += [("export", kind, "apps") for kind in ("const", "let", "var")]
    if any_shape:
        return any(_follows(words, export) for export in exports)
    shown = [*exports[2:], ("module", ".", "exports", ".", "apps", "=")]
    shown += [("module", ".", "exports", "=", "{", "apps", mark) for mark in (":", ",", "}")]
    shown += [("export", "default", "{", "apps", mark) for mark in (":", ",", "}")]
    return any(_follows(words, export) for export in shown)


def _follows(words: list[str], wanted: tuple[str, ...]) -> bool:
    first = wanted[0]
    return any(
        word == first and tuple(words[index : index + len(wanted)]) == wanted
        for index, word in enumerate(words)
    )
