"""`pidone [start] FILE`: read the command line and the ecosystem, run it, end with its code.

This is the path into the long-lived process: the parser is a loop of our own because click would cost 30 ms
and 5 MB there.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError, ListenError, PortTakenError, UsageError, describe_bug
from pidone.init.bare.output import complain
from pidone.init.exitcodes import ExitCode
from pidone.init.signals import SignalInbox
from pidone.record import EMPTY, Record
from pidone.supervise.run.loading import Interrupted, Loading

if TYPE_CHECKING:
    from pidone.control.admin import Admin
    from pidone.ecosystem.options import LoadOptions
    from pidone.ecosystem.spec import RuntimeSpec
    from pidone.supervise.run.reread import FileRequest
    from pidone.supervise.run.session import Closable, Parts

USAGE: Final = """\
usage: pidone [start] [OPTIONS] [FILE...] [-- ARGS...]
       pidone [start] [OPTIONS] SCRIPT [-- ARGS...]
       pidone [start] [OPTIONS] -- COMMAND [ARGS...]

Runs the apps of an ecosystem FILE (or one SCRIPT or COMMAND) in the foreground until they have ended or
SIGTERM, SIGINT or SIGQUIT asks for a stop; a second one kills. SIGHUP reads FILE again. Without a FILE it is
the ecosystem.toml (or another ecosystem.*) of this folder; of several FILEs, or a folder of them, later ones
win key by key.

  --env NAME           lay env_NAME over every app's env
  --only NAMES         only these apps, comma separated
  --name NAME          name of a SCRIPT or COMMAND
  -i, --instances N    number of instances, or "max" for the CPUs of this container
  --no-autorestart     do not restart what ends
  --no-auto-exit       stay when nothing is left to run
  --log-format FORMAT  json, text, logfmt, raw, ...; default: text on a terminal, json elsewhere
  --log-level LEVEL    lowest level of pidone's own events: debug, info, warning, error, quiet
  --admin [HOST:]PORT  serve probes, metrics and the dashboard there, read-only
  --admin-token-file FILE
                       clients that bear the token in FILE may act there too
  --socket PATH        the control socket, or "none"
  -h, --help           this text

Beside a running pidone, `pidone start TARGET...` starts apps of its again: app, app:index, id, namespace or
all (--no-wait, --timeout S, --json, --socket PATH). `pidone --help` lists the other commands.
"""


class StartOptions(Record, kw_only=True):
    """The command line of a start."""

    target: str | None = None
    """An ecosystem file or a script."""
    more: tuple[str, ...] = ()
    """Further files, laid over the first."""
    rest: tuple[str, ...] = ()
    """What follows `--`: the arguments of every app, or the command when there is no target."""
    env_name: str | None = None
    only: tuple[str, ...] = ()
    overrides: Mapping[str, object] = EMPTY
    """Keys laid over those of every app."""
    defaults: Mapping[str, object] = EMPTY
    """Keys for apps that do not have them."""
    runtime: Mapping[str, object] = EMPTY
    """Keys laid over those of the `[runtime]` table."""
    personality: str = "pidone"
    """As in LoadOptions."""
    argv: tuple[str, ...] = ()
    """The command line for JavaScript ecosystems that look at `process.argv`."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named that could be started."""
        return self.target is None and not self.rest


def parse(words: Sequence[str], default: str | None = None) -> StartOptions:
    """Parse what follows `pidone [start]`; `default` is the file if none is named. Raises UsageError."""
    target: str | None = None
    more: list[str] = []
    rest: tuple[str, ...] = ()
    found: dict[str, dict[str, object]] = {"settings": {}, "overrides": {}, "runtime": {}}
    iterator = iter(words)
    for word in iterator:
        if word == "--":
            rest = tuple(iterator)
            break
        if not word.startswith("-") or word == "-":
            if target is None:
                target = word
            else:
                more.append(word)
            continue
        name, given, value = word.partition("=")
        if name in _SWITCHES:
            where, key, setting = _SWITCHES[name]
            found[where][key] = setting
        elif name in _VALUES:
            where, key = _VALUES[name]
            found[where][key] = value if given else _next(iterator, name)
        else:
            raise UsageError(f"unknown option {name}{_did_you_mean(name)}")
    if target is None and not rest:
        target = default
    if target is None and not rest:
        raise UsageError("no FILE, SCRIPT or COMMAND")
    settings = found["settings"]
    env_name = settings.get("env")
    return StartOptions(
        target=target,
        more=tuple(more),
        rest=rest,
        env_name=None if env_name is None else str(env_name),
        only=tuple(str(settings.get("only", "")).replace(",", " ").split()),
        overrides=found["overrides"],
        runtime=found["runtime"],
        argv=("start", *words),
    )


