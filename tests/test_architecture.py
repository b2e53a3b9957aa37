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
    "listen": {"ecosystem", "init.proctree"},
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
