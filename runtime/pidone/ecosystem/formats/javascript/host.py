"""What the JavaScript shim asks of the system: files, modules, facts. All of it reads, nothing writes.

Every answer is a JSON text and nothing is ever raised: an exception that JavaScript catches would surface as
a SystemError in the engine's binding.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import Any, Final

from pidone.descriptors import close
from pidone.ecosystem.formats.javascript.modules import package_json, resolve
from pidone.ecosystem.formats.source import MAX_SOURCE_BYTES
from pidone.errors import ConfigError
from pidone.record import Record

MAX_READ_BYTES: Final = 4 << 20
_MAX_ENTRIES: Final = 10_000
_DEFAULT_PORTS: Final = {"http:": 80, "https:": 443, "ftp:": 21, "ws:": 80, "wss:": 443}

_SHIM: Final = os.path.join(os.path.dirname(__file__), "shim")
_MODULE_WORDS: Final = re.compile("import|export[^s]")
"""Without them a text is no module and needs no rewriting; `module.exports` alone is no reason to look."""
_CJS: Final = "(function (exports, require, module, __filename, __dirname, $imprt) {"
_ESM: Final = (
    "(function (exports, require, module, __filename, __dirname, $imprt, $importmeta, $modules, $export,"
    " $exportAll, $ns) { 'use strict'; return (%s() => {"
)

_ENCODINGS: Final = {
    "utf8": "utf-8", "utf-8": "utf-8", "ascii": "latin-1", "latin1": "latin-1", "binary": "latin-1",
    "utf16le": "utf-16-le", "utf-16le": "utf-16-le", "ucs2": "utf-16-le",
}  # fmt: skip


def shim_text(*parts: str) -> str:
    """The named files of the shim, one after the other."""
    texts = []
    for part in parts:
        with open(f"{_SHIM}/{part}.js", encoding="utf-8") as file:
            texts.append(file.read())
    return "".join(texts)


class SourcePosition(Record):
    """A place in a source file."""

    file: str
    line: int
    column: int | None
    text: str
    """Of the whole file."""


class _File(Record):
    """A file that was evaluated."""

    first_line: int
    """Its line 1 in the engine's numbers."""
    path: str
    text: str
    shift: int | None
    """How many columns its first line was moved to the right; None if that varies."""


