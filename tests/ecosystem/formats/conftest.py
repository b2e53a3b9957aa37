"""Reading files that a test writes, in a folder of its own and with a known environment."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from ecosystem.formats.support import ENV, Reader
from harness import DEADLINE_S

from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import read
from pidone.ecosystem.formats.javascript import node
from pidone.supervise.run import loading


@pytest.fixture
def read_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Write the files, the first of them being the ecosystem, and read it in a child, from within its folder.

    It may take long: the machine may be busy. Tests of the time limit set it again.
    """
    monkeypatch.setattr(loading, "CPU_LIMIT_S", int(DEADLINE_S))
    monkeypatch.setattr(loading, "WALL_LIMIT_S", 2 * DEADLINE_S)
    monkeypatch.setattr(node, "TIME_LIMIT_S", DEADLINE_S)

    def reader(
        files: Mapping[str, str | bytes],
        *,
        env: Mapping[str, str] | None = None,
        argv: Sequence[str] = (),
        cpus: int = 4,
    ) -> Document:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.chdir(tmp_path)
        source = Path(next(iter(files)))
        document: Document = loading.in_child(
            lambda: read(source, env={**ENV, **(env or {})}, argv=argv, cpus=cpus)
        )
        return document

    return reader


@pytest.fixture
def without_node(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose PATH has no node."""
    return {"PATH": os.fspath(tmp_path_factory.mktemp("empty"))}
