"""The finder of a start's modules, which says what the library's would say, or nothing."""

import os
import py_compile
import subprocess
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from harness import PYTHON

import pidone
from pidone import importing
from pidone.importing import Finder

ROOT = Path(pidone.__file__).parent
LIBRARY = os.path.dirname(os.__file__)
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if "shim" not in path.parts and path != ROOT / "__init__.py"
)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a package that the finder knows, with its byte code."""
    monkeypatch.setattr(importing, "_KNOWN", frozenset(("made",)))
    module = tmp_path / "module.py"
    module.write_text("x = 1\n")
    py_compile.compile(str(module))
    return module


def found(module: Path) -> bool:
    return Finder(LIBRARY).find_spec("made.module", [str(module.parent)]) is not None


def test_it_says_what_the_librarys_finder_says() -> None:
    """Each module's file, byte code and folder of further modules are as otherwise."""
    finder = Finder(LIBRARY)
    for name in MODULES:
        path = [str(ROOT.parent.joinpath(*name.split(".")[:-1]))]
        usual = PathFinder.find_spec(name, path)
        assert usual is not None
        assert usual.origin is not None
        spec = finder.find_spec(name, path)
        if spec is None:  # nobody has imported it yet, or the source is newer
            py_compile.compile(usual.origin)
            spec = finder.find_spec(name, path)
        assert spec is not None, name
        assert (spec.name, spec.origin, spec.cached) == (usual.name, usual.origin, usual.cached)
        assert spec.submodule_search_locations == usual.submodule_search_locations
        assert spec.has_location
        assert isinstance(spec.loader, type(usual.loader))


def test_a_module_is_found(made: Path) -> None:
    """So that the others say something."""
    assert found(made)


def test_a_source_that_was_changed_is_left_to_the_library(made: Path) -> None:
    """An editable installation never runs what its source was."""
    made.write_text("x = 22\n")
    assert not found(made)


def test_a_source_of_another_time_is_left_to_the_library(made: Path) -> None:
    """Also where it has the same length."""
    os.utime(made, (1, 1))
    assert not found(made)


def test_byte_code_without_a_source_is_left_to_the_library(made: Path) -> None:
    """What is left of a module that was removed."""
    made.unlink()
    assert not found(made)


def test_byte_code_that_is_checked_by_a_hash_is_left_to_the_library(made: Path) -> None:
    """As reproducible builds write it."""
    py_compile.compile(str(made), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert not found(made)


def test_byte_code_that_is_never_checked_is_taken(made: Path) -> None:
    """As images have it."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(made), invalidation_mode=mode)
    os.utime(made, (1, 1))
    assert found(made)


def test_byte_code_of_another_interpreter_is_left_to_the_library(made: Path) -> None:
    """Two may share a cache tag, as pre-releases do."""
    [cached] = made.parent.glob("__pycache__/*.pyc")
    cached.write_bytes(b"abcd" + cached.read_bytes()[4:])
    assert not found(made)


def test_more_than_fits_is_left_to_the_library(made: Path) -> None:
    """The buffer holds what any module of ours has."""
    made.write_text("x = '" + "y" * (1 << 17) + "'\n")
    py_compile.compile(str(made))
    assert not found(made)


def test_packages_of_others_are_left_to_the_library() -> None:
    """They may have extensions, which come before sources."""
    assert Finder(LIBRARY).find_spec("orjson.orjson", [str(ROOT.parent)]) is None
    assert Finder(LIBRARY).find_spec("pytest", None) is None


@pytest.mark.parametrize(("options", "loader"), [(["-I"], "pidone.importing"), ([], "importlib_external")])
def test_it_is_used_where_the_environment_has_no_say(options: list[str], loader: str) -> None:
    """Else PYTHONPATH and its like decide what a module is."""
    code = (
        f"import sys; sys.path.append({str(ROOT.parent)!r}); from pidone.importing import quicken; quicken();"
        "import pidone.errors; print(type(pidone.errors.__loader__).__module__)"
    )
    said = subprocess.run([PYTHON, *options, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loader in said


@pytest.mark.parametrize(
    "use",
    [
        "import inspect; assert inspect.isclass(int)",
        "from inspect import isclass; assert isclass(int)",
        "from inspect import *; assert isclass(int)",
        "import dataclasses; dataclasses.dataclass(type('A', (), {}))",
    ],
)
def test_a_postponed_module_is_run_when_it_is_used(use: str) -> None:
    """Not when it is found or imported; then it is the library's own."""
    code = f"""
import sys
from pidone.importing import postpone
postpone("inspect", CO_NESTED=16)
import inspect, inspect
assert inspect.CO_NESTED == 16 and "ast" not in sys.modules
{use}
assert "ast" in sys.modules and type(inspect) is type(sys) and inspect.__doc__
"""
    done = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_postponed_module_that_cannot_be_run_is_tried_again() -> None:
    """There may be no descriptor left when it is used first."""
    code = """
import sys
from pidone.importing import postpone
postpone("inspect")
import inspect
sys.modules["ast"] = None
for _ in range(2):
    try:
        inspect.isclass
    except ImportError:
        continue
    raise SystemExit("it was run")
del sys.modules["ast"]
assert inspect.isclass(int)
"""
    done = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_imported_already_is_not_postponed() -> None:
    """Nor what is nowhere to be found."""
    code = """
import ast, sys
from pidone.importing import postpone
postpone("ast")
postpone("no_such_module")
assert sys.modules["ast"] is ast and "no_such_module" not in sys.modules
"""
    done = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
