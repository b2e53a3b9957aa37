"""Makes the self-contained folder: this interpreter, a virtual environment's packages, and all libraries.

    python3 make.py VENV FOLDER

FOLDER can then be copied anywhere, into any image: it holds its own dynamic loader and libc. What is in it:

    bin/          the launcher and its names: all that belongs on a PATH
    libexec/      python3, the launcher as an ordinary interpreter: what pidone starts its own helpers with
    lib/          loader, libraries, interpreter
    lib/python3.X the standard library and the packages, in one folder: nothing has to be told where they are
    lib/python3X.zip  what no start needs of them, compressed: where an interpreter looks first anyway
    lib/packed    extensions that few need, compressed: see unpack.py
    sbom.cdx.json what all of it is made of
"""

import compileall
import lzma
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from py_compile import PycInvalidationMode

from sbom import bill_of_materials

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

UNUSED = (
    "__pycache__",
    "_osx_support.py",
    "_pydatetime.py",  # stands in for an extension that is there, as does this one
    "_pyio.py",
    "_pyrepl",
    "__hello__.py",
    "__phello__",
    "antigravity.py",
    "bdb.py",
    "cProfile.py",
    "cmd.py",
    "code.py",
    "codeop.py",
    "colorsys.py",
    "compileall.py",
    "config-*",
    "curses",
    "dbm",
    "dist-packages",
    "doctest.py",
    "filecmp.py",
    "fileinput.py",
    "ensurepip",
    "ftplib.py",
    "idlelib",
    "imaplib.py",
    "lib2to3",
    "mailbox.py",
    "modulefinder.py",
    "multiprocessing",  # see EMPTY
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
    "rlcompleter.py",
    "sched.py",
    "shelve.py",
    "site-packages",
    "sitecustomize.py",  # the distribution's, often a link out of the folder
    "smtplib.py",
    "sqlite3",
    "symtable.py",
    "tabnanny.py",
    "tarfile.py",  # shutil wants it for archives alone
    "test",
    "tests",
    "this.py",
    "timeit.py",
    "tkinter",
    "trace.py",
    "tracemalloc.py",
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
    "_android_support.py",  # these are for systems that are not Linux, or for distutils
    "_apple_support.py",
    "_distutils_system_mod.py",
    "_ios_support.py",
    "_py_abc.py",  # stands in for an extension that is there
    "_threading_local.py",  # the same
    "bz2.py",  # shutil, tarfile and zipfile do without
    "fractions.py",  # for statistics alone
    "graphlib.py",
    "gzip.py",
    "_markupbase.py",  # of html.parser
    "netrc.py",
    "pty.py",
    "statistics.py",  # what random tests itself with
)
"""Parts of the standard library that neither pidone nor its dependencies import."""

UNUSED_BELOW = {
    "encodings": re.compile(r"(?!aliases|ascii|charmap|idna|latin_1|punycode|raw_|unicode_|utf_|__init__)"),
    "asyncio": re.compile(r"__main__"),
    "concurrent/futures": re.compile(r"process"),
    "email": re.compile(r"mime"),
    "html": re.compile(r"parser"),
    "http": re.compile(r"cookie"),
    "logging": re.compile(r"config|handlers"),
    "sysconfig": re.compile(r"__main__"),
    "xml": re.compile(r"dom|sax"),
    "ctypes": re.compile(r"_aix|macholib|wintypes"),
}
"""The same within these packages. Text is always UTF-8 here: the launcher says so to the interpreter."""

UNUSED_EXTENSIONS = re.compile(
    r"_(bz2|codecs_|ctypes_test|curses|dbm|decimal|elementtree|gdbm|hashlib|interp|lsprof|multi|posixshmem)"
    r"|_(sqlite3|test|tkinter|uuid|xx)"
    r"|cmath|pyexpat|readline|xx"
)
"""OpenSSL is for webhooks; hashlib has functions of its own for what pidone needs, `_pydecimal` decimals.
XML is only written, by `smoke`."""

