"""A runtime under trial, as its records and its control side show it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final, Self

from pidone.cli.operate.client import CommandError
from pidone.cli.trial import leftovers
from pidone.cli.trial.answers import Tally
from pidone.cli.trial.findings import Seen
from pidone.cli.trial.records import Fields, Records
from pidone.cli.trial.runtime import OwnRuntime
from pidone.ecosystem.spec import Seconds

_POLL: Final[Seconds] = 0.02


class Running:
    """One run."""

    def __init__(self, own: OwnRuntime, records: Records) -> None:
        """It has been started."""
        self.own = own
        self.records = records

    @classmethod
    @contextmanager
    def started(cls, files: Sequence[str], folder: Path, env_name: str | None, mark: str) -> Iterator[Self]:
        """Start one in a folder of its own; it has ended afterwards. Its processes carry `mark`."""
        folder.mkdir()
        records = Records()
        own = OwnRuntime(
            files,
            folder,
            records.writer,
            env_name=env_name,
            log_format="json",
            environ={leftovers.MARK: mark},
        )
        with records, own:
            yield cls(own, records)

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

    def last_line(self, since: int = 0) -> str:
        """The newest that any app wrote, if it is no empty one."""
        for record in reversed(self.records.of_apps(since)):
            if text := str(record.get("message", "")).strip():
                return text
        return ""

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

    def seen(self, app: str, since: int, tally: Tally, *, processes: int = 1, failure: str = "") -> Seen:
        """What has happened to an app since then, beside what clients saw."""
        return Seen(
            tally=tally,
            processes=processes,
            overlaps=all(bool(each.get("overlap")) for each in self.of(app, "app.reload")),
            ready_by=self.ready_by(app),
            killed=len(self.of(app, "instance.kill", since)),
            left=len(self.of(app, "instance.leftovers", since)),
            failure=failure,
        )
