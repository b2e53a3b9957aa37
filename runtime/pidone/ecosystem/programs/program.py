"""Which program a `script` means: the command line, as PM2 would choose it without its mistakes.

Unlike PM2 a shebang is honoured, a shell is only used where the text needs one, and arguments survive it.
"""

import errno
import fnmatch
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pidone.descriptors import close
from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.programs import npm, npm_variables, serving
from pidone.ecosystem.values import split_words

_TYPESCRIPT: Final = ("bun", "tsx", "ts-node", "deno")
_JAVASCRIPT: Final = ("node", "bun", "deno")
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {"deno": ("run", "--allow-all")}
"""Of an interpreter that nobody has named: with them it is as the others are."""
_BY_EXTENSION: Final[Mapping[str, tuple[str, ...]]] = {
    ".js": _JAVASCRIPT,
    ".cjs": _JAVASCRIPT,
    ".mjs": _JAVASCRIPT,
    ".ts": _TYPESCRIPT,
    ".mts": _TYPESCRIPT,
    ".cts": _TYPESCRIPT,
    ".tsx": _TYPESCRIPT,
    ".py": ("python3", "python"),
    ".rb": ("ruby",),
    ".php": ("php",),
    ".pl": ("perl",),
    ".sh": ("bash", "sh"),
    ".coffee": ("coffee",),
    ".ls": ("lsc",),
}
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_LOCAL_FOLDERS: Final = (".venv/bin", "venv/bin", "node_modules/.bin", "vendor/bin", "bin")
_NODE_LIKE: Final = frozenset({"node", "nodejs", "bun"})
_PYTHON: Final = r"(python|pypy)[0-9.]*$"
_UNBUFFERED: Final = MappingProxyType({"PYTHONUNBUFFERED": "1"})
_SHEBANG_BYTES: Final = 256  # BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h
_SHELL_SYNTAX: Final = r"[;&|<>()`$*?\[\]{}~#!\n\\\"']"
_OTHER_PATTERN: Final = r"\[\^|\[\[[:.=]"
"""What fnmatch(3) knows and Python's does not."""
_ASSIGNMENT: Final = r"[A-Za-z_][A-Za-z0-9_]*="
_SHELL_WORDS: Final = frozenset(
    (
        "cd", "exec", "eval", "export", "set", "unset", "source", ".", ":", "if", "then", "for",
        "while", "until", "case", "ulimit", "umask", "trap", "wait", "read",
    )
)  # fmt: skip


class ProgramRequest(NamedTuple):
    """What an app says about its program."""

    script: str
    cwd: Path
    env: Mapping[str, str]
    """What the app will see, for PATH and VIRTUAL_ENV."""
    args: tuple[str, ...] = ()
    interpreter: str | None = None
    interpreter_args: tuple[str, ...] = ()
    cluster: bool = False
    """Whether the app asks for cluster mode, so that a Node program must not hide behind its launcher."""
    must_exist: bool = True


class Program(NamedTuple):
    """What will be executed."""

    argv: tuple[str, ...]
    interpreter: str = "none"
    env: Mapping[str, str] = NO_VARIABLES
    """Variables that the way of starting it implies."""
    env_defaults: Mapping[str, str] = NO_VARIABLES
    """Variables it gets where nobody has said anything else."""
    defaults: Mapping[str, Any] = NO_VARIABLES
    """Keys of the app whose defaults are others for this program."""

    is_python: bool = False
    """Whether Python runs it, by its interpreter or its first line."""

    @property
    def is_node(self) -> bool:
        """Whether Node's cluster protocol is to be expected."""
        return os.path.basename(self.interpreter) in _NODE_LIKE  # a word, not a path


class Missing(Exception):  # noqa: N818  # becomes an error of the file
    """A program cannot be run; `key` is the one to blame."""

    def __init__(self, key: str, value: str, why: str) -> None:
        super().__init__(why)
        self.key, self.value, self.why = key, value, why


