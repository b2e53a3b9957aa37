"""`pm2 logs`: the last lines of processes, and those to come, as PM2 prints them."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.patterns import expand, target_of
from pidone.logs.escape import printable

_LINES: Final = 15
_PADDING: Final = 10
"""How wide PM2 makes `id|name` of lines that are there already."""
_STAMP: Final = "YYYY-MM-DD-HH:mm:ss"
_VALUED: Final = ("--lines", "--timestamp", "--highlight")
_PLAIN: Final = ("--raw", "--json", "--format")


class _Process(NamedTuple):
    """Who wrote a line, as PM2 tells it."""

    id: int
    name: str


class _Shown(NamedTuple):
    """A line as it is shown, and of which file of PM2's it would be the last."""

    text: str
    source: tuple[str, str]


def logs(runtime: Client, words: Sequence[str]) -> int:
    """The last lines and, unless told not to, those to come. A target nobody knows has none."""
    options, targets = _options(words)
    target = targets[0] if targets else "all"
    lines = options.get("--lines", "").lstrip("-")
    count = int(lines) if lines.isdecimal() else _LINES
    if count and not options.keys() & {"--json", "--format"}:
        few = f"[{target}] process" + ("es" if target == "all" else "")
        print(f"[TAILING] Tailing last {count} lines for {few} (change the value with --lines option)")
        sys.stdout.flush()
    try:
        found = {target: runtime.get("api", "apps", target)["apps"] for target in expand(runtime, [target])}
    except CommandError:
        return 0
    processes = {
        (app["name"], each["index"]): _Process(each["id"], app["called"])
        for apps in found.values()
        for app in apps
        for each in app["instances"]
    }
    query = {"err": "1"} if "--err" in options and "--json" not in options else {}
    if target != "all":
        query["app"] = ",".join(target_of(app) for apps in found.values() for app in apps)
    if not processes:
        return 0
    shape = _shape(options, processes, _PADDING)
    records = runtime.get("api", "logs", lines="10000", events="0", **query)["records"]
    for shown in _last(filter(None, map(shape, records)), count):
        _print(shown, options)
    if "--nostream" not in options:
        shape = _shape(options, processes, max(len(f"{each.id}|{each.name}") for each in processes.values()))
        for event, record in runtime.stream("api", "logs", follow="1", lines="0", **query):
            if event == "lost":
                raise CommandError("too slow: some records were lost")
            if (line := shape(record)) is not None:
                _print(line, options)
    return 0


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What was asked for, and of whom; an option with a value takes the next word unless that is one, too."""
    options: dict[str, str] = {}
    targets = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, given, value = word.partition("=")
        if name in _VALUED:
            takes = not given and left and (name == "--lines" or not left[0].startswith("-"))
            options[name] = left.pop(0) if takes else value
        elif word.startswith("-"):
            options[word] = ""
        else:
            targets.append(word)
    return options, targets


def _last(lines: Iterator[_Shown], count: int) -> list[_Shown]:
    """So many of each app and stream, as PM2 has a file for each."""
    left: Counter[tuple[str, str]] = Counter()
    kept = []
    for line in reversed([*lines]):
        left[line.source] += 1
        if left[line.source] <= count:
            kept.append(line)
    return kept[::-1]


def _print(line: _Shown, options: Mapping[str, str]) -> None:
    """Raw lines go where they came from."""
    is_error = "--raw" in options and line.source[1] == "stderr"
    print(printable(line.text), file=sys.stderr if is_error else sys.stdout, flush=True)


def _shape(
    options: Mapping[str, str], processes: Mapping[tuple[str, int], _Process], width: int
) -> Callable[[str], _Shown | None]:
    """How a record is shown, `id|name` at least so wide; None for what was not asked for."""
    wanted = {"--out": "stdout", "--err": "stderr"}
    streams = {stream for option, stream in wanted.items() if option in options} or {"stdout", "stderr"}
    is_json = "--json" in options and "--raw" not in options
    text_of = _text_maker(options, width)

    def shown(record: str) -> _Shown | None:
        fields = json.loads(record)
        if "stream" not in fields:  # an event of the runtime
            told = _event(fields, processes) if is_json else None
            return None if told is None else _Shown(told, ("", "event"))
        process = processes.get((fields["app"], fields.get("instance", 0)))
        if process is None or (fields["stream"] not in streams and not is_json):
            return None
        message = str(fields.get("message", record))
        return _Shown(text_of(fields, process, message), (process.name, fields["stream"]))

    return shown


def _text_maker(options: Mapping[str, str], width: int) -> Callable[[Mapping[str, Any], _Process, str], str]:
    shape = next((option for option in _PLAIN if option in options), "")
    pattern = options.get("--timestamp") or _STAMP

    def text_of(fields: Mapping[str, Any], process: _Process, message: str) -> str:
        is_error = fields["stream"] == "stderr"
        if shape == "--raw":
            return message
        if shape == "--json":
            kind = "err" if is_error else "out"
            told = {"message": message, "timestamp": fields.get("timestamp"), "type": kind}
            return _compact({**told, "process_id": process.id, "app_name": process.name})
        if shape == "--format":
            kind = "error" if is_error else "out"
            at = _date(fields, f"{_STAMP}ZZ")
            return f"timestamp={at} app={process.name} id={process.id} type={kind} message={message}"
        at = f"{_date(fields, pattern)} " if "--timestamp" in options else ""
        return f"{at}{f'{process.id}|{process.name}':<{width}} | {message}"

    return text_of


def _event(fields: Mapping[str, Any], processes: Mapping[tuple[str, int], _Process]) -> str | None:
    """What happens to one of the processes, in PM2's words."""
    from pidone.logs.formats.pm2 import STATUS

    status = STATUS.get(str(fields.get("event")))
    process = processes.get((str(fields.get("app")), fields.get("instance", 0)))
    if status is None or process is None:
        return None
    told = {"timestamp": fields.get("timestamp"), "type": "process_event", "status": status}
    return _compact({**told, "app_name": process.name})


def _compact(value: object) -> str:
    """JSON as JavaScript writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _date(fields: Mapping[str, Any], pattern: str) -> str:
    """When a line was written, in local time, as dayjs would write it; what is no time stays."""
    from pidone.logs.files.dates import date_formatter

    text = str(fields.get("timestamp"))
    try:
        return date_formatter(pattern)(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return text