UNUSED_PACKAGES = (
    "__pycache__",
    "*.pyi",
    "_win*",
    "_ps[abow]*",  # psutil on other systems
    "_pssunos.py",
    "*.tab",  # tzdata's lists for people, and its sources
    "tzdata.zi",
    "leapseconds",
    "_yaml*.so",  # PyYAML reads without libyaml as well, and pidone's own resolver needs it to
    "mypy.py",  # pydantic's plug-ins for other programs
    "_hypothesis_plugin.py",
    "anyio",  # see EMPTY
    "idna",  # for anyio alone
    "py.typed",
    "sboms",
    "testing.py",
    "tests",
    # urwid with other loops and displays; nobody imports them
    *("glib_loop.py", "tornado_loop.py", "trio_loop.py", "twisted_loop.py", "zmq_loop.py"),
    *("numedit.py", "_web_common.py", "_win32*.py", "graphics.py"),
)

EMPTY = {
    "anyio.py": "",
    **dict.fromkeys((f"urwid/display/{name}.py" for name in ("curses", "html_fragment", "lcd", "web")), ""),
    "urwid/vterm.py": "TermCanvas = TermCharset = Terminal = TermModes = None\n",
    "watchfiles/run.py": "run_process = arun_process = None\n",
}
"""watchfiles imports anyio, and with `run` multiprocessing, for the halves of it that pidone does not use;
urwid looks for all its displays, and for a terminal inside of one."""

COLD = (
    *(
        "_pydecimal",
        "_strptime",
        "argparse",
        "calendar",
        "click",
        "configparser",
        "cronsim",
        "csv",
        "decimal",
        "difflib",
    ),
    *("email", "ftplib", "gettext", "html", "http", "importlib/metadata"),
    *(
        "importlib/resources",
        "ipaddress",
        "lzma",
        "mimetypes",
        "numbers",
        "optparse",
        "pickle",
    ),
    *(
        "psutil",
        "pyexpat",
        "pythonjsonlogger/msgspec",
        "quopri",
        "sysconfig",
        "tomli_w",
    ),
    *(
        "tomllib",
        "typing_extensions",
        "urllib",
        "uu",
        "urwid",
        "uuid",
        "watchfiles",
        "wcwidth",
        "wsproto",
        "xml",
        "yaml",
        "zipfile",
        "zipimport",
        "shlex",
        "stringprep",
    ),
    *(
        "getpass",
        "nturl2path",
        "ntpath",
        "imghdr",
        "plistlib",
        "secrets",
        "ssl",
        "_aix_support",
        "getopt",
        "glob",
        "locale",
        "pkgutil",
        "platform",
        "pprint",
        "py_compile",
        "random",
        "runpy",
        "site",
        "socketserver",
        "tempfile",
    ),
)
"""What only commands, readers of files and rare moments import. No extension can be loaded out of a zip."""

COLD_STARTS = "_sysconfigdata_"

PACKED = {
    "_ssl": ("libzstd.so", "libcrypto.so", "libssl.so"),
    "watchfiles._rust_notify": ("librt.so", "libgcc_s.so"),
}
"""Extensions that few need, and libraries that only they need, in the order in which they can be loaded."""

INVALIDATION = PycInvalidationMode.UNCHECKED_HASH
"""Checked by nothing: the same sources give the same bytes, whenever they are built."""

WITHOUT_DOCSTRINGS = 2  # as -OO: a tenth of everything
LOADER = re.compile(r"/ld(-linux|64|-musl)?[-\w]*\.so")
HELP = "pidone/cli"
FOR_APPS = "shim"
"""Sources that the interpreter of an app runs, whatever that is."""
KEPT = re.compile(r"licen[cs]e|copying|notice|authors|^METADATA$", re.IGNORECASE)
"""Of what describes a package: what its licence asks for, and what scanners look for."""


def main(venv: Path, folder: Path) -> None:
    """Make the folder."""
    library = folder / "lib" / VERSION
    interpreter = folder / "lib" / "python3"
    copy_standard_library(library)
    copy_packages(venv / "lib" / VERSION / "site-packages", library)
    keep_bytecode_only(library)
    shutil.copy2(Path(sys.executable).resolve(), interpreter)
    libraries = [*needed([interpreter, *library.rglob("*.so")])]
    for path in libraries:
        shutil.copy2(path.resolve(), folder / "lib" / ("ld.so" if LOADER.search(str(path)) else path.name))
    strip(folder / "lib")
    for name, sonames in PACKED.items():
        pack(folder / "lib", library, name, sonames)
    pack_cold(library, folder / "lib" / f"{VERSION.replace('.', '')}.zip")
    (folder / "sbom.cdx.json").write_text(bill_of_materials(library, libraries))


