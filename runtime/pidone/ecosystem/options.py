"""How an ecosystem is to be read: what the command line and the surroundings add to the file."""

import os
from collections.abc import Mapping
from pathlib import Path

from pidone.record import EMPTY, Record, computed


class LoadOptions(Record, kw_only=True, hidden=("environ",)):
    """Everything beside the file that decides what an ecosystem means."""

    env_name: str | None = None
    """`--env NAME`: lay `env_NAME` over `env`."""
    more: tuple[Path, ...] = ()
    """Further files, each laid over those before it."""
    only: tuple[str, ...] = ()
    """Names of the apps to keep; empty keeps all."""
    args: tuple[str, ...] = ()
    """What follows `--`: appended to the arguments of every app, as PM2 does."""
    environ: Mapping[str, str] = computed(factory=lambda: dict(os.environ))
    cwd: Path = computed(factory=Path.cwd)
    personality: str = "pidone"
    """`pidone`, or `pm2-runtime` for that program's defaults (SIGINT, 1.6 s) and variables."""
    overrides: Mapping[str, object] = EMPTY
    """Keys laid over those of every app, e.g. `instances` from `-i`."""
    defaults: Mapping[str, object] = EMPTY
    """Keys for apps that do not have them, e.g. `watch` from `--watch`."""
    runtime: Mapping[str, object] = EMPTY
    """Keys laid over those of the `[runtime]` table."""
    hints: bool = False
    """Whether to say as well what a start need not, for somebody who looks at a file."""
    must_exist: bool = True
    """Whether programs, folders, files and users must exist on this machine."""
    argv: tuple[str, ...] = ()
    """What JavaScript ecosystems see as `process.argv` after Node's own two entries."""
    cpus: int = 1
    """What JavaScript ecosystems see as the number of CPUs."""
