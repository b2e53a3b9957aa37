"""`pm2 ...`, when the command is called by that name: PM2's arguments, output shapes and exit codes."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pidone.cli.operate import files, settling
from pidone.cli.operate.client import NO_RUNTIME, NO_TARGET, Client, CommandError
from pidone.cli.operate.patterns import expand, target_of
from pidone.cli.operate.table import harmless
from pidone.cli.pm2 import listing, logs, shows
from pidone.cli.pm2.listing import by_id
from pidone.cli.pm2.runtime import parse, read
from pidone.control.socket_file import is_served
from pidone.ecosystem.spec import Seconds
from pidone.logs.escape import printable_word

_FAILED: Final = 1
"""PM2 knows no other code."""
_TIDYING: Final = ("restart", "reload", "stop", "delete")
_LONG: Final[Seconds] = 600.0
_POLL: Final[Seconds] = 0.05
_DUMP: Final = "dump.toml"
_SILENT: Final = ("-s", "--silent", "--no-color", "-f", "--force", "--no-daemon", "--attach")
_HOLDING: Final = {"--no-daemon", "--attach"}
"""Options with which `pm2 start` stays in the foreground."""
_SERVING: Final = ("serve", "expose")
_STARTING: Final = ("start", "restart", "startOrRestart", "reload", "startOrReload", "startOrGracefulReload")
"""Commands that start what a FILE names where nothing runs yet."""
_USUAL: Final = "ecosystem.config.js"
"""What `pm2 start` without a word starts."""
_MODULES: Final = "modules do not exist here"
_SETTINGS: Final = (
    "settings of modules do not exist here; keys of the ecosystem file and [runtime] take their place"
)
_NO_CLOUD: Final = "there is no cloud service behind this"
_NEW_IMAGE: Final = "a new version is a new image"
_INSTEAD: Final = {
    **dict.fromkeys(
        ("install", "module:install"),
        f'{_MODULES}; for pm2-logrotate: log_max_size = "10M", log_retain, log_compress',
    ),
    **dict.fromkeys(("uninstall", "module:uninstall", "module:update"), _MODULES),
    **dict.fromkeys(("set", "multiset", "unset", "get", "conf", "config"), _SETTINGS),
    **dict.fromkeys(
        ("startup", "unstartup"), "the container engine starts containers: its restart policy does this"
    ),
    "logrotate": 'log files are rotated here without another program: log_max_size = "10M", log_retain',
    "resurrect": "what runs is what the file says; `pm2 save` writes a file to start from",
    "cleardump": "there is no dump that would be started from",
    **dict.fromkeys(
        ("update", "updatePM2"), f"{_NEW_IMAGE}; there is no daemon that would have to be replaced"
    ),
    **dict.fromkeys(("pull", "forward", "backward", "deepUpdate"), f"{_NEW_IMAGE} of the app as well"),
    **dict.fromkeys(
        ("link", "unlink", "plus", "login", "logout", "register", "monitor", "unmonitor", "open"), _NO_CLOUD
    ),
    **dict.fromkeys(
        ("install-otel", "uninstall-otel"), "otel = true in an app's table, or the app's own SDK"
    ),
    "report": "`pidone describe all`, `pidone health` and the log tell how it is",
    **dict.fromkeys(("publish", "module:publish", "package", "module:package", "module:generate"), _MODULES),
    "examples": "`pm2 --help` names the commands there are",
    **dict.fromkeys(
        ("inspect", "profile:cpu", "profile:mem"), 'node_args = "--inspect" lets Node\'s own tools in'
    ),
    "autoinstall": "the image has what its apps need",
    "completion": "`pidone completion bash` prints the one there is",
    "deploy": "an image is built and pushed in place of this; of `deploy` only the env of --env NAME counts",
    **dict.fromkeys(("ecosystem", "init", "create"), "`pidone init` writes an ecosystem file"),
}
"""Commands that have nothing to do in a container, and what does it in their place."""


class _Asked(NamedTuple):
    """What the words of a command ask for."""

    targets: list[str]
    how: files.FileSettings


_WRITE: Final = "nothing runs in the background of a container; in place of `pm2 {}`, write CMD {}"


def foreground(words: Sequence[str]) -> list[str] | None:
    """`pm2 WORDS...` as words of pm2-runtime where it becomes the runtime, else None.

    It does for `pm2 start FILE --no-daemon` and the like where there is none yet.
    """
    own = words[: words.index("--")] if "--" in words else words
    at = next((index for index, word in enumerate(own) if word in (*_STARTING, *_SERVING)), None)
    if at is None or not _HOLDING & {*own} or is_served(os.environ):
        return None
    before, rest = own[:at], [*own[at + 1 :]]
    if not all(word in _SILENT for word in before):
        return None
    if own[at] in _SERVING:
        return ["serve", *before, *rest]
    if own[at] != "start" and not any(map(_is_file, rest)):
        return None
    file = [_USUAL] if parse(["start", *rest])[0].is_empty else []
    return ["start", *before, *rest, *file, *words[len(own) :]]


def _is_file(word: str) -> bool:
    from pidone.ecosystem.formats import is_ecosystem_file

    return os.path.isfile(word) and is_ecosystem_file(Path(word))


def run(argv: Sequence[str]) -> int:
    """`argv[0]` is `pm2`."""
    words = list(argv[1:])
    at = next((number for number, word in enumerate(words) if not word.startswith("-")), 0)
    words = (
        [words[at], *words[:at], *words[at + 1 :]] if at else words
    )  # options before a command are its own
    if words[:1] != ["logs"]:
        words = [word for word in words if word not in _SILENT]
    own = words[: words.index("--")] if "--" in words else words
    if not words or words[0] == "help" or {"-h", "--help"} & {*own}:
        print("usage: pm2 COMMAND (this is pidone): " + ", ".join(sorted(_COMMANDS)))
        return 0 if words else _FAILED
    if words[0] in ("-v", "-V", "--version", "version"):
        from pidone import __version__

        print(__version__)
        return 0
    if words[0] in _INSTEAD or (words[0] in ("save", "dump") and not is_served(os.environ)):
        print(f"[PM2][WARN] {words[0]}: {_INSTEAD.get(words[0], 'nothing runs yet that could be saved')}")
        return 0
    if words[0] in _SERVING:
        line = _WRITE.format(words[0], json.dumps(["pm2-runtime", *words]))
        sys.stderr.write(f"[PM2][ERROR] {printable_word(line)}\n")
        return _FAILED
    if words[0] not in _COMMANDS:
        sys.stderr.write(f"[PM2][ERROR] {words[0]}: there is no such command in a container\n")
        return _FAILED
    return _FAILED if _call(_COMMANDS[words[0]], words[1:]) else 0


def _call(command: Callable[[Client, list[str]], int], words: list[str]) -> int:
    try:
        return command(Client.find(), words)
    except CommandError as error:
        if error.code == NO_RUNTIME and (told := _where_nothing_runs(command, words)) is not None:
            print(told)
            return 0
        verb = next((word for word in _STARTING if _COMMANDS[word] is command), "")
        if error.code == NO_RUNTIME and (verb == "start" or (verb and any(map(_is_file, words)))):
            error = CommandError(_WRITE.format(verb, json.dumps(["pm2-runtime", *(words or [_USUAL])])))
        if error.code == NO_TARGET and verb == "start" and any(map(os.path.isfile, words)):
            error = CommandError("the ecosystem file says what runs: add it there, then `pm2 restart FILE`")
        what = re.sub(r"^there is no app '(.*?)'", r"Process or Namespace \1 not found", str(error))
        sys.stderr.write(f"[PM2][ERROR] {printable_word(what)}\n")
    except KeyboardInterrupt:  # the usual end of `pm2 logs`
        pass
    return _FAILED


def _where_nothing_runs(command: Callable[[Client, list[str]], int], words: Sequence[str]) -> str | None:
    """What PM2, which has started a daemon by then, says of no process at all; None where that is an error.

    Scripts tidy up before they start, and stop on a failure.
    """
    told = {
        "ls": listing.boxed([], listing.HEAD),
        "jlist": "[]",
        "prettylist": "[]",
        "pid": "",
        "id": "[]",
        "kill": "[PM2] [v] All Applications Stopped",
        "flush": "[PM2] Logs flushed",
        "reloadLogs": "All logs reloaded",
        **(dict.fromkeys(_TIDYING, "[PM2][WARN] No process found") if "all" in words else {}),
    }
    return next((text for name, text in told.items() if _COMMANDS[name] is command), None)


def _verb(verb: str, action: str) -> Callable[[Client, list[str]], int]:
    def change(runtime: Client, words: list[str]) -> int:
        asked = _asked(words, verb)
        failures: list[str] = []
        for word in asked.targets:
            if files.is_file(word):
                failures += _lay_file(runtime, verb, action, word, asked)
                continue
            for target in expand(runtime, [word]):
                if verb == "delete" and _delete_one(runtime, target):
                    continue
                if asked.how.update_env:
                    files.apply_environ(runtime, verb, target)
                    apps = _apps(runtime, target)
                else:
                    # What runs and is started by its name is restarted there.
                    apps = settling.act(runtime, target, "restart" if verb == "start" else verb)
                failures += _tell(runtime, verb, action, target, apps)
        if verb != "reload":
            print(listing.listing(harmless(_apps(runtime))))
        for line in failures:
            sys.stderr.write(f"[PM2][ERROR] {printable_word(line)}\n")
        return _FAILED if failures else 0

    return change


def _delete_one(runtime: Client, target: str) -> bool:
    """One process of several: its app becomes smaller by one, as PM2's own client has it here. Else False."""
    apps = _apps(runtime, target)
    if len(apps) != 1 or len(apps[0]["instances"]) == apps[0]["scale"]:
        return False
    whole = target_of(apps[0])
    before = {each["id"] for each in by_id(_apps(runtime, whole))}
    settling.act(runtime, whole, "scale", {"instances": "-1"})
    settling.settle(runtime, whole, timeout=_LONG)
    gone = before - {each["id"] for each in by_id(_apps(runtime, whole))}
    for number in gone:
        print(f"[PM2] [{apps[0]['called']}]({number}) ✓")
    return True