def copy_standard_library(library: Path) -> None:
    """Copy what is used of it."""
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        library,
        ignore=shutil.ignore_patterns(*UNUSED),
        ignore_dangling_symlinks=True,
    )
    for package, unused in {**UNUSED_BELOW, "lib-dynload": UNUSED_EXTENSIONS}.items():
        for path in (library / package).glob("*"):  # `sysconfig` is a package from Python 3.13 on
            if unused.match(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_packages(packages: Path, library: Path) -> None:
    """Copy them; of what describes them stay licences and the fields of METADATA, without its long text."""
    shutil.copytree(packages, library, ignore=shutil.ignore_patterns(*UNUSED_PACKAGES), dirs_exist_ok=True)
    for name, text in EMPTY.items():
        (library / name).write_text(text)
    for described in library.glob("*.dist-info"):
        if described.name.startswith(("anyio-", "idna-")):
            shutil.rmtree(described)
            continue
        for path in [path for path in described.rglob("*") if path.is_file()]:
            if not KEPT.search(path.name):
                path.unlink()
        metadata = described / "METADATA"
        metadata.write_text(
            metadata.read_text(encoding="utf-8").partition("\n\n")[0] + "\n", encoding="utf-8"
        )


def keep_bytecode_only(library: Path) -> None:
    """Replace sources by their bytecode. Docstrings stay where they are the help of commands."""
    compiled = partial(
        compileall.compile_dir,
        quiet=2,
        invalidation_mode=INVALIDATION,
        stripdir=library,
        prependdir="",
        legacy=True,
    )
    compiled(library / HELP, optimize=0)
    aside = library.with_name("help")
    (library / HELP).rename(aside)
    compiled(library, optimize=WITHOUT_DOCSTRINGS)
    aside.rename(library / HELP)
    for source in library.rglob("*.py"):
        bytecode = source.with_suffix(".pyc")
        if FOR_APPS in source.parts:
            bytecode.unlink(missing_ok=True)
        elif bytecode.exists():
            source.unlink()


def strip(folder: Path) -> None:
    """Take the symbols out of everything native."""
    native = [
        path
        for path in folder.rglob("*")
        if path.is_file() and (".so" in path.name or path.name == "python3")
    ]
    subprocess.run(["strip", "--strip-unneeded", *map(str, native)], check=True)


def pack(folder: Path, library: Path, name: str, sonames: Iterable[str]) -> None:
    """Compress an extension and its libraries, and put unpack.py in its place. See there."""
    packed = folder / "packed" / name
    packed.mkdir(parents=True)
    *package, module = name.split(".")
    place = library.joinpath(*package)
    (extension,) = [*place.glob(f"{module}.*.so"), *(library / "lib-dynload").glob(f"{module}.*.so")]
    libraries = [path for soname in sonames for path in folder.glob(f"{soname}*")]
    for number, path in enumerate([*libraries, extension]):
        text = lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        (packed / f"{number}-{path.name}.xz").write_bytes(text)
        path.unlink()
    source = Path(__file__).with_name("unpack.py")
    py_compile.compile(
        str(source),
        str(place / f"{module}.pyc"),
        dfile=f"{module}.py",
        invalidation_mode=INVALIDATION,
        optimize=WITHOUT_DOCSTRINGS,
        doraise=True,
    )


def is_cold(module: Path) -> bool:
    """Whether it, or a package that it is in, is in the list."""
    names = module.with_suffix("").parts
    return names[0].startswith(COLD_STARTS) or any(
        "/".join(names[:length]) in COLD for length in range(1, len(names) + 1)
    )


def pack_cold(library: Path, archive: Path) -> None:
    """Move what no start needs into the archive. The same content makes the same bytes."""
    paths = [path for path in sorted(library.rglob("*.pyc")) if is_cold(path.relative_to(library))]
    paths = [path for path in paths if path.parent == library or not any(path.parent.glob("*.so"))]
    with zipfile.ZipFile(archive, "w") as packed:
        for path in paths:
            entry = zipfile.ZipInfo(str(path.relative_to(library)))
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
            path.unlink()


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
