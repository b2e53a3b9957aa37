"""Which language a file is in, and whether it is an ecosystem at all."""

import json
import os
import re
from pathlib import Path
from typing import Final

from pidone.ecosystem.formats.source import Source

JAVASCRIPT: Final = "javascript"
JSON: Final = "json"
YAML: Final = "yaml"
TOML: Final = "toml"

PROCFILE: Final = "procfile"

USUAL_NAMES: Final = (
    "ecosystem.toml", "ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs",
    "ecosystem.config.ts", "ecosystem.json", "ecosystem.yaml", "ecosystem.yml",
)  # fmt: skip
"""Of files that are found without being named."""
_BY_SUBSTRING: Final = (
    (".json", JSON),
    (".yml", YAML),
    (".yaml", YAML),
    (".config.js", JAVASCRIPT),
    (".config.cjs", JAVASCRIPT),
    (".config.mjs", JAVASCRIPT),
    (".config.ts", JAVASCRIPT),
    (".config.mts", JAVASCRIPT),
    (".config.cts", JAVASCRIPT),
)
"""PM2's rule, in its order: part of the name, so that `x.json5` and `x.config.js.bak` count."""
_JAVASCRIPT_SUFFIXES: Final = (".js", ".cjs", ".mjs")
_SUFFIXES: Final = (".toml", ".json", ".yml", ".yaml", ".js", ".cjs", ".mjs", ".ts", ".mts", ".cts", "")
"""Of files that count in a folder; a Procfile has none."""
_NAMED_LIKE_ONE: Final = frozenset({"ecosystem", "pm2"})
_MAX_SCAN_BYTES: Final = 64 * 1024
"""Larger JavaScript is a program (often a bundle); reading it costs start-up time."""
_TOML_START: Final = r"""(?m)^\s*(?:\[\[?[\w.\-"' ]+\]\]?\s*(?:\#.*)?$|[\w.\-"']+\s*=)"""
_EXPORTS: Final = r"(?m)\bmodule\.exports\s*=|\bexports\.\w+\s*=|^\s*export\s+(?:default|const|let|var)\s"


CONVERTED: Final = "`pidone init` makes an ecosystem.toml of what it says"
FOREIGN: Final = {
    "supervisord.conf": "is of supervisord",
    "Dockerfile": "builds an image",
    "compose.yaml": "is of docker compose",
    "compose.yml": "is of docker compose",
    "docker-compose.yml": "is of docker compose",
    "docker-compose.yaml": "is of docker compose",
}
"""Files that say what runs, in other programs' words."""


def by_name(path: Path) -> str | None:
    """The language that the file's name tells."""
    name = path.name
    if name.endswith(".toml"):
        return TOML
    if name.startswith("Procfile"):
        return PROCFILE
    for part, language in _BY_SUBSTRING:
        if part in name:
            return language
    return JAVASCRIPT if name.endswith(_JAVASCRIPT_SUFFIXES) else None


_FOREIGN_TEXT: Final = (
    ("[program", r"(?m)^\[program\b", "is of supervisord, whose file is supervisord.conf"),
    ("[supervisord", r"(?m)^\[supervisord\b", "is of supervisord, whose file is supervisord.conf"),
    ("[eventlistener", r"(?m)^\[eventlistener\b", "is of supervisord, whose file is supervisord.conf"),
    ("[Service]", r"(?m)^\[Service\]", "is a unit of systemd"),
    (
        "services:",
        r"(?m)^services:\s*$(?![\s\S]*^(apps|pm2):)",
        "is of docker compose, whose file is compose.yaml",
    ),
    ("FROM", r"\A(\s*#.*\n)*FROM\s+\S+", "builds an image, its usual name is Dockerfile"),
)
"""A pattern is compiled where the text holds what it begins with: few do."""


def foreign(source: Source) -> str | None:
    """What a text is that is another program's, by its look, and the way out."""
    if source.path and by_name(source.path) not in (None, YAML, TOML):
        return None
    text = source.text
    what = next((w for mark, pattern, w in _FOREIGN_TEXT if mark in text and re.search(pattern, text)), None)
    if what and "whose file" not in what and "Dockerfile" not in what:
        return f"{what}; an app is [[apps]] with a script"
    return what and f"{what}; {CONVERTED}"


