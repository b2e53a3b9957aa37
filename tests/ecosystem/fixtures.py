"""Every ecosystem file of this repository, for tests that hold for all of them."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from ecosystem.formats.support import ENV

TESTS = Path(__file__).resolve().parents[1]
CASES = TESTS / "ecosystem/formats/cases"
ROOT = TESTS.parent


class Fixture(NamedTuple):
    """One file in a folder that can be copied with it."""

    folder: Path
    name: str
    environ: dict[str, str]

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.folder.name}/{self.name}"

    def copied(self, to: Path) -> Path:
        """A copy of the whole folder; its path of the file."""
        shutil.copytree(self.folder, to / self.folder.name)
        return to / self.folder.name / self.name


def _cases() -> list[Fixture]:
    rows = [json.loads(line) for line in (CASES / "expected_node.jsonl").read_text().splitlines()]
    return [Fixture(CASES / row["d"], row["f"], ENV) for row in rows]


def _scenarios() -> list[Fixture]:
    folders = [TESTS / "scenarios", ROOT / "docker"]
    files = sorted(path for folder in folders for path in folder.rglob("ecosystem.*"))
    return [
        Fixture(path.parent, path.name, {"PATH": "/usr/bin:/bin", "HOME": "/root"})
        for path in files
        if path.suffix in (".toml", ".js", ".cjs", ".mjs", ".json", ".yml", ".yaml")
        and "node_modules" not in path.parts
    ]


ALL = [*_cases(), *_scenarios()]