def resolve(request: ProgramRequest, scope: Scope) -> Program | None:
    """The program of an app, or None after its problem has been reported."""
    try:
        program = _resolve(request, scope)
        if request.interpreter_args and program.interpreter == "none":
            scope.warn("interpreter_args: dropped, as no interpreter runs this script", "interpreter_args")
        is_python = not program.defaults and _is_python(program, request)  # not our own file server
        return program._replace(env_defaults=_UNBUFFERED, is_python=True) if is_python else program
    except Missing as missing:
        scope.error(f"{missing.key} = {shown(missing.value)}: {missing.why}", missing.key)
        return None


def _resolve(request: ProgramRequest, scope: Scope) -> Program:
    if not request.script.strip():
        raise Missing("script", request.script, "expected a program")
    path = _script_path(request)
    if path is None and _is_file_server(request):
        found = serving.server(request.args, request.env, request.cwd, scope, must_exist=request.must_exist)
        return Program(argv=found.argv, env=found.env, defaults=found.defaults)
    launcher = _package_script(request, scope) if path is None else None
    if launcher:
        return launcher
    if path is None and any(char.isspace() for char in request.script):
        words = plain_words(request.script, request.cwd)
        return _command_line(words, request, scope) if words else _through_shell(request, scope)
    return _script(request, path, scope)


def _is_python(program: Program, request: ProgramRequest) -> bool:
    """Whether its prints would wait in a buffer: Python, or a command that Python runs (gunicorn ...)."""
    if re.match(_PYTHON, os.path.basename(program.interpreter)):
        return True
    command = program.argv[0]
    if re.match(_PYTHON, os.path.basename(command)):
        return True
    shebang = _shebang(_head(command, request._replace(must_exist=False)))
    return bool(shebang) and bool(re.match(_PYTHON, os.path.basename(shebang[0])))


def _script_path(request: ProgramRequest) -> Path | None:
    """The script as a file, if it is one."""
    path = request.cwd / _home(request.script, request)
    return Path(os.path.normpath(path)) if os.path.exists(path) else None


def _home(text: str, request: ProgramRequest) -> str:
    return request.env.get("HOME", "/") + text[1:] if text == "~" or text.startswith("~/") else text


def _is_file_server(request: ProgramRequest) -> bool:
    """Whether `serve` is PM2's own, and not the program from npm of that name."""
    if request.script != serving.SCRIPT:
        return False
    asked_for = any(name.startswith(serving.VARIABLES) for name in request.env)
    return asked_for or _on_path(serving.SCRIPT, request) is None


# npm and shells ---------------------------------------------------------------------------------------------


def _package_script(request: ProgramRequest, scope: Scope) -> Program | None:
    """`npm start` and its like, run as what package.json says where that is a plain command."""
    if request.interpreter not in (None, "none", "bash", "sh"):
        return None
    words = plain_words(request.script)
    if not words or words[0] not in npm.RUNNERS:
        return None
    found = npm.direct_command((*words, *request.args), request.cwd)
    if isinstance(found, npm.Indirect):
        if found.why:
            scope.notice(
                f"runs through {words[0]}, which keeps signals and readiness to itself: {found.why}", "script"
            )
        return None
    runner, node = _on_path(words[0], request) or Path(words[0]), _on_path("node", request)
    path_variable = f"{npm_variables.bin_folders(request.cwd)}:{request.env.get('PATH', os.defpath)}"
    given = npm_variables.variables(runner, node, found.package, request.cwd, request.env)
    env = {**given, **found.env, "PATH": path_variable}
    inner = request._replace(
        script=found.words[0], args=found.words[1:], interpreter=None, env={**request.env, **env}
    )
    path = _script_path(inner) if "/" in inner.script else _on_path(inner.script, inner)
    if path is None:
        return None
    scope.notice(
        f"{' '.join(words + request.args)} runs {shown(found.text)} directly, without {words[0]}", "script"
    )
    if path.name in _NODE_LIKE:
        return Program((str(path), *request.interpreter_args, *inner.args), path.name, env)
    # A bin of node_modules is a Node script: running it by its shebang keeps the IPC channel.
    return _script(inner._replace(cluster=True), path, scope)._replace(env=env)


