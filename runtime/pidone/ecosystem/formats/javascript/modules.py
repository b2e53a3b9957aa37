"""Which file `require('x')` and `import 'x'` mean: Node's resolution, over the real file system."""

import json
import os
from typing import Any, Final

from pidone.record import Record

NODE_MODULES: Final = frozenset(
    [
        *("assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants"),
        *("crypto", "dgram", "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2"),
        *("https", "inspector", "module", "net", "os", "path", "perf_hooks", "process", "punycode"),
        *("querystring", "readline", "repl", "stream", "string_decoder", "sys", "timers", "tls"),
        *("trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"),
    ]
)
_SHIMMED_PACKAGES: Final = frozenset({"dotenv", "dotenv/config"})
_EXTENSIONS: Final = ("", ".js", ".json", ".cjs", ".mjs", ".ts")
_CONDITIONS: Final = ("node", "require", "default", "import")
_MAX_PACKAGE_JSON_BYTES: Final = 1 << 20


class Resolved(Record):
    """Where a specifier leads: `builtin` (name), `file` (path) or nowhere."""

    builtin: str | None = None
    file: str | None = None
    third_party: bool = False
    """Whether it names a package rather than a file of the project."""


def resolve(specifier: str, folder: str) -> Resolved:
    """Follow `specifier` from a module in `folder`."""
    plain = specifier.removeprefix("node:")
    if plain in _SHIMMED_PACKAGES or plain.split("/")[0] in NODE_MODULES or plain != specifier:
        return Resolved(builtin=plain)
    if specifier.startswith("file:"):
        from urllib.parse import unquote, urlsplit  # noqa: PLC0415 takes as long to import as all the rest

        specifier = unquote(urlsplit(specifier).path)
    if specifier.startswith(("/", "./", "../")) or specifier in (".", ".."):
        return Resolved(file=_file(os.path.join(folder, specifier)))
    return Resolved(file=_package(specifier, folder), third_party=True)


def _file(path: str) -> str | None:
    if not path.endswith("/"):
        for extension in _EXTENSIONS:
            if os.path.isfile(path + extension):
                return os.path.realpath(path + extension)
    if os.path.isdir(path):
        main = package_json(path).get("main")
        candidates = [os.path.join(path, main)] if isinstance(main, str) and main else []
        for candidate in (*candidates, os.path.join(path, "index")):
            for extension in (*_EXTENSIONS, "/index.js"):
                if os.path.isfile(candidate + extension):
                    return os.path.realpath(candidate + extension)
    return None


def _package(specifier: str, folder: str) -> str | None:
    """Look through the `node_modules` folders upwards."""
    parts = specifier.split("/")
    name_parts = 2 if specifier.startswith("@") else 1
    name, inner = "/".join(parts[:name_parts]), "/".join(parts[name_parts:])
    while True:
        root = os.path.join(folder, "node_modules", name)
        if os.path.isdir(root):
            exported = _exported(package_json(root).get("exports"), "./" + inner if inner else ".")
            if exported:
                return _file(os.path.join(root, exported))
            return _file(os.path.join(root, inner) if inner else root)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _exported(exports: Any, entry: str) -> str | None:
    """The plain forms of `exports`: a path, conditions, and entries without patterns."""
    if isinstance(exports, dict) and any(key.startswith(".") for key in exports):
        exports = exports.get(entry)
    elif entry != ".":
        return None
    while isinstance(exports, dict):
        exports = next((exports[condition] for condition in _CONDITIONS if condition in exports), None)
    return exports if isinstance(exports, str) else None


def package_json(folder: str) -> dict[str, Any]:
    """The package.json in `folder`; empty if there is none that can be read."""
    try:
        with open(os.path.join(folder, "package.json"), "rb") as file:
            found = json.loads(file.read(_MAX_PACKAGE_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
