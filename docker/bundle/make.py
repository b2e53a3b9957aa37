"""Makes the self-contained folder: this interpreter, a virtual environment's packages, and all libraries.

    python3 make.py VENV FOLDER

FOLDER can then be copied anywhere, into any image: it holds its own dynamic loader and libc.
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

UNUSED = (
    *("ftplib.py", "imaplib.py", "poplib.py", "smtplib.py", "webbrowser.py"),
    *(
        "big5*",
        "cp7*",
        "cp8*",
        "euc_*",
        "gb*",
        "hz.py",
        "iso2022*",
        "johab*",
        "koi8*",
        "mac_*",
        "shift_*",
    ),  # encodings
    "__pycache__",
    "_pydecimal.py",  # what stands in for extensions that are there
    "_pyio.py",
    "_pyrepl",
    "config-*",
    "curses",
    "dist-packages",
    "doctest.py",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "mailbox.py",
    "pdb.py",
    "pydoc.py",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",  # the distribution's, often a link out of the folder
    "sqlite3",
    "ssl.py",
    "test",
    "tests",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "unittest",
    "venv",
    "wsgiref",
    "xmlrpc",
)
"""Parts of the standard library that pidone and its dependencies never import."""

UNUSED_EXTENSIONS = re.compile(
    r"_(test|ctypes_test|xx|tkinter|curses|dbm|gdbm|sqlite3|codecs_(cn|hk|jp|kr|tw|iso)|hashlib|ssl)|readline"
)
"""Without OpenSSL: pidone speaks no TLS, and hashlib has its own functions for what it needs."""

INVALIDATION = PycInvalidationMode.UNCHECKED_HASH
"""Checked by nothing: the same sources give the same bytes, whenever they are built."""

LOADER = re.compile(r"/ld(-linux|64|-musl)?[-\w]*\.so")


def main(venv: Path, folder: Path) -> None:
    """Make the folder."""
    library = folder / "lib" / VERSION
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), folder / "bin/python3")
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        library,
        ignore=shutil.ignore_patterns(*UNUSED),
        ignore_dangling_symlinks=True,
    )
    for extension in (library / "lib-dynload").iterdir():
        if UNUSED_EXTENSIONS.match(extension.name):
            extension.unlink()
    shutil.copytree(
        venv / "lib" / VERSION / "site-packages",
        library / "site-packages",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    keep_bytecode_only(library)
    for path in needed([folder / "bin/python3", *library.rglob("*.so")]):
        shutil.copy2(path.resolve(), folder / "lib" / ("ld.so" if LOADER.search(str(path)) else path.name))


def keep_bytecode_only(library: Path) -> None:
    """Replace sources by their bytecode, except pidone's own: for tracebacks, and some are run by others."""
    own = library / "site-packages/runtime"
    compileall.compile_dir(
        library, quiet=2, legacy=True, invalidation_mode=INVALIDATION, stripdir=library, prependdir=""
    )
    for source in library.rglob("*.py"):
        bytecode = source.with_suffix(".pyc")
        if source.is_relative_to(own):
            bytecode.unlink(missing_ok=True)
        elif bytecode.exists():
            source.unlink()
    compileall.compile_dir(own, quiet=2, invalidation_mode=INVALIDATION)


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
