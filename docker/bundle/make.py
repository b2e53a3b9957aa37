"""Makes the self-contained folder: this interpreter, a virtual environment's packages, and all libraries.

    python3 make.py VENV FOLDER

FOLDER can then be copied anywhere, into any image: it holds its own dynamic loader and libc. What is in it:

    bin/          the launcher and its names: all that belongs on a PATH
    libexec/      python3, the launcher as an ordinary interpreter: what pidone starts its own helpers with
    lib/          loader, libraries, interpreter
    lib/python3.X the standard library and the packages, in one folder: nothing has to be told where they are
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from py_compile import PycInvalidationMode

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

UNUSED = (
    "__pycache__",
    "_osx_support.py",
    "_pydecimal.py",  # stands in for an extension that is there, as do these two
    "_pydatetime.py",
    "_pyio.py",
    "_pyrepl",
    "bdb.py",
    "cProfile.py",
    "cmd.py",
    "code.py",
    "config-*",
    "curses",
    "dbm",
    "dist-packages",
    "doctest.py",
    "ensurepip",
    "ftplib.py",
    "idlelib",
    "imaplib.py",
    "lib2to3",
    "mailbox.py",
    "modulefinder.py",
    "optparse.py",
    "pdb.py",
    "pickletools.py",
    "plistlib.py",
    "poplib.py",
    "proactor_events.py",  # asyncio for Windows
    "profile.py",
    "pstats.py",
    "pyclbr.py",
    "pydoc.py",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",  # the distribution's, often a link out of the folder
    "smtplib.py",
    "sqlite3",
    "symtable.py",
    "tabnanny.py",
    "test",
    "tests",
    "timeit.py",
    "tkinter",
    "trace.py",
    "turtle.py",
    "turtledemo",
    "unittest",
    "venv",
    "wave.py",
    "webbrowser.py",
    "windows_events.py",
    "windows_utils.py",
    "wsgiref",
    "xmlrpc",
    "zipapp.py",
)
"""Parts of the standard library that neither pidone nor its dependencies import."""

UNUSED_BELOW = {
    "encodings": re.compile(r"(?!aliases|ascii|charmap|idna|latin_1|punycode|raw_|unicode_|utf_|__init__)"),
    "xml": re.compile(r"dom|sax"),
    "ctypes": re.compile(r"_aix|macholib|wintypes"),
}
"""The same within these packages. Text is always UTF-8 here: the launcher says so to the interpreter."""

UNUSED_EXTENSIONS = re.compile(
    r"_(codecs_|ctypes_test|curses|dbm|gdbm|hashlib|interp|lsprof|multibytecodec|sqlite3|test|tkinter|xx)"
    r"|readline|xx"
)
"""OpenSSL is for webhooks; hashlib has functions of its own for what pidone needs."""

UNUSED_PACKAGES = (
    "__pycache__",
    "*.pyi",
    "_win*",
    "_yaml*.so",  # PyYAML reads without libyaml as well, and pidone's own resolver needs it to
    "mypy.py",  # pydantic's plug-ins for other programs
    "_hypothesis_plugin.py",
    "anyio",  # see EMPTY
    "idna",  # for anyio alone
    "py.typed",
    "sboms",
    "testing.py",
    "tests",
)

EMPTY = "anyio.py"
"""watchfiles imports anyio for the half of it that pidone does not use."""

INVALIDATION = PycInvalidationMode.UNCHECKED_HASH
"""Checked by nothing: the same sources give the same bytes, whenever they are built."""

WITHOUT_DOCSTRINGS = 2  # as -OO: a tenth of everything
LOADER = re.compile(r"/ld(-linux|64|-musl)?[-\w]*\.so")
OWN = "pidone"
LICENCE = re.compile(r"licen[cs]e|copying|notice|authors", re.IGNORECASE)


def main(venv: Path, folder: Path) -> None:
    """Make the folder."""
    library = folder / "lib" / VERSION
    interpreter = folder / "lib" / "python3"
    copy_standard_library(library)
    copy_packages(venv / "lib" / VERSION / "site-packages", library)
    keep_bytecode_only(library)
    shutil.copy2(Path(sys.executable).resolve(), interpreter)
    for path in needed([interpreter, *library.rglob("*.so")]):
        shutil.copy2(path.resolve(), folder / "lib" / ("ld.so" if LOADER.search(str(path)) else path.name))


def copy_standard_library(library: Path) -> None:
    """Copy what is used of it."""
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        library,
        ignore=shutil.ignore_patterns(*UNUSED),
        ignore_dangling_symlinks=True,
    )
    for package, unused in {**UNUSED_BELOW, "lib-dynload": UNUSED_EXTENSIONS}.items():
        for path in (library / package).iterdir():
            if unused.match(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_packages(packages: Path, library: Path) -> None:
    """Copy them; of what describes them, only licences stay, and pidone's own description."""
    shutil.copytree(packages, library, ignore=shutil.ignore_patterns(*UNUSED_PACKAGES), dirs_exist_ok=True)
    (library / EMPTY).touch()
    for described in library.glob("*.dist-info"):
        for path in [path for path in described.rglob("*") if path.is_file()]:
            if not LICENCE.search(path.name) and not described.name.startswith("pidone-"):
                path.unlink()


def keep_bytecode_only(library: Path) -> None:
    """Replace sources by their bytecode, except pidone's own: for tracebacks, and some are run by others."""
    own = library / OWN
    compiled = partial(
        compileall.compile_dir, quiet=2, invalidation_mode=INVALIDATION, stripdir=library, prependdir=""
    )
    compiled(library, legacy=True, optimize=WITHOUT_DOCSTRINGS)
    for source in library.rglob("*.py"):
        bytecode = source.with_suffix(".pyc")
        if source.is_relative_to(own):
            bytecode.unlink(missing_ok=True)
        elif bytecode.exists():
            source.unlink()
    compiled(own)


def needed(programs: Iterable[Path]) -> Iterator[Path]:
    """Every library that the loader names for these files, once, and the loader itself."""
    seen: set[str] = set()
    for program in programs:
        listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        if "not found" in listing:
            raise SystemExit(f"{program}: {listing}")
        for found in re.findall(r"(/\S+\.so[.\d]*)", listing):
            name = found.rpartition("/")[2]
            if name not in seen:
                seen.add(name)
                yield Path(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