def plain_words(text: str, folder: Path | None = None) -> tuple[str, ...]:
    """The words of a command line that a shell would only split; empty if it would do more.

    A shell passes a pattern to which no file belongs on as it is (`http://*:3000`, `[::]:3000`); `folder` is
    where it would look for them.
    """
    unquoted = re.sub("['\"]", "", text)  # quotes we understand ourselves
    words = unquoted.split()
    if not words or "\n" in text or words[0] in _SHELL_WORDS or re.match(_ASSIGNMENT, words[0]):
        return ()
    odd = [index for index, word in enumerate(words) if re.search(_SHELL_SYNTAX, word)]
    if odd and (folder is None or 0 in odd or any(_means_files(words[index], folder) for index in odd)):
        return ()
    return split_words(text)


def _means_files(word: str, folder: Path) -> bool:
    """Whether a shell would put names of files in the place of a word; also, whether it has other syntax."""
    if re.search(_SHELL_SYNTAX, re.sub(r"[*?\[\]]", "", word)) or re.search(_OTHER_PATTERN, word):
        return True
    parts = word.split("/")
    at = next((index for index, part in enumerate(parts) if re.search(r"[*?\[]", part)), None)
    if at is None:
        return False
    try:
        names = os.listdir(folder / "/".join((*parts[:at], "")))
    except OSError:
        return False
    return any(fnmatch.fnmatchcase(name, parts[at]) for name in names)


def _through_shell(request: ProgramRequest, scope: Scope) -> Program:
    shell = _on_path("bash", request) or _on_path("sh", request)  # as PM2
    if shell is None and request.must_exist:
        raise Missing("script", request.script, "needs a shell, and there is no bash or sh to run it")
    rest = ("sh", *request.args) if request.args else ()
    scope.notice(f"script = {shown(request.script)} runs through the shell, whose syntax it has", "script")
    interpreter, text = _interpreted_text(request, scope)
    return Program((str(shell or "sh"), "-c", text + (' "$@"' if rest else ""), *rest), interpreter)


def _interpreted_text(request: ProgramRequest, scope: Scope) -> tuple[str, str]:
    """A named interpreter and the text for the shell: it runs the one program there is, if that is a file."""
    name, text = request.interpreter, request.script
    if name in (None, "none", "bash", "sh"):
        return "none", text
    first = text.split()[0]
    is_file = plain_words(first) and _script_path(request._replace(script=first)) is not None
    if is_file and not re.search(r"[;&|()`\n]", text):
        words = (*_named_interpreter(name, request, scope), *request.interpreter_args)
        return name, f"exec {shlex.join(words)} {text}"
    scope.warn(
        f"interpreter = {shown(name)}: dropped, as the shell runs this script; write it into the text",
        "interpreter",
    )
    return "none", text


def _command_line(words: tuple[str, ...], request: ProgramRequest, scope: Scope) -> Program:
    """A text that needs no shell is split and run as it is: signals, readiness and the channel arrive."""
    inner = request._replace(script=words[0], args=(*words[1:], *request.args))
    path = _script_path(inner) if "/" in words[0] else _on_path(words[0], inner)
    if path is None and request.must_exist:
        raise Missing("script", request.script, f"{shown(words[0])} is {_why_missing(inner)}")
    if path is not None and path.name in _NODE_LIKE:
        return Program((str(path), *request.interpreter_args, *inner.args), path.name)
    return _script(inner, path if "/" in words[0] else None, scope)


# Files and commands -----------------------------------------------------------------------------------------