def _tell(
    runtime: Client, verb: str, action: str, target: str, apps: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Show how it goes with what was asked for, until it has happened; what went wrong."""
    apps = harmless(apps)
    shown = apps[0]["called"] if len(apps) == 1 and "/" in target else target
    print(f"[PM2] Applying action {action}ProcessId on app [{shown}](ids: {_ids(apps)})")
    if verb != "delete":
        apps = settling.settle(runtime, target, timeout=_LONG)
        if verb != "stop":
            yield from filter(None, (settling.failure(verb, app) for app in apps))
    for app in apps:
        for instance in app["instances"]:
            print(f"[PM2] [{app['called']}]({instance['id']}) ✓")
    if verb == "delete":
        _wait_gone(runtime, {target_of(app) for app in apps})


def _lay_file(runtime: Client, verb: str, action: str, file: str, asked: _Asked) -> Iterator[str]:
    """As PM2 does: those that run get what has changed, the others are started; what went wrong."""
    verb = "restart" if verb == "start" else verb
    before = _apps(runtime)
    found = files.apply_file(runtime, verb, file, asked.how, files.told())
    for note in found["notes"]:
        sys.stderr.write(f"[PM2][WARN] {printable_word(note)}\n")
    for app in found["apps"]:
        if app["how"] != "added":
            shown = [each for each in before if target_of(each) == target_of(app)]
            yield from _tell(runtime, verb, action, target_of(app), shown)
    if added := [app for app in found["apps"] if app["how"] == "added"]:
        names = ", ".join(printable_word(app["name"]) for app in added)
        print(f"[PM2][WARN] Applications {names} not running, starting...")
    for app in added:
        for each in settling.settle(runtime, target_of(app), timeout=_LONG):
            print(f"[PM2] App [{printable_word(each['called'])}] launched ({each['scale']} instances)")
            yield from filter(None, [settling.failure(verb, each)])


def _wait_gone(runtime: Client, keys: set[str]) -> None:
    """Until none of them is listed any more."""
    deadline = time.monotonic() + _LONG
    while keys & {target_of(app) for app in _apps(runtime)}:
        if time.monotonic() > deadline:
            raise CommandError("delete: it does not stop")
        time.sleep(_POLL)


def _apps(runtime: Client, target: str = "all", *, none_if: int = NO_RUNTIME) -> Sequence[dict[str, Any]]:
    """Every app of a target; none if the runtime has ended with the last, or whatever else says `none_if`."""
    try:
        apps: list[dict[str, Any]] = runtime.get("api", "apps", target)["apps"]
    except CommandError as error:
        if error.code != none_if:
            raise
        return []
    return apps


def _asked(words: Sequence[str], verb: str) -> _Asked:
    """What the words of a command ask for. Raises CommandError."""
    line = read(words)
    targets, settings = line.targets, line.found["settings"]
    about_apps = (*line.about_apps, *(["--"] if line.rest else []))
    said = (f"{each}: the ecosystem file says what counts, ignored" for each in about_apps)
    for told in (*line.warnings, *said):
        sys.stderr.write(f"[PM2][WARN] {printable_word(told)}\n")
    if not targets and verb == "start" and os.path.isfile(_USUAL):
        targets = [_USUAL]
    if not targets:
        raise CommandError(f"{verb}: missing required argument `id|name|namespace|all|json'")
    only = str(settings.get("only", "")).replace(",", " ").split()
    env_name = None if "env" not in settings else str(settings["env"])
    return _Asked(targets, files.FileSettings(env_name, only, "update_env" in settings))


def _ids(apps: Sequence[Mapping[str, Any]]) -> str:
    ids = [str(each["id"]) for each in by_id(apps)]
    return f"[ {', '.join(ids)} ]" if ids else "[]"


def _scale(runtime: Client, words: list[str]) -> int:
    if len(words) < 2:
        raise CommandError("scale: missing required argument `number'")
    target, number = words[:2]
    before = runtime.get("api", "apps", target)["apps"]
    if len(before) > 1 and all(app["called"] == target for app in before):
        return _scale_together(runtime, before, number)
    apps = settling.act(runtime, target, "scale", {"instances": number})
    scales = {target_of(app): app["scale"] for app in before}
    if all(app["scale"] == scales.get(target_of(app)) for app in apps):
        raise CommandError("Nothing to do")
    if any(app["scale"] > scales.get(target_of(app), 0) for app in apps):
        print("[PM2] Scaling up application")
    for app in apps:
        settling.settle(runtime, target_of(app), timeout=_LONG)
    return listing.ls(runtime, [])


def _scale_together(runtime: Client, apps: Sequence[Mapping[str, Any]], number: str) -> int:
    """Several apps of one name, whose processes PM2 counts together: the first grows, and shrinks first."""
    total = sum(app["scale"] for app in apps)
    try:
        more = int(number) - (0 if number.startswith(("+", "-")) else total)
    except ValueError:
        raise CommandError(f"scale: {number}: expected a number") from None
    if not more:
        raise CommandError("Nothing to do")
    if more > 0:
        print("[PM2] Scaling up application")
        settling.act(runtime, target_of(apps[0]), "scale", {"instances": f"+{more}"})
    for app in apps:
        fewer = min(max(-more, 0), app["scale"])
        more += fewer
        if fewer and fewer == app["scale"]:
            settling.act(runtime, target_of(app), "delete")
            _wait_gone(runtime, {target_of(app)})
        else:
            if fewer:
                settling.act(runtime, target_of(app), "scale", {"instances": f"-{fewer}"})
            settling.settle(runtime, target_of(app), timeout=_LONG)
    return listing.ls(runtime, [])


def _known(runtime: Client, words: list[str]) -> Sequence[Mapping[str, Any]]:
    """The apps of a target, all without one; none if there is no such target."""
    return _apps(runtime, *words[:1], none_if=NO_TARGET)


def _pid(runtime: Client, words: list[str]) -> int:
    pids = [str(instance["pid"] or 0) for instance in by_id(_known(runtime, words))]
    print("\n".join(pids))
    return 0


def _id(runtime: Client, words: list[str]) -> int:
    print(_ids(_known(runtime, words)))
    return 0


def _ping(runtime: Client, words: list[str]) -> int:
    del words
    runtime.get("api")
    print("{ msg: 'pong' }")
    return 0


def _signal(runtime: Client, words: list[str]) -> int:
    if len(words) < 2:
        raise CommandError("sendSignal: missing required argument `pm2_id|name'")
    name, target = words[:2]
    what = f"process {'id' if target.isdecimal() else 'name'} {target}"
    print(f"[PM2] Sending signal to {what}")
    settling.act(runtime, target, "signal", {"signal": name})
    print(f"successfully sent signal {name} to {what}")
    return 0


def _send(runtime: Client, words: list[str]) -> int:
    if len(words) < 2:
        raise CommandError("send: missing required argument `line'")
    runtime.post("api", "apps", words[0], "send", body={"line": words[1]})
    return listing.ls(runtime, [])


def _reset(runtime: Client, words: list[str]) -> int:
    for target in expand(runtime, _asked(words, "reset").targets):
        for instance in by_id(settling.act(runtime, target, "reset")):
            print(f"[PM2] Resetting meta for process id {instance['id']}")
    return listing.ls(runtime, [])


def _flush(runtime: Client, words: list[str]) -> int:
    settling.act(runtime, words[0] if words else "all", "flush")
    print("[PM2] Logs flushed")
    return 0


def _reload_logs(runtime: Client, words: list[str]) -> int:
    del words
    print("Reloading all logs...")
    runtime.post("api", "logs", "reopen")
    print("All logs reloaded")
    return 0


def _save(runtime: Client, words: list[str]) -> int:
    """PM2 has one place for it. Ours holds TOML, and is for people: nothing reads it by itself."""
    del words
    from pidone.cli.operate.saving import replace, text_of

    print("[PM2] Saving current process list...")
    home = Path(os.environ.get("PM2_HOME") or Path.home() / ".pm2")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{home}: {error.strerror}") from None
    replace(home / _DUMP, text_of(runtime))
    print(f"[PM2] Successfully saved in {home / _DUMP}")
    return 0


def _kill(runtime: Client, words: list[str]) -> int:
    del words
    os.kill(runtime.get("api")["pid"], signal.SIGTERM)
    print("[PM2] [v] All Applications Stopped")
    return 0


def _monit(runtime: Client, words: list[str]) -> int:
    del words
    from pidone.cli.click_app import run as run_command

    return run_command(["monit", "--socket", runtime.path])


_COMMANDS: Final[Mapping[str, Callable[[Client, list[str]], int]]] = {
    **dict.fromkeys(("ls", "list", "l", "ps", "status"), listing.ls),
    "jlist": listing.jlist,
    "prettylist": listing.prettylist,
    **dict.fromkeys(("slist", "sysinfos"), listing.slist),
    "start": _verb("start", "restart"),
    **dict.fromkeys(("restart", "startOrRestart"), _verb("restart", "restart")),
    **dict.fromkeys(
        ("reload", "gracefulReload", "startOrReload", "startOrGracefulReload"), _verb("reload", "reload")
    ),
    "stop": _verb("stop", "stop"),
    **dict.fromkeys(("delete", "del"), _verb("delete", "delete")),
    "scale": _scale,
    "pid": _pid,
    "id": _id,
    "ping": _ping,
    "sendSignal": _signal,
    "kill": _kill,
    "logs": logs.logs,
    **dict.fromkeys(("describe", "desc", "info", "show"), shows.describe),
    "env": shows.env,
    "send": _send,
    "trigger": shows.trigger,
    "reset": _reset,
    "flush": _flush,
    "reloadLogs": _reload_logs,
    **dict.fromkeys(("save", "dump"), _save),
    **dict.fromkeys(("monit", "imonit", "dash", "dashboard"), _monit),
}
