"""The command line of pm2-runtime and pm2-docker, for a Dockerfile that changes one line."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from pidone.cli.start import StartOptions, load_options
from pidone.ecosystem.spec import Ecosystem

_NO_TARGET: Final = 1
"""The peer's exit code when there is nothing to start."""
USAGE: Final = """\
usage: pm2-runtime [start] [OPTIONS] FILE|SCRIPT [-- ARGS...]

pidone under the name of PM2's runtime: the same command line, SIGINT as stop signal, 1.6 s to stop.

  -i, --instances N        number of instances, or "max" for the CPUs of this container
  -n, --name NAME          name of the app
  --env NAME               lay env_NAME over every app's env
  --only NAMES             only these apps, comma separated
  --raw                    lines as they are: the default
  --json, --format, --formatted
                           lines as records, as key=value, behind `id|app`
  --delay SECONDS          wait before the apps start
  --no-auto-exit           stay when nothing is left to run
  --no-autorestart         do not restart what ends
  --no-autostart           do not start the apps
  --watch                  restart when files change
  --stop-exit-codes CODES  exit codes after which an app is not restarted, comma separated
  --node-args ARGS         arguments of the interpreter
  --interpreter PROGRAM    what runs the script
  --max-memory-restart SIZE, -c, --cron PATTERN, --output FILE, --error FILE
                           the keys of these names, for apps that do not have them
  --web [PORT]             serve the dashboard, metrics and the read-only API there; 9615
  -h, --help               this text
  -V, --version            the version

`pidone --help` shows what else there is.
"""

_WEB_PORT: Final = "9615"
_SERVERS: Final = ("serve", "expose")
_SERVED_AT: Final = "8080"
_SWITCHES: Final = {
    "--no-auto-exit": ("runtime", "auto_exit", False),
    "--json": ("runtime", "log_format", "pm2"),
    "--format": ("runtime", "log_format", "pm2-format"),
    "--formatted": ("runtime", "log_format", "pm2-formatted"),
    "--raw": ("runtime", "log_format", "raw"),
    "--no-autorestart": ("defaults", "autorestart", False),
    "--no-autostart": ("defaults", "autostart", False),
    "--watch": ("defaults", "watch", True),
    **dict.fromkeys(("--no-daemon", "--attach"), ("settings", "foreground", True)),
    **dict.fromkeys(("-a", "--update-env"), ("settings", "update_env", True)),
    "--time": ("defaults", "time", True),
    "--merge-logs": ("defaults", "merge_logs", True),
    "--disable-logs": ("defaults", "disable_logs", True),
    "--wait-ready": ("defaults", "wait_ready", True),
    "--shutdown-with-message": ("defaults", "shutdown_with_message", True),
    "--no-treekill": ("defaults", "treekill", False),
    "--spa": ("serving", "SPA", "true"),
    "--ftp": ("serving", "FTP", "true"),
}
_VALUES: Final = {
    "-i": ("overrides", "instances"),
    "--instances": ("overrides", "instances"),
    "-n": ("overrides", "name"),
    "--name": ("overrides", "name"),
    "--node-args": ("defaults", "interpreter_args"),
    "--interpreter-args": ("defaults", "interpreter_args"),
    "--interpreter": ("defaults", "interpreter"),
    "--max-memory-restart": ("defaults", "max_memory_restart"),
    "-c": ("defaults", "cron_restart"),
    "--cron": ("defaults", "cron_restart"),
    "--cron-restart": ("defaults", "cron_restart"),
    **dict.fromkeys(("-o", "--output"), ("defaults", "out_file")),
    **dict.fromkeys(("-e", "--error"), ("defaults", "error_file")),
    **dict.fromkeys(("-l", "--log"), ("defaults", "log_file")),
    **dict.fromkeys(("-k", "--kill-timeout"), ("defaults", "kill_timeout")),
    **{
        f"--{key.replace('_', '-')}": ("defaults", key)
        for key in (
            *("cwd", "namespace", "uid", "gid", "listen_timeout", "max_restarts", "restart_delay"),
            *("exp_backoff_restart_delay", "log_date_format", "log_type", "ignore_watch", "watch_delay"),
        )
    },
    "--port": ("serving", "PORT"),
    "--basic-auth-username": ("serving", "BASIC_AUTH_USERNAME"),
    "--basic-auth-password": ("serving", "BASIC_AUTH_PASSWORD"),
    "--only": ("settings", "only"),
    "--env": ("settings", "env"),
    "--delay": ("settings", "delay"),
    "--stop-exit-codes": ("settings", "stop_exit_codes"),
}
_IGNORED: Final = {
    "--secret": 1,
    "--public": 1,
    "--machine-name": 1,
    "--trace": 0,
    "--v8": 0,
    "--deep-monitoring": 0,
    **dict.fromkeys(("-p", "--pid", "-u", "--user", "--hp", "--parallel", "--sort", "--service-name"), 1),
    **dict.fromkeys(("-x", "--execute-command", "--source-map-support", "--disable-source-map-support"), 0),
    **dict.fromkeys(("--no-vizion", "--no-pmx", "--no-automation", "--disable-trace"), 0),
    **dict.fromkeys(("-f", "--force", "-s", "--silent", "--no-color", "-w", "--write", "--wait-ip"), 0),
    **dict.fromkeys(("--ext", "--filter-env"), 1),
}
"""Options of PM2's daemon and its cloud service, and how many values each takes."""