def _script(request: ProgramRequest, path: Path | None, scope: Scope) -> Program:
    is_command = path is None and "/" not in request.script
    if is_command:
        path = _on_path(request.script, request)
    if path is None:
        if request.must_exist:
            raise Missing("script", request.script, _why_missing(request))
        path = Path(request.script)
        is_command = is_command and path.suffix.lower() not in _BY_EXTENSION
    if request.interpreter == "none" or (is_command and request.interpreter is None and not request.cluster):
        return Program(argv=(_executable(path, request), *request.args))
    if request.interpreter is not None:
        found = _named_interpreter(request.interpreter, request, scope)
        return _interpreted(found, request.interpreter, path, request)
    if os.path.isdir(path) and request.must_exist:
        if not any(os.path.exists(path / entry) for entry in ("package.json", "index.js")):
            raise Missing("script", request.script, "is a folder without package.json or index.js")
        return _interpreted(_first_of(("node", "bun"), request, path), "node", path, request)
    return _by_content(request, path, scope)


def _interpreted(found: tuple[str, ...], name: str, path: Path, request: ProgramRequest) -> Program:
    return Program(
        argv=(*found, *request.interpreter_args, str(path), *request.args),
        interpreter=name,
    )


def _by_content(request: ProgramRequest, path: Path, scope: Scope) -> Program:
    """A script without a named interpreter: its shebang, then its extension, then what kind of file it is."""
    head = _head(path, request)
    shebang = _shebang(head)
    candidates = _BY_EXTENSION.get(path.suffix.lower())
    if shebang:
        found = _on_path(shebang[0], request)
        if found:
            name = os.path.basename(shebang[0])  # a word, not a path
            return _interpreted((str(found), *shebang[1:]), name, path, request)
        if not candidates and request.must_exist:
            raise Missing(
                "script", request.script, f"its first line asks for {shebang[0]}, which does not exist"
            )
    if candidates == _TYPESCRIPT and (native := _typescript_by_node(request, path)):
        return _interpreted(native, "node", path, request)
    if candidates:
        words = _first_of(candidates, request, path)
        name = os.path.basename(words[0])  # a word, not a path
        if shebang:
            scope.notice(
                f"{shown(shebang[0])} of its first line does not exist; {words[0]} runs it", "script"
            )
        return _interpreted(words, name, path, request)
    if b"\0" in head or not head:
        return Program(argv=(_executable(path, request), *request.args))
    # PM2's choice for text without extension and shebang (bin/www).
    node = _first_of(("node", "bun"), request, path)
    return _interpreted(node, "node", path, request)


