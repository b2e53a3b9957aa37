"""Log files of a whole runtime: opened anew when somebody asks, by signal or by command."""

import json
import signal
from pathlib import Path

import pytest
import tomli_w
from control.operated import operated
from harness import PIDONE, eventually
from writing import shell

SIGNALS = {"signals": {"SIGUSR2": "reopen"}}
TALKER = 'while read -r line; do echo "$line"; done'


@pytest.mark.parametrize("way", ["signal", "command", "pm2"])
def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, way: str) -> None:
    """As logrotate does it: move, ask, and the next line is in a new file of the old name."""
    log, moved = tmp_path / "out.log", tmp_path / "out.log.1"
    apps = [shell("talker", TALKER, out_file=str(log), stdin="pipe", ready_delay=0)]
    pm2 = tmp_path / "pm2"
    pm2.symlink_to(PIDONE)
    with operated(tmp_path, tomli_w.dumps({"apps": apps, "runtime": SIGNALS})) as it:

        def say(text: str, into: Path) -> None:
            assert it.command("send", "talker", text).returncode == 0
            eventually(lambda: into.exists() and into.read_text().endswith(f"{text}\n"))

        say("one", log)
        log.rename(moved)
        say("two", moved)
        if way == "signal":
            it.run.signal(signal.SIGUSR2)
            it.run.expect(event="control.request", action="reopen", peer="SIGUSR2")
            eventually(lambda: it.command("send", "talker", "three").returncode == 0 and log.exists())
            eventually(lambda: log.read_text().endswith("three\n"))
        else:
            done = it.command("reopen") if way == "command" else it.command("reloadLogs", name=str(pm2))
            assert done.returncode == 0, done.stderr
            say("three", log)
            it.run.expect(event="control.request", action="reopen")
        assert moved.read_text() == "one\ntwo\n"


def test_what_was_kept_of_an_app_goes_with_it(tmp_path: Path) -> None:
    """The lines that `pidone logs` shows of an app that a new file no longer has are not kept."""
    keep = {"autorestart": False, "ready_delay": 0}
    one = shell("one", "echo first; sleep 1000", **keep)
    two = shell("two", "echo second; sleep 1000", **keep)
    with operated(tmp_path, tomli_w.dumps({"apps": [one, two]})) as it:
        it.run.expect(message="first")
        it.run.expect(message="second")
        (tmp_path / "ecosystem.toml").write_text(tomli_w.dumps({"apps": [two]}))
        it.run.signal(signal.SIGHUP)
        eventually(lambda: len(json.loads(it.command("ls", "--json").stdout)["apps"]) == 1)
        shown = it.command("logs").stdout
        assert "second" in shown
        assert "first" not in shown