_SWITCHES: Final[dict[str, tuple[str, str, object]]] = {
    "--no-auto-exit": ("runtime", "auto_exit", False),
    "--no-autorestart": ("overrides", "autorestart", False),
}
_VALUES: Final[dict[str, tuple[str, str]]] = {
    "--env": ("settings", "env"),
    "--only": ("settings", "only"),
    "--name": ("overrides", "name"),
    "-i": ("overrides", "instances"),
    "--instances": ("overrides", "instances"),
    "--log-format": ("runtime", "log_format"),
    "--log-level": ("runtime", "log_level"),
    "--admin": ("runtime", "admin"),
    "--admin-token-file": ("runtime", "admin_token_file"),
    "--socket": ("runtime", "socket"),
}
OPTIONS: Final = (*_SWITCHES, *_VALUES, "--help")


def _next(words: Iterator[str], name: str) -> str:
    for word in words:
        return word
    raise UsageError(f"{name} needs a value")


def _did_you_mean(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, OPTIONS, 1)
    return f": did you mean {close[0]}?" if close else ""


def run(
    loading: Loading,
    load: Callable[[], Ecosystem],
    load_file: "Callable[[FileRequest], Ecosystem]",
    inbox: SignalInbox,
) -> int:
    """Run the ecosystem that `loading` brings; the exit code of the process.

    Args:
        loading: At work since before this module was imported.
        load: Reads it again on SIGHUP.
        load_file: Reads another file, for who wants that to be laid over what runs.
        inbox: Has been collecting signals since the first instruction.
    """
    # Beside the reading: what the session needs is imported before its outcome is waited for.
    from pidone import __version__
    from pidone.init.bare.execute import undo_locale_coercion
    from pidone.init.spawn import keep_descriptors_private
    from pidone.supervise.ending import Ending
    from pidone.supervise.run.session import Session, Surroundings
    from pidone.supervise.run.termination import leave_message

    try:
        ecosystem = loading.wait(inbox.has_stop)
    except Interrupted:
        return _refuse(ExitCode.OK, "stopped before the ecosystem was read")
    except UsageError as error:
        leave_message(Ending(ExitCode.USAGE, "usage", str(error)))
        more = "see pidone start --help" if sys.argv[1:] else f"\n{USAGE}".rstrip()
        return _refuse(ExitCode.USAGE, f"{error}\n{more}")
    except ConfigError as error:
        leave_message(Ending(ExitCode.CONFIG, "config", str(error)))
        return _refuse(ExitCode.CONFIG, str(error))
    undo_locale_coercion()  # PEP 538 is about our own interpreter, not about the apps
    keep_descriptors_private()
    _adopt_orphans()
    _keep_socket_path()
    with suppress(OSError):  # then a mount stays pinned, and no more: every path that is kept is absolute
        os.chdir("/")
    try:
        around = Surroundings(
            inbox=inbox,
            environ=dict(os.environ),
            version=__version__,
            load=load,
            load_file=load_file,
            operate=_operating(ecosystem.runtime),
        )
        ending = Session(ecosystem, around).run()
    except ConfigError as error:
        leave_message(Ending(ExitCode.CONFIG, "config", str(error)))
        return _refuse(ExitCode.CONFIG, str(error))
    except ListenError as error:
        code = ExitCode.PORT_TAKEN if isinstance(error, PortTakenError) else ExitCode.CONFIG
        place = ecosystem.listens_at.get(error.app) if error.app else None
        message = f"{place}: {error}" if place else str(error)
        leave_message(Ending(code, "listen", message))
        return _refuse(code, message)
    except Exception as error:
        leave_message(Ending(ExitCode.INTERNAL, "bug", describe_bug(error)))
        raise
    if ending.is_abnormal:
        leave_message(ending)
    return ending.code


def load_words(words: Sequence[str], cwd: str) -> Ecosystem:
    """Read what the words of a command line name. Raises UsageError or ConfigError."""
    from pidone.cli.prepare.misspelt import refuse_behind_options, refuse_misspelt

    refuse_misspelt(words, cwd, os.environ)
    options = parse(words, default=None if "--" in words else default_file(cwd))
    refuse_behind_options(options.target, words, cwd)
    return load_options(options, cwd)


