"""Reading a FILE that somebody names while the runtime runs: `pidone reload FILE`, `pm2 restart FILE`.

Runs in a child, as every reading does.
"""

import os
from pathlib import Path

from pidone.cli.registry import PM2_NAMES
from pidone.cli.start import StartOptions, default_file, load_options
from pidone.ecosystem.formats import is_ecosystem_file
from pidone.ecosystem.problems import did_you_mean, shown
from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError
from pidone.init.bare.execute import undo_locale_coercion
from pidone.supervise.run.reread import FileRequest


def load_another(asked: FileRequest, words: list[str], name: str, cwd: str) -> Ecosystem:
    """What a file says, of the apps that are wanted. Raises ConfigError.

    The file that runs already is read as it was at the start, in `cwd` and with what else the `words` after
    `name` said, so that nothing differs but what was changed in it. Another one is read as if it had been
    started where it was asked for.
    """
    undo_locale_coercion()  # PEP 538 is about our own interpreter
    os.environ.update(asked.environ)
    begun = _begun_with(words, name, cwd)
    path = Path(asked.cwd, asked.file)
    if not is_ecosystem_file(path):
        raise ConfigError(f"{asked.file}: is not an ecosystem file")
    is_same = begun.target is not None and _is_same(Path(cwd, begun.target), path)
    ecosystem = _read_again(begun, asked, cwd) if is_same else _read_other(begun, asked)
    names = {name for app in ecosystem.apps for name in (app.name, app.called)}
    for only in asked.only:
        if only not in names:
            raise ConfigError(
                f"{asked.file}: --only {shown(only)}: there is no such app{did_you_mean(only, names)}"
            )
    return ecosystem.but(
        apps=tuple(app for app in ecosystem.apps if not asked.only or {app.name, app.called} & {*asked.only})
    )


def _begun_with(words: list[str], name: str, cwd: str) -> StartOptions:
    """What the runtime was started with."""
    if name in PM2_NAMES:
        from pidone.cli.pm2.runtime import parse as parse_pm2

        return parse_pm2(words)[0]
    from pidone.cli.start import parse

    return parse(words, default=None if "--" in words else default_file(cwd))


def _read_again(begun: StartOptions, asked: FileRequest, cwd: str) -> Ecosystem:
    _enter(cwd)
    only = (*begun.only, *asked.only) if begun.only else ()
    return load_options(begun.but(env_name=asked.env_name or begun.env_name, only=only), cwd)


def _read_other(begun: StartOptions, asked: FileRequest) -> Ecosystem:
    _enter(asked.cwd)
    options = StartOptions(
        target=asked.file,
        env_name=asked.env_name,
        only=asked.only,
        personality=begun.personality,
        argv=("start", asked.file),
    )
    return load_options(options, asked.cwd)


def _enter(folder: str) -> None:
    """Messages name a file as it was typed where that is."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from None


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