def of(source: Source) -> str:
    """The language by name, or by the look of the text (standard input, other names)."""
    return (by_name(source.path) if source.path else None) or by_text(source.text)


def by_text(text: str) -> str:
    """A guess that is right for whole ecosystem files."""
    start = text.lstrip()
    if start.startswith(("{", "(")) or _is_json(start):
        return JSON
    if re.search(_EXPORTS, text):
        return JAVASCRIPT
    if start.startswith(("//", "/*")):
        return JSON
    first = next(
        (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), ""
    )
    return TOML if re.match(_TOML_START, first) else YAML


def _is_json(text: str) -> bool:
    if not text.startswith("["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return bool(re.match(r"\[\s*[{\[]\s*[\w'\"/]", text)) and not re.match(_TOML_START, text)
    return True


def is_ecosystem_file(path: Path) -> bool:
    """Whether `pidone PATH` shall read the file as an ecosystem rather than run it.

    Yes for `-`, for `*.toml`, and for PM2's names (`.json`, `.yml`, `.yaml`, `.config.js`, `.config.cjs`,
    `.config.mjs` anywhere in the file's name). Any other `.js`, `.cjs` or `.mjs` file is a program unless its
    text, without being run, plainly shows a configuration: it exports `apps` (`module.exports = { apps`,
    `exports.apps =`, `export const apps`, `export default { apps`), has a `script:` or `apps:` key, and
    neither listens nor uses PM2's API. For a file named after `ecosystem` or `pm2` (`ecosystem.js`,
    `pm2.prod.cjs`) any kind of export together with such a key is enough.
    """
    name = path.name
    if str(path) == "-" or name.endswith(".toml") or any(part in name for part, _ in _BY_SUBSTRING):
        return True
    if name in FOREIGN or (name.startswith("Procfile") and os.path.isfile(path)):
        return True
    if os.path.isdir(path) and not any(os.path.exists(path / main) for main in ("package.json", "index.js")):
        return _has_any(path)
    if not name.endswith(_JAVASCRIPT_SUFFIXES):
        return False
    return _exports_apps(path, any_shape=bool(_NAMED_LIKE_ONE & set(name.lower().split(".")[:-1])))


def ecosystem_files(folder: Path) -> list[Path]:
    """Those of a folder that are one, in the order of their names. Raises OSError.

    Hidden files do not count, nor copies (`x.toml.bak`), nor what is another program's (`Dockerfile`).
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES
        and not path.name.startswith(".")
        and path.name not in FOREIGN
        and os.path.isfile(path)
        and is_ecosystem_file(path)
    ]


def _has_any(folder: Path) -> bool:
    try:
        return bool(ecosystem_files(folder))
    except OSError:
        return False


def _exports_apps(path: Path, *, any_shape: bool) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            data = file.read(_MAX_SCAN_BYTES + 1)
    except OSError:
        return False
    if len(data) > _MAX_SCAN_BYTES or b"export" not in data or not (any_shape or b"apps" in data):
        return False
    text = data.decode("utf-8", "replace")
    from pidone.ecosystem.formats.javascript.tokens import tokens  # noqa: PLC0415 few files get here

    words = [token.text.strip("\"'") for token in tokens(text)]
    program = [(".", "listen", "("), ("require", "(", "pm2"), ("from", "pm2")]
    if any(_follows(words, sign) for sign in program):
        return False
    if not any(_follows(words, (key, ":")) for key in ("script", "apps")):
        return False
    exported = [
        ("exports", ".", "apps", "="),
        *(("export", kind, "apps") for kind in ("const", "let", "var")),
    ]
    for export in (("module", ".", "exports", "="), ("export", "default")):
        if any_shape:
            exported.append(export)
        exported += [(*export, "{", "apps", mark) for mark in (":", ",", "}")]
    return any(_follows(words, export) for export in exported)


def _follows(words: list[str], wanted: tuple[str, ...]) -> bool:
    first = wanted[0]
    return any(
        word == first and tuple(words[index : index + len(wanted)]) == wanted
        for index, word in enumerate(words)
    )