class Line(NamedTuple):
    """A command line of PM2's, by what its words are."""

    found: dict[str, dict[str, object]]
    """What options say of the `runtime`, of apps (`overrides`, `defaults`) and of the rest."""
    targets: list[str]
    rest: list[str]
    """What follows `--`."""
    about_apps: list[str]
    """The options that say what an app is, as they are spelt."""
    warnings: list[str]


def read(words: Sequence[str]) -> Line:
    """Options, their values, and the other words. Nothing is refused, but what is ignored is said."""
    found: dict[str, dict[str, object]] = {
        name: {} for name in ("runtime", "overrides", "defaults", "settings", "serving")
    }
    about_apps: list[str] = []
    targets: list[str] = []
    warnings: list[str] = []
    left = list(words)
    rest: list[str] = []
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=") if word.startswith("-") else (word, "", "")
        if word == "--":
            rest, left = left, []
        elif name in _SWITCHES:
            where, key, setting = _SWITCHES[name]
            found[where][key] = setting
            about_apps += [name] if where == "defaults" else []
        elif name in _VALUES:
            where, key = _VALUES[name]
            if not given and not left:
                warnings.append(f"{name} needs a value and is ignored")
                continue
            found[where][key] = value if given else left.pop(0)
            about_apps += [name] if where in ("defaults", "overrides") else []
        elif name == "--web":
            found["runtime"]["admin"] = f":{value or _port(left)}"
        elif name in _IGNORED:
            del left[: 0 if given else _IGNORED[name]]
            warnings.append(f"{name} means nothing here and is ignored")
        elif word.startswith("-") and word != "-":
            warnings.append(f"{name}: unknown option, ignored")
        else:
            targets.append(word)
    return Line(found, targets, rest, about_apps, warnings)


def parse(words: Sequence[str]) -> tuple[StartOptions, tuple[str, ...]]:
    """What follows the program's name, as the options of a start, and what to warn of."""
    line = read(words)
    started = line.targets[:1] == ["start"]
    targets = _serve(line.targets[1:] if started else line.targets, line.found, line.warnings)
    if (delay := line.found["settings"].get("delay")) is not None:
        if str(delay).replace(".", "", 1).isdecimal():
            line.found["runtime"]["start_delay"] = f"{delay}s"  # the one duration that PM2 counts in seconds
        else:
            line.warnings.append(f"--delay {delay}: is no number of seconds, ignored")
    told = (f"{extra}: only one file is started, ignored" for extra in targets[1:])
    options = _collected(line.found, targets[0] if targets else None, tuple(line.rest))
    return options.but(argv=("start", *(words[1:] if started else words))), (*line.warnings, *told)


def _serve(words: list[str], found: dict[str, dict[str, object]], warnings: list[str]) -> list[str]:
    """`serve [PATH] [PORT]` with its options, as the app that does it; what is left of the words."""
    told = found["serving"]
    if not words or words[0] not in _SERVERS:
        if told:
            options = ", ".join(f"--{name.replace('_', '-').lower()}" for name in told)
            warnings.append(f"{options}: for serve alone, ignored")
        return words
    told = {**dict(zip(("PATH", "PORT"), words[1:3], strict=False)), **told}
    if {"BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"} <= told.keys():
        told["BASIC_AUTH"] = "true"
    found["defaults"]["env"] = {f"PM2_SERVE_{name}": value for name, value in told.items()}
    found["defaults"]["name"] = f"static-page-server-{told.get('PORT', _SERVED_AT)}"
    return ["serve", *words[3:]]


def _port(left: list[str]) -> str:
    """The port that follows `--web`, taken out; PM2's own if none does."""
    return left.pop(0) if left and left[0].isdecimal() else _WEB_PORT


def _collected(
    found: dict[str, dict[str, object]], target: str | None, rest: tuple[str, ...]
) -> StartOptions:
    settings = found["settings"]
    if "stop_exit_codes" in settings:
        codes = str(settings["stop_exit_codes"]).replace(",", " ").split()
        found["defaults"]["stop_exit_codes"] = codes
    env_name = settings.get("env")
    return StartOptions(
        target=target,
        rest=rest,
        env_name=None if env_name is None else str(env_name),
        only=tuple(str(settings.get("only", "")).replace(",", " ").split()),
        overrides=found["overrides"],
        defaults=found["defaults"],
        runtime=found["runtime"],
        personality="pm2-runtime",
    )


def answer(words: Sequence[str]) -> int | None:
    """Say what needs no start, and the exit code; None if there is something to start."""
    if _asks(words, "-V", "--version"):
        from pidone import __version__

        print(__version__)
        return 0
    if _asks(words, "-h", "--help"):
        print(USAGE, end="")
        return 0
    options, warnings = parse(words)
    if options.is_empty:
        print(USAGE, end="")
        return _NO_TARGET
    for warning in warnings:  # here, and not at each reading of the file
        print(f"pm2-runtime: {warning}", file=sys.stderr, flush=True)
    return None


def load_words(words: Sequence[str], cwd: str) -> Ecosystem:
    """Read what the words of a command line name, in a child. Raises ConfigError."""
    return load_options(parse(words)[0], cwd)


def _asks(words: Sequence[str], *switches: str) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return any(word in switches for word in own)
