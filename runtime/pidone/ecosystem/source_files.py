"""The files that one ecosystem is read from: FILEs, folders of them, and what they include."""

import os
from collections.abc import Sequence
from pathlib import Path

from pidone.ecosystem import pm2
from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import ecosystem_files, read
from pidone.ecosystem.options import LoadOptions
from pidone.ecosystem.spec import Origin
from pidone.errors import ConfigError


class SourceFiles:
    """Reads files, and remembers which they were."""

    def __init__(self, options: LoadOptions) -> None:
        """Relative paths start at `options.cwd`."""
        self.options = options
        self._origins: dict[str, Origin] = {}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Every file that was read, and every folder in which another one would count too."""
        return tuple(self._origins.values())

    def read(self, file: Path | None) -> Document:
        """What a file says; None is standard input. Raises ConfigError."""
        options = self.options
        if file is not None:
            self.note(file)
        # Messages name the file as the user did, as long as that is where it is.
        path = file if file is None or options.cwd == Path.cwd() else options.cwd / file
        document = read(path, env=options.environ, argv=options.argv, cpus=options.cpus)
        return document if options.personality == "pidone" else pm2.without_our_tables(document)

    def files_of(self, path: Path) -> Sequence[Path]:
        """A file, or the ecosystem files of a folder in the order of their names. Raises ConfigError."""
        folder = self.options.cwd / path
        if not os.path.isdir(folder):
            return (path,)
        self.note(path)
        try:
            files = [path / file.name for file in ecosystem_files(folder)]
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        if not files:
            raise ConfigError(f"{path}: is a directory without an ecosystem file in it")
        return files

    def note(self, path: Path) -> None:
        """Remember a file or folder as it is now: before it is read, so that no change can be missed."""
        absolute = os.path.join(self.options.cwd, path)
        self._origins.setdefault(os.path.normpath(absolute), Origin.of(absolute))