class Host:
    """Answers the shim; remembers which source lines belong to which file."""

    def __init__(self, first_line: int, env: Mapping[str, str]) -> None:
        """The engine names no files in its stacks, so every file gets lines of its own from `first_line`."""
        self._env = env
        self._next_line = first_line
        self._files: list[_File] = []
        self.third_party: str | None = None
        """The first package that was asked for, found or not."""
        self.lacking: str | None = None
        """The first thing that the file did and only Node can do, as `uses Intl`."""
        self.program: str | None = None
        """What is known to evaluate it, where not every Node can."""
        self._given: dict[str, str] = {}

    def give(self, path: str, text: str) -> None:
        """Use `text` for the file `path` (it was already read, or came from standard input)."""
        self._given[path] = text

    def answer(self, operation: str, arguments: str) -> str:
        """Do what the shim asks."""
        try:
            answer = self._operations[operation](self, *json.loads(arguments))
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "EIO")
            answer = {
                "errno": error.errno or errno.EIO,
                "code": code,
                "message": (error.strerror or str(error)).lower(),
            }
        except Exception as error:  # noqa: BLE001 see the module's docstring
            answer = {"errno": errno.EINVAL, "code": "EINVAL", "message": str(error), "error": str(error)}
        return json.dumps(answer)

    def place(self, line: int, column: int) -> SourcePosition | None:
        """Where a place in the engine is in a file; None if it is the shim's."""
        for file in reversed(self._files):
            if line > file.first_line:
                return SourcePosition(file.path, line - file.first_line + 1, column, file.text)
            if line == file.first_line:
                own = column - file.shift if file.shift is not None else 0
                return SourcePosition(file.path, 1, own if own > 0 else None, file.text)
        return None

    def at_own_lines(self, code: str, path: str, text: str, *, shift: int | None) -> str:
        """`code` moved down to lines that no other file has; `shift` as in `_File`."""
        self._files.append(_File(self._next_line, path, text, shift))
        padded = "\n" * (self._next_line - 1) + code
        self._next_line += code.count("\n") + 1
        return padded

    def _load(self, path: str) -> Mapping[str, Any]:
        text = self._given.get(path)
        if text is None:
            data = _read_regular(path, MAX_SOURCE_BYTES)
            text = data.decode("utf-8-sig", "replace")
        if path.endswith((".ts", ".mts", ".cts")):
            from pidone.ecosystem.formats.javascript import typescript  # noqa: PLC0415 hardly ever needed

            try:
                text = typescript.without_types(text, path, self._env)
            except ConfigError as error:
                if isinstance(error, typescript.NoStripperError):
                    self.program = typescript.evaluator(self._env)
                    self.lacking = "is TypeScript" if self.program else self.lacking
                return {"error": str(error)}
        if path.endswith(".json") and path not in self._given:
            return {"kind": "json", "text": text}
        if path.endswith(".node"):
            return {"error": f"{path} is a native module, which cannot be loaded here"}
        is_module = path.endswith((".mjs", ".mts")) or (
            not path.endswith((".cjs", ".cts"))
            and package_json(_nearest_package(path)).get("type") == "module"
        )
        if not (is_module or _MODULE_WORDS.search(text)):
            return self._script(path, _without_hashbang(text))

        from pidone.ecosystem.formats.javascript.esm import rewrite  # noqa: PLC0415 19 of 20 files are plain scripts

        rewritten = rewrite(_without_hashbang(text))
        if not (is_module or rewritten.is_module):
            return self._script(path, rewritten.code)
        code = _ESM % ("async " if rewritten.awaits else "") + rewritten.code + "\n})()})"
        return {
            "code": self.at_own_lines(code, path, text, shift=None),
            "isModule": True,
            "awaits": rewritten.awaits,
            "imports": [{"specifier": one.specifier, "names": one.names} for one in rewritten.imports],
        }

    def _script(self, path: str, code: str) -> Mapping[str, Any]:
        return {
            "code": self.at_own_lines(_CJS + code + "\n})", path, code, shift=len(_CJS)),
            "isModule": False,
        }

    def _resolve(self, specifier: str, folder: str) -> Mapping[str, Any]:
        found = resolve(specifier, folder)
        if found.third_party:
            self.third_party = self.third_party or specifier
        return {"builtin": found.builtin, "file": found.file, "thirdParty": found.third_party}

    def _lacks(self, what: str) -> Mapping[str, Any]:
        self.lacking = self.lacking or f"uses {what}"
        return {}

    def _url(self, address: str, base: str | None) -> Mapping[str, Any]:
        from urllib.parse import urljoin, urlsplit  # noqa: PLC0415 takes as long to import as all the rest

        parts = urlsplit(urljoin(base, address) if base is not None else address)
        if not parts.scheme or not (parts.netloc or parts.path):
            return {"invalid": True}
        protocol = parts.scheme + ":"
        port = str(parts.port) if parts.port and parts.port != _DEFAULT_PORTS.get(protocol) else ""
        name = parts.hostname or ""
        name = f"[{name}]" if ":" in name else name
        special = protocol in _DEFAULT_PORTS or protocol == "file:"
        hostport = name + (f":{port}" if port else "")
        return {
            "protocol": protocol,
            "username": parts.username or "",
            "password": parts.password or "",
            "hostname": name,
            "port": port,
            "host": hostport,
            "pathname": parts.path or ("/" if special else ""),
            "search": f"?{parts.query}" if parts.query else "",
            "hash": f"#{parts.fragment}" if parts.fragment else "",
            "origin": f"{protocol}//{hostport}" if special and protocol != "file:" else "null",
            "slashes": special or bool(parts.netloc),
        }

    _operations: Mapping[str, Callable[..., Mapping[str, Any] | str]] = {
        "load": _load,
        "part": lambda _, name: shim_text(name),
        "resolve": _resolve,
        "lacks": _lacks,
        "url": _url,
        "read": lambda _, path: {"bytes": _read_regular(path, MAX_READ_BYTES).decode("latin-1")},
        "readdir": lambda _, path, deep: {"entries": _entries(path, deep=deep)},
        "stat": lambda _, path: {"stats": _stats(os.stat(path))},
        "lstat": lambda _, path: {"stats": _stats(os.lstat(path))},
        "realpath": lambda _, path: {"path": os.path.realpath(path, strict=True)},
        "readlink": lambda _, path: {"path": os.readlink(path)},
        "cwd": lambda _: {"path": os.getcwd()},
        "chdir": lambda _, path: _chdir(path),
        "system": lambda _: _system(),
        "interfaces": lambda _: _interfaces(),
        "encode": lambda _, text, encoding: {"bytes": _encode(text, encoding).decode("latin-1")},
        "decode": lambda _, latin1, encoding: {"text": _decode(latin1.encode("latin-1"), encoding)},
        "random_bytes": lambda _, count: {"bytes": os.urandom(min(int(count), 65536)).decode("latin-1")},
        "random_uuid": lambda _: {"text": _uuid()},
        "hash": lambda _, algorithm, latin1: {
            "bytes": _hash(algorithm, latin1.encode("latin-1")).decode("latin-1")
        },
    }


