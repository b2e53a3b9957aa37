"""A runtime under trial, as its records and its control side show it."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final, Self

from pidone.cli.operate.client import CommandError
from pidone.cli.trial import leftovers, sockets
from pidone.cli.trial.answers import Tally
from pidone.cli.trial.families import Families
from pidone.cli.trial.findings import Killed, Seen
from pidone.cli.trial.reasons import is_taken, last_words
from pidone.cli.trial.records import Fields, Records
from pidone.cli.trial.runtime import OwnRuntime
from pidone.ecosystem.spec import Seconds
from pidone.signames import parse_signal

_POLL: Final[Seconds] = 0.02
_NUMBER: Final = re.compile(r"\d{2,5}")


class Running:
    """One run."""

    def __init__(self, own: OwnRuntime, records: Records, mark: str, file: Path) -> None:
        """It has been started with that file; its processes carry `mark`."""
        self._mark = mark
        self._file = file
        self.own = own
        self.records = records

    @classmethod
    @contextmanager
    def started(
        cls, files: Sequence[str], folder: Path, env_name: str | None, mark: str, records: Records
    ) -> Iterator[Self]:
        """Start one in a folder of its own; it has ended afterwards. Its processes carry `mark`."""
        folder.mkdir()
        own = OwnRuntime(
            files,
            folder,
            records.writer,
            env_name=env_name,
            log_format="json",
            environ={leftovers.MARK: mark},
        )
        with records, own:
            yield cls(own, records, mark, Path(files[0]))

    def names(self) -> list[str]:
        """All apps; those that were started, if it has ended."""
        try:
            return [str(app["name"]) for app in self.own.client.get("api", "apps")["apps"]]
        except CommandError:
            return sorted({str(each["app"]) for each in self.records.events("instance.start")})

    def pids(self, app: str) -> list[int]:
        """Main processes that serve. Raises CommandError."""
        described = self.own.client.get("api", "apps", app)["apps"]
        instances = [each for one in described for each in one["instances"]]
        return [int(each["pid"]) for each in instances if each["state"] == "online" and each["pid"]]

    def last_words(self, since: int = 0) -> str:
        """What the apps wrote last that says most about an end."""
        return last_words([str(each.get("message", "")) for each in self.records.of_apps(since)])

    def ready_by(self, app: str) -> str:
        """What told that its newest process is ready; empty for the guess."""
        events = self.of(app, "instance.online")
        return str(events[-1].get("by") or "") if events else ""

    def of(self, app: str, event: str, since: int = 0) -> list[Fields]:
        """Events of one app, or of all ("")."""
        return [each for each in self.records.events(event, since) if app in ("", each.get("app"))]

    def wait_for(self, events: Sequence[str], app: str, since: int, deadline: float) -> bool:
        """Until one of the events has happened to an app."""
        while not any(self.of(app, event, since) for event in events):
            if time.monotonic() > deadline or self.own.process.poll() is not None:
                return False
            time.sleep(_POLL)
        return True

    def wait_end(self, deadline: float) -> bool:
        """Until it has ended."""
        try:
            self.own.process.wait(max(0.0, deadline - time.monotonic()))
        except TimeoutExpired:
            return False
        return True

    def overlaps(self, app: str) -> bool:
        """Whether an old process and a new one of it can serve at the same time, as far as it is known."""
        return all(bool(each.get("overlap")) for each in self.of(app, "app.reload"))

    def crashes(self, app: str, since: int) -> list[Fields]:
        """Ends of processes that were online, which nobody asked for, and which are no success."""
        found, begun, online = [], dict[tuple[object, object], object](), set[object]()
        for number, record in enumerate(self.records.all()):
            event, slot = record.get("event"), (record.get("app"), record.get("instance"))
            if event == "instance.start":
                begun[slot] = record["pid"]
            elif event == "instance.online":
                online.add(begun.get(slot))
            elif event == "instance.exit" and record["pid"] in online and record["level"] == "error":
                found += [record] if number >= since and app in ("", slot[0]) else []
        return found

    def failed_starts(self, app: str, since: int) -> list[Fields]:
        """Ends of processes before they were online."""
        crashed = [each["pid"] for each in self.crashes(app, since)]
        ends = [each for each in self.of(app, "instance.exit", since) if each["level"] == "error"]
        return [each for each in ends if each["pid"] not in crashed]

    def stops(self, app: str, since: int) -> "list[tuple[Fields, Fields]]":
        """Each `instance.stop`, with what ended it: `instance.kill`, or `instance.exit` without one."""
        pairs, asked = [], dict[tuple[object, object], Fields]()
        for record in self.records.all(since):
            event, slot = record.get("event"), (record.get("app"), record.get("instance"))
            if app not in ("", slot[0]):
                continue
            if event == "instance.stop":
                asked[slot] = record
            elif event in ("instance.kill", "instance.exit") and slot in asked:
                pairs.append((asked.pop(slot), record))
        return pairs

    def slowest_stop(self) -> Seconds:
        """Of those so far."""
        return max((_between(asked, ended) for asked, ended in self.stops("", 0)), default=0.0)

    def killed_any(self, app: str, since: int) -> bool:
        """Whether a process did not end in its time."""
        return bool(self.of(app, "instance.kill", since))

    def killed(self, app: str, since: int, families: Families | None) -> Iterator[Killed]:
        """Those that did not end in their time, with what was seen of them."""
        for asked, ended in self.stops(app, since):
            if ended["event"] != "instance.kill":
                continue
            exits = self.of(str(ended["app"]), "instance.exit", since)
            pids = [
                int(each["pid"])
                for each in exits
                if each["instance"] == ended["instance"] and each["timestamp"] >= ended["timestamp"]
            ]
            name = str(asked.get("signal") or "SIGTERM")
            yield Killed(
                signal=parse_signal(name),
                after=round(_between(asked, ended), 1),
                family=tuple(families.of(pids[0])) if families and pids else (),
            )

    def seen(
        self,
        app: str,
        since: int,
        tally: Tally,
        *,
        processes: int = 1,
        failure: str = "",
        families: Families | None = None,
        crashes: Sequence[Fields] | None = None,
    ) -> Seen:
        """What has happened to an app since then, beside what clients saw; `crashes` where some were ours."""
        ends = [self._told(each) for each in (self.crashes(app, since) if crashes is None else crashes)]
        return Seen(
            tally=tally,
            processes=processes,
            overlaps=self.overlaps(app),
            ready_by=self.ready_by(app),
            killed=tuple(self.killed(app, since, families)),
            left=sum(self._is_left(each, families) for each in self.of(app, "instance.leftovers", since)),
            orphans=tuple(families.orphans) if families else (),
            crashes=tuple(ends),
            holder=self.stranger(ends),
            timed_out=bool(self.of(app, "instance.not_ready", since)),
            failure=failure,
        )

    def stranger(self, said: Sequence[str]) -> str:
        """Another program that has a port of which these lines say that it is taken; empty if none has."""
        taken = [line for line in said if is_taken(line)]
        if not taken:
            return ""
        with suppress(OSError, UnicodeError):  # not every program names the port, but somebody told it which
            taken.append(self._file.read_text(encoding="utf-8"))
        ports = {int(number) for text in taken for number in _NUMBER.findall(text)}
        return sockets.stranger(ports, self._mark)

    def _is_left(self, left: Fields, families: Families | None) -> bool:
        """Whether an instance has left a child that does not end by itself."""
        exits = self.of(str(left["app"]), "instance.exit")
        mains = [
            int(each["pid"])
            for each in exits
            if each["instance"] == left["instance"] and each["timestamp"] <= left["timestamp"]
        ]
        if families is None or not mains or not families.has_tracker(mains[-1]):
            return True
        return any(orphan.main == mains[-1] for orphan in families.orphans)

    def _told(self, exit_: Fields) -> str:
        """How a process ended, and what it said of it."""
        said = last_words(
            [
                str(each.get("message", ""))
                for each in self.records.of_apps()
                if each.get("pid") == exit_["pid"]
            ]
        )
        return str(exit_["message"]) + (f" ({said})" if said else "")


def _between(first: Fields, second: Fields) -> Seconds:
    begin, end = (datetime.fromisoformat(str(each["timestamp"])) for each in (first, second))
    return (end - begin).total_seconds()