def default_file(cwd: str) -> str | None:
    """The ecosystem of a folder, for whoever names none."""
    from pidone.ecosystem.formats.languages import USUAL_NAMES

    return next((name for name in USUAL_NAMES if os.path.isfile(os.path.join(cwd, name))), None)


def load_options(options: StartOptions, cwd: str) -> Ecosystem:
    """Read what is asked for. Raises ConfigError.

    Runs in a child: what is imported here never burdens the long-lived process.
    """
    from pathlib import Path

    from pidone.ecosystem.load import from_command, load
    from pidone.host.cpus import cpu_limits

    limits = cpu_limits()
    command, how = what_to_load(options, cwd, limits.available)
    if command:
        ecosystem = from_command(command, how)
    else:
        target = options.target
        ecosystem = load(None if target in (None, "-") else Path(target), how)
    return ecosystem.but(cwd=cwd, host_notes=limits.notes)


def what_to_load(options: StartOptions, cwd: str, cpus: int) -> "tuple[tuple[str, ...], LoadOptions]":
    """The command that a command line names, empty if it names a file, and how to read either."""
    from pathlib import Path

    from pidone.ecosystem.formats import is_ecosystem_file
    from pidone.ecosystem.options import LoadOptions

    target = options.target
    is_file = target not in (None, "") and (target == "-" or is_ecosystem_file(Path(cwd, target)))
    for word in options.more:
        if not is_file:
            raise UsageError(_not_followed(target or "", options.more, cwd))
        if word != "-" and not is_ecosystem_file(Path(cwd, word)):
            raise UsageError(
                f"only ecosystem files are taken together: {target!r} and {word!r}"
                " (arguments of an app follow --)"
            )
    command = () if is_file else (*((target,) if target is not None else ()), *options.rest)
    return command, LoadOptions(
        env_name=options.env_name,
        only=options.only,
        args=options.rest if is_file else (),
        more=tuple(map(Path, options.more)),
        cwd=Path(cwd),
        overrides=options.overrides,
        defaults=options.defaults,
        runtime=options.runtime,
        personality=options.personality,
        argv=options.argv,
        cpus=cpus,
    )


def _not_followed(target: str, more: Sequence[str], cwd: str) -> str:
    """What is wrong with `server.js 3000`, and the two things that may be meant."""
    if not target.strip():
        return "the first word is empty: a variable that is not set?"
    path = os.path.join(cwd, target)
    if not os.path.exists(path):
        return f"{target}: no such file (arguments of an app follow --)"
    import shlex

    kept = shlex.join((target, "--", *more))
    program = target if "/" in target else f"./{target}"
    once = shlex.join((program, *more))
    if os.path.isdir(path):
        way_out = f'"{kept}" starts an app with arguments'
    elif os.access(path, os.X_OK):
        way_out = f'"{once}" runs it once, "{kept}" keeps it up'
    else:
        way_out = f'"{kept}" keeps it up; to run it once as "{once}" it has to be executable (chmod +x)'
    return f"only ecosystem files are taken together, and {target} is none: {way_out}"


def _operating(settings: "RuntimeSpec") -> "Callable[[Parts], Closable | None]":
    """What opens the control side once the first apps run. Raises ConfigError, ListenError."""
    admin: Admin | None = None
    if settings.admin is not None:
        from pidone.control.admin import open_admin

        admin = open_admin(settings.admin, settings.admin_token_file)

    def operate(parts: "Parts") -> "Closable | None":
        from pidone.control import socket_file

        is_off = socket_file.configured(parts.supervisor.runtime.socket, os.environ) == socket_file.OFF
        if is_off and admin is None and not parts.supervisor.ecosystem.alerts:
            return None
        from pidone.control.server import ControlServer

        return ControlServer(parts, os.environ, admin)

    return operate


def _keep_socket_path() -> None:
    """PIDONE_SOCKET means the same after we have left this folder, for our apps as well."""
    path = os.environ.get(
        "PIDONE_SOCKET", ""
    )  # not socket_file.VARIABLE: its module is imported when apps run
    if path not in ("", "none") and not path.startswith("@"):
        os.environ["PIDONE_SOCKET"] = os.path.abspath(path)


def _adopt_orphans() -> None:
    if os.getpid() != 1:
        from pidone.init.prctl import set_child_subreaper

        with suppress(OSError):  # the system has no such thing: orphans go to process 1 then
            set_child_subreaper()


def _refuse(code: ExitCode, message: str) -> int:
    complain(message)
    return code
