"""A folder for an app and one for the commands that it may find."""

from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import options

from pidone.ecosystem.spec import AppSpec
from pidone.errors import ConfigError


class Box:
    """A folder with an app and a folder of commands, which is the whole PATH."""

    def __init__(self, root: Path) -> None:
        self.cwd = root / "app"
        self.bin = root / "bin"
        self.cwd.mkdir()
        self.bin.mkdir()

    def file(self, name: str, content: str | bytes = "x = 1\n", *, mode: int = 0o644) -> Path:
        """A file of the app."""
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def commands(self, *names: str) -> None:
        """Executables on PATH."""
        for name in names:
            (self.bin / name).write_bytes(b"\x7fELF\0")
            (self.bin / name).chmod(0o755)

    def app(self, *, language: str = "json", environ: dict[str, str] | None = None, **keys: Any) -> AppSpec:
        """The app with these keys, everything looked up."""
        self.notices: tuple[str, ...] = ()
        how = options(cwd=self.cwd, must_exist=True, environ={"PATH": str(self.bin), **(environ or {})})
        from ecosystem.documents import document

        from pidone.ecosystem.load import resolve

        ecosystem = resolve(document(keys, language=language), how)
        self.notices = ecosystem.notices
        self.warnings = ecosystem.warnings
        return ecosystem.apps[0]

    def argv(self, **keys: Any) -> list[str]:
        """Its command line, with the names of commands without their folder."""
        return [
            word.replace(f"{self.bin}/", "").replace(f"{self.cwd}/", "./") for word in self.app(**keys).argv
        ]

    def error(self, **keys: Any) -> str:
        """Why it is refused."""
        with pytest.raises(ConfigError) as caught:
            self.app(**keys)
        return str(caught.value)
