"""What is wrong though no app is: told by `/api`, `ls`, and whatever shows events."""

import signal
from collections.abc import Callable
from pathlib import Path

from control.operated import SLEEPER, operated
from harness import eventually

from pidone.cli.operate import overview
from pidone.contracts import LogSource, Outlet
from pidone.control.answers.warnings import Warnings
from pidone.supervise.ledger import Ledger

TALKER = """
[[apps]]
name = "talker"
script = "/bin/sh"
args = ["-c", "while echo a line; do sleep .1; done"]
ready_delay = 0
out_file = "FOLDER/out.log"
"""


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Until it is written again; it is an event of the app too."""
    (tmp_path / "logs").touch()
    text = TALKER.replace("FOLDER", str(tmp_path / "logs"))
    with operated(tmp_path, text) as it:
        (warning,) = eventually(lambda: it.ask("/api").json["warnings"], "a warning")
        assert (warning["event"], warning["app"]) == ("log.file_failed", "talker")
        assert "out.log" in warning["message"]
        shown = it.ask("/api/apps/all").json
        assert any(event["event"] == "log.file_failed" for event in shown["events"])
        text = overview.render([shown], 80, [warning])
        assert "log.file_failed talker:" in text  # a long path begins the next line


def test_a_file_that_is_refused_and_then_is_not(tmp_path: Path) -> None:
    """Whoever edits the file at night sees why nothing has changed."""
    with operated(tmp_path, SLEEPER) as it:
        assert it.ask("/api").json["warnings"] == []
        (tmp_path / "ecosystem.toml").write_text("[[apps]\n")
        it.run.signal(signal.SIGHUP)
        (warning,) = eventually(lambda: it.ask("/api").json["warnings"], "a warning")
        assert warning["event"] == "config.rejected"
        (tmp_path / "ecosystem.toml").write_text(SLEEPER)
        it.run.signal(signal.SIGHUP)
        eventually(lambda: not it.ask("/api").json["warnings"], "the warning to go")


class Deaf:
    """A sink that keeps nothing."""

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        raise NotImplementedError

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """See LogSink."""

    def forget(self, app: tuple[str, str]) -> None:
        raise NotImplementedError


def test_what_is_over_or_long_ago_is_told_no_more() -> None:
    """The latest first, at most five, each kind once; what happened before somebody asked counts."""
    ledger = Ledger(Deaf())
    ledger.event(
        "error", "hook.failed", "post_start failed: No space left on device", app="api", hook="post_start"
    )
    warnings = Warnings(ledger)
    ledger.event("warning", "instance.not_ready", "of an app", app="api", instance=0)
    ledger.event("info", "runtime.memory", "no trouble")
    for number in range(200):
        ledger.event("warning", "log.file_failed", f"once more {number}", app="api", path="/log")
    first, second = warnings.view()
    assert (first["event"], first["message"], first["advice"]) == ("log.file_failed", "once more 199", "")
    assert second["advice"].startswith("the disk is full")
    ledger.event("info", "log.file_restored", "again", app="api", path="/log")
    assert [each["event"] for each in warnings.view()] == ["hook.failed"]
    assert warnings.view(now=ledger.recent[0].at + 3600) == []
    for number in range(150):
        ledger.event("error", "listen.failed", "taken", app=f"app-{number}")
    assert [each["app"] for each in warnings.view()] == [f"app-{n}" for n in range(149, 144, -1)]
