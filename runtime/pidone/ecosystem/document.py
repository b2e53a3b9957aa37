"""What a file said before anybody asked what it means: the seam between `formats/` and the keys."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from pidone.record import EMPTY, Record, computed

NODE_PATH: Final = "/usr/local/bin/node"
"""What JavaScript files see as `process.execPath`. No Node need be here: it stands for "the image's node"."""

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands, from the top of the file: `("apps", 0, "instances")`."""


def _nowhere(path: KeyPath) -> None:
    del path


class Document(Record, kw_only=True):
    """A file as plain values (dict, list, str, int, float, bool, None), its shape already normalised."""

    apps: tuple[Mapping[str, object], ...]
    """The apps in file order, whatever the shape was (array, mapping, single app, `pm2:` ...)."""
    top: Mapping[str, object]
    """Everything beside the apps: `runtime`, `deploy`, `static`, unknown keys."""
    source: Path | None
    """The file; None for standard input."""
    language: str
    """`toml`, `json`, `yaml` or `javascript`."""
    notices: tuple[str, ...] = ()
    """What the reader wants the user to know, e.g. what a JavaScript file printed."""
    env: Mapping[str, str | None] = EMPTY
    """Variables that the file itself set, or deleted (None), in its `process.env`, typically through dotenv.
    Under PM2 every app inherits them: they lie over the runtime's environment and under the app's `env`."""
    line_of: Callable[[KeyPath], int | None] = computed(factory=lambda: _nowhere)
    """The line (from 1) where a value stands, if the language allows to tell. Paths start at the apps:
    `(0, "instances")` is that key of the first app; top-level keys start with their name."""

    file_of: Callable[[KeyPath], str | None] = computed(factory=lambda: _nowhere)
    """The file that a value is from, where several make up the document."""

    @property
    def strict(self) -> bool:
        """Whether unknown keys are errors: TOML is our own dialect, everything else is PM2's."""
        return self.language == "toml"

    @property
    def has_references(self) -> bool:
        """Whether texts may hold `${VAR}`; JavaScript has process.env, and PM2 takes JSON as it is."""
        return self.language in ("toml", "yaml")

    @property
    def is_pm2s(self) -> bool:
        """Whether it is in a language of PM2's, whose users expect PM2's meaning of a value."""
        return self.language in ("json", "yaml", "javascript")

    @property
    def name(self) -> str:
        """How messages name the file."""
        return str(self.source) if self.source else "<stdin>"