def _head(path: Path | str, request: ProgramRequest) -> bytes:
    """Its first bytes. A file object would take three times as long, and each app has one or two to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, _SHEBANG_BYTES)
        finally:
            close(descriptor)
    except OSError as error:
        if not request.must_exist or (isinstance(error, PermissionError) and os.access(path, os.X_OK)):
            return b""  # a binary may be executable without being readable
        raise Missing("script", request.script, f"cannot be read: {error.strerror}") from None


def _shebang(head: bytes) -> tuple[str, ...]:
    """The words of a `#!` line; `env` and its `-S` are taken away."""
    if not head.startswith(b"#!"):
        return ()
    words = head[2:].partition(b"\n")[0].decode(errors="surrogateescape").split()
    if words and words[0].endswith("/env"):
        words = words[2:] if words[1:2] == ["-S"] else words[1:]
        if words and (words[0].startswith("-") or re.match(_ASSIGNMENT, words[0])):
            return ()
    return tuple(words)


def _named_interpreter(name: str, request: ProgramRequest, scope: Scope) -> tuple[str, ...]:
    base, at, version = name.rpartition("@")
    if at and "/" not in version and base:
        scope.warn(
            f"interpreter = {shown(name)}: no version is installed for it; the {base} found is used",
            "interpreter",
        )
        name = base
    found = _on_path(_home(name, request), request)
    if found:
        return (str(found),)
    if "/" not in name and (local := _local(name, request)):
        return (str(local),)
    if request.must_exist:
        raise Missing(
            "interpreter",
            name,
            _why_not_executable(request.cwd / name) if "/" in name else "not found on PATH",
        )
    return (name,)


def _first_of(names: tuple[str, ...], request: ProgramRequest, path: Path) -> tuple[str, ...]:
    for name in names:
        if found := _on_path(name, request) or (_local(name, request) if names == _TYPESCRIPT else None):
            return (str(found), *_ARGUMENTS.get(name, ()))
    if request.must_exist:
        also = " (or Node from 22.6 on)" if names == _TYPESCRIPT and path.suffix != ".tsx" else ""
        raise Missing("script", request.script, f"needs {' or '.join(names)}{also}, which is not on PATH")
    return (names[0],)


def _typescript_by_node(request: ProgramRequest, path: Path) -> tuple[str, ...]:
    """The image's Node with what it needs for TypeScript, where nothing is there that is made for it."""
    made_for_it = (name for name in _TYPESCRIPT if name != "deno")  # which has no IPC: the last choice
    if any(_on_path(name, request) or _local(name, request) for name in made_for_it):
        return ()
    node = _on_path("node", request)
    if node is None or not request.must_exist or path.suffix == ".tsx":
        return ()
    from pidone.ecosystem.programs.node import typescript_flags  # noqa: PLC0415  # hardly ever needed

    flags = typescript_flags(node)
    return () if flags is None else (str(node), *flags)


def _local(name: str, request: ProgramRequest) -> Path | None:
    path = request.cwd / "node_modules/.bin" / name
    return path if os.access(path, os.X_OK) else None


def _on_path(name: str, request: ProgramRequest) -> Path | None:
    """The executable file of a name or path, as execvp(3) would find it, the active virtualenv first."""
    cwd = str(request.cwd)
    if "/" in name:
        path = os.path.normpath(os.path.join(cwd, name))
        return Path(path) if _is_executable(path) else None
    folders = request.env.get("PATH", os.defpath).split(":")
    if virtualenv := request.env.get("VIRTUAL_ENV"):
        folders.insert(0, f"{virtualenv}/bin")
    for folder in folders:
        # An empty entry is the working directory, as in the shell.
        path = os.path.join(cwd, folder, name)
        if _is_executable(path):
            return Path(path)
    return None


def _is_executable(path: str) -> bool:
    try:
        return os.path.isfile(path) and os.access(path, os.X_OK)
    except ValueError:  # not a path at all
        return False


def _executable(path: Path, request: ProgramRequest) -> str:
    if request.must_exist and (os.path.isdir(path) or not os.access(path, os.X_OK)):
        raise Missing("script", request.script, _why_not_executable(path))
    return str(path)


def _why_not_executable(path: Path) -> str:
    if os.path.isdir(path):
        return "is a folder"
    if not os.path.exists(path):
        return "not reachable (EACCES)" if _is_out_of_reach(path) else f"not found ({path})"
    return "is not executable (EACCES); chmod +x it or name its interpreter"


def _is_out_of_reach(path: Path) -> bool:
    """Whether it lies in a folder that may not be entered."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.EACCES
    except ValueError:  # not a path at all
        pass
    return False


def _why_missing(request: ProgramRequest) -> str:
    where = f"not found in {request.cwd}"
    if "/" in request.script:
        path = request.cwd / _home(request.script, request)
        return "not reachable (EACCES)" if _is_out_of_reach(path) else where
    local = (f"{folder}/{request.script}" for folder in _LOCAL_FOLDERS)
    hint = next((f"; there is ./{path}" for path in local if os.access(request.cwd / path, os.X_OK)), "")
    return f"{where} and no command of that name is on PATH{hint}"
