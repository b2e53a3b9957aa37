"""The rooms of the house: imports point down only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "runtime/pidone"
ALLOWED = {
    "ecosystem": set(),
    "fileserver": set(),
    "host": {"ecosystem", "init.prctl"},
    "init": {"ecosystem"},
    "logs": {"ecosystem"},
    "listen": {"ecosystem", "init.aside", "init.proctree"},
    "supervise": {"listen", "logs", "init", "host", "ecosystem"},
    "control": {"supervise", "listen", "logs", "init", "host", "ecosystem"},
    "cli": {"control", "supervise", "listen", "logs", "init", "host", "ecosystem"},
}
"""Room to the rooms below it. Leaves such as `errors` and `record` are open to everybody."""


def imports(path: Path) -> set[str]:
    """The modules of `pidone` that a file imports, wherever in it, without the `pidone.`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pidone"):
            base = node.module.removeprefix("pidone").removeprefix(".")
            found |= {f"{base}.{alias.name}".strip(".") for alias in node.names} if base else set()
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("pidone.") for a in node.names if a.name.startswith("pidone.")}
    return found


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    """No arrow points up, and none goes in a circle."""
    wrong = []
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imports(path):
            target = name.partition(".")[0]
            if target not in ALLOWED or target == room or target in ALLOWED[room]:
                continue
            if not any(name == leaf or name.startswith(leaf + ".") for leaf in ALLOWED[room]):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_no_room_has_a_circle_inside() -> None:
    """Files of a room can be read one after the other; imports within functions and for types count too."""
    circles = {frozenset(circle) for circle in _circles(_graph())}
    grown = [sorted(circle) for circle in circles if not any(circle <= known for known in _CIRCLES)]
    assert not grown
    gone = [sorted(known) for known in _CIRCLES if not any(circle <= known for circle in circles)]
    assert not gone, "one less: take it out of _CIRCLES"


_CIRCLES: set[frozenset[str]] = set()
"""Those that are still there. They may shrink and go, not grow."""


def _graph() -> dict[str, set[str]]:
    """Every module with the modules it imports."""
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    graph = {}
    for name, path in modules.items():
        found = {each if each in modules else each.rpartition(".")[0] for each in imports(path)}
        graph[name] = (found & modules.keys()) - {name}
    return graph


def _circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The modules that reach each other."""
    reached = {name: _reachable(graph, name) for name in graph}
    groups = [{other for other in reached[name] if name in reached[other]} for name in graph]
    return [group for group in groups if group]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += graph[name]
    return found


def test_circles_are_seen() -> None:
    """Of two, of three, and none where there is none."""
    circles = _circles({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c", "a"}, "f": {"a"}})
    assert {frozenset(circle) for circle in circles} == {frozenset("ab"), frozenset("cde")}


def test_leaves_import_no_room_but_specs() -> None:
    """What everybody may import imports nothing that somebody may not."""
    wrong = {
        path.name: found
        for path in PACKAGE.glob("*.py")
        if path.name != "__main__.py"
        and (found := {n for n in imports(path) if n.partition(".")[0] in ALLOWED} - _SPECS)
    }
    assert not wrong


_SPECS = {"ecosystem.spec.AppSpec", "ecosystem.spec.Seconds"}


def test_folders_read_like_a_table_of_contents() -> None:
    """About twenty files in a row at most, and none that is too long to be read at once."""
    folders = [folder for folder in [PACKAGE, *PACKAGE.rglob("*")] if folder.is_dir()]
    rows = {folder: [path for path in folder.glob("*.py") if path.stem != "__init__"] for folder in folders}
    assert len([row for row in rows.values() if row]) > 20
    assert {str(folder): len(row) for folder, row in rows.items() if len(row) > _FILES_IN_A_ROW} == {}
    lengths = {str(path): len(path.read_text().splitlines()) for row in rows.values() for path in row}
    assert {name: length for name, length in lengths.items() if length > _LINES_OF_A_FILE} == {}


_FILES_IN_A_ROW = 21
_LINES_OF_A_FILE = 500


def test_a_class_has_a_name_of_its_own() -> None:
    """Whoever reads a name knows what it stands for, in whichever room he is."""
    places: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
