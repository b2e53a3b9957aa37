"""`make test-platforms` without its cells: what is missing is told, and the table says what was seen."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from platforms import roots, session, table
from platforms.roots import MissingError

PAGE = f"# Platforms\n\nBefore.\n\n{table.BEGIN}| old |\n{table.END}\nAfter.\n"


def result(name: str, *, why: str = "", degraded: tuple[str, ...] = ()) -> str:
    """A line of the suite."""
    return json.dumps({"name": name, "ok": not why, "seconds": 1.0, "why": why, "degraded": list(degraded)})


def cell(*lines: str, missing: str = "") -> session.Cell:
    """One that says these lines, and cannot go on then."""

    def play(names: list[str]) -> Iterable[str]:
        yield from (line for line in lines if not names or json.loads(line)["name"] in names)
        if missing:
            raise MissingError(missing)

    return play


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cells, and where their table goes."""
    made = {
        "good": cell(result("signals"), result("ls", degraded=("listen.steering: the kernel's hash",))),
        "bad": cell(result("signals"), result("ls", why="no | answer\nat all")),
        "cut": cell(result("signals"), missing="the machine has gone"),
        "gone": cell(missing="no emulator here"),
        "silent": cell(),
    }
    monkeypatch.setattr(session, "CELLS", made)
    monkeypatch.setattr(session, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(session, "REPOSITORY", tmp_path)
    file = tmp_path / "docs/platforms.md"
    file.parent.mkdir()
    file.write_text(PAGE)
    return file


def rows(page: Path) -> dict[str, list[str]]:
    """The columns by the cell's name."""
    lines = page.read_text().partition(table.BEGIN)[2].partition(table.END)[0].splitlines()[2:]
    parts = [line.strip("| ").split(" | ") for line in lines]
    return {part[0]: part[1:] for part in parts}


def test_every_cell_is_a_row_and_a_missing_one_says_why(
    page: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What failed is named with its reason, what pidone does without is told, and text around stays."""
    assert session.main([]) == 1
    found = rows(page)
    assert list(found) == ["good", "bad", "cut", "gone", "silent"]
    assert found["good"][1:3] == ["all 2 cases hold", "listen.steering"]
    assert found["bad"][1] == "1 of 2 cases hold; not: ls (no \\| answer at all)"
    assert found["cut"][1] == "1 of 1 cases hold; not: none; broken off: the machine has gone"
    assert found["gone"][1] == "missing: no emulator here"
    assert found["silent"][1] == "missing: it ended without a result"
    assert found["gone"][3] == "`python -m platforms.session 'gone'`"
    assert page.read_text().startswith("# Platforms\n\nBefore.\n")
    assert page.read_text().endswith("\nAfter.\n")
    assert "missing: no emulator here" in capfd.readouterr().out


def test_a_cell_alone_changes_its_own_row(page: Path) -> None:
    """What was never played is told as that."""
    assert session.main(["good"]) == 0
    assert rows(page)["gone"][1] == "missing: not played"
    assert session.main(["gone"]) == 0
    assert rows(page)["good"][1] == "all 2 cases hold"


def test_a_case_alone_leaves_what_is_known_of_others(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine may be played in parts, and a case that has failed again."""
    assert session.main(["bad"]) == 1
    assert rows(page)["bad"][1].startswith("1 of 2 cases hold; not: ls (")
    assert session.main(["--case", "signals", "bad"]) == 0
    assert rows(page)["bad"][1].startswith("1 of 2 cases hold; not: ls (")
    monkeypatch.setattr(session, "CELLS", {**session.CELLS, "bad": cell(result("signals"), result("ls"))})
    assert session.main(["--case", "ls", "bad"]) == 0
    assert rows(page)["bad"][1] == "all 2 cases hold"


def test_a_misspelt_cell_is_refused(page: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the way to the right names."""
    with pytest.raises(SystemExit, match="2"):
        session.main(["arm"])
    assert "no such cell: arm; --list names them" in capfd.readouterr().err
    assert page.read_text() == PAGE


def test_the_page_has_all_cells() -> None:
    """In the repository, in the order in which they are played."""
    assert list(rows(roots.REPOSITORY / "docs/platforms.md")) == list(session.CELLS)


def test_what_cannot_be_had_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program, an interpreter, a command that fails."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", "/nowhere")
    with pytest.raises(MissingError, match=r"no nothing-like-this here \(Debian's package none\)"):
        roots.program("nothing-like-this", package="none")
    with pytest.raises(MissingError, match=r"no Python 9\.9 here"):
        roots.python("9.9")
    with pytest.raises(MissingError, match=r"/bin/sh -c echo wrong >&2; exit 3: exit code 3: wrong"):
        roots.run("/bin/sh", "-c", "echo wrong >&2; exit 3")
    with pytest.raises(MissingError, match="/nowhere: No such file"):
        roots.run("/nowhere")