def _without_hashbang(text: str) -> str:
    return "//" + text[2:] if text.startswith("#!") else text


def _chdir(path: str) -> Mapping[str, Any]:
    os.chdir(path)
    return {}


def _nearest_package(path: str) -> str:
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder) and not os.path.isfile(os.path.join(folder, "package.json")):
        folder = os.path.dirname(folder)
    return folder


def _read_regular(path: str, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "illegal operation on a directory")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
        if data is None:  # it only looks like a file, as /proc/kmsg does, and has nothing yet
            raise BlockingIOError(errno.EAGAIN, "resource temporarily unavailable")
    finally:
        close(descriptor)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB")
    return data


_KINDS: Final = (
    (stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"), (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "block"), (stat.S_ISCHR, "character"),
)  # fmt: skip


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "unknown")


def _stats(status: os.stat_result) -> Mapping[str, Any]:
    names = ("dev", "ino", "mode", "nlink", "uid", "gid", "size")
    numbers = {name: getattr(status, f"st_{name}") for name in names}
    numbers |= {f"{name}Ms": getattr(status, f"st_{name}_ns") / 1e6 for name in ("atime", "mtime", "ctime")}
    return {"kind": _kind(status.st_mode), "numbers": numbers}


def _entries(folder: str, *, deep: bool, prefix: str = "") -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []
    with os.scandir(folder) as scan:
        for entry in sorted(scan, key=lambda one: one.name):
            kind = _kind(entry.stat(follow_symlinks=False).st_mode)
            found.append({"name": prefix + entry.name, "kind": kind})
            if deep and kind == "directory":
                found += _entries(entry.path, deep=True, prefix=f"{prefix}{entry.name}/")
            if len(found) > _MAX_ENTRIES:
                raise OSError(errno.E2BIG, f"more than {_MAX_ENTRIES} entries")
    return found


def _system() -> Mapping[str, Any]:
    import pwd  # noqa: PLC0415 hardly any configuration asks

    name = os.uname()
    memory = _memory()
    names: dict[str, str | None]
    try:
        user = pwd.getpwuid(os.getuid())
        names = {"username": user.pw_name, "homedir": user.pw_dir, "shell": user.pw_shell}
    except KeyError:  # a random uid, as on OpenShift
        names = {"username": str(os.getuid()), "homedir": "/", "shell": None}
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    return {
        "hostname": name.nodename, "release": name.release, "version": name.version, "machine": name.machine,
        "totalmem": memory["MemTotal"], "freemem": memory["MemAvailable"], "uptime": uptime,
        "loadavg": os.getloadavg(), "user": {"uid": os.getuid(), "gid": os.getgid(), **names},
    }  # fmt: skip


def _interfaces() -> Mapping[str, Any]:
    from pidone.ecosystem.formats.javascript.interfaces import interfaces  # noqa: PLC0415 hardly any file asks

    return interfaces()


def _memory() -> Mapping[str, int]:
    with open("/proc/meminfo", encoding="ascii") as file:  # proc(5): values in kB
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields.get(name, "0").split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")}


def _encode(text: str, encoding: str) -> bytes:
    if encoding == "hex":
        return bytes.fromhex(text)
    if encoding.startswith("base64"):
        import base64  # noqa: PLC0415 hardly any configuration asks

        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "==")
    return text.encode(_ENCODINGS[encoding.lower()], "replace")


def _decode(data: bytes, encoding: str) -> str:
    if encoding == "hex":
        return data.hex()
    if encoding.startswith("base64"):
        import base64  # noqa: PLC0415 hardly any configuration asks

        if encoding == "base64url":
            return base64.urlsafe_b64encode(data).decode().rstrip("=")
        return base64.b64encode(data).decode()
    return data.decode(_ENCODINGS[encoding.lower()], "replace")


def _uuid() -> str:
    import uuid  # noqa: PLC0415 hardly any configuration asks

    return str(uuid.uuid4())


def _hash(algorithm: str, data: bytes) -> bytes:
    import hashlib  # noqa: PLC0415 hardly any configuration asks

    return hashlib.new(algorithm, data, usedforsecurity=False).digest()
