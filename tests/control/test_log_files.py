"""Log files and what is remembered of lines, as an operator handles them."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from control.operated import SLEEPER, Operated, command, operated
from harness import PIDONE, eventually


def echoing(folder: Path, name: str = "cat") -> str:
    return f"""
[[apps]]
name = "{name}"
script = "/bin/cat"
stdin = "pipe"
out_file = "{folder}/{name}.log"
"""


def by_command(it: Operated, _folder: Path) -> None:
    done = it.command("reopen")
    assert (done.returncode, done.stdout) == (0, "files: 1\n"), done.stderr


def by_pm2(it: Operated, folder: Path) -> None:
    path = folder / "pm2"
    shutil.copy(PIDONE, path)
    assert command("reloadLogs", name=str(path), env={"PIDONE_SOCKET": it.socket}).returncode == 0


def by_signal(it: Operated, _folder: Path) -> None:
    it.run.signal(signal.SIGUSR2)


@pytest.mark.parametrize("ask", [by_command, by_pm2, by_signal])
def test_log_files_are_begun_anew_when_asked(tmp_path: Path, ask: Callable[[Operated, Path], None]) -> None:
    """What logrotate moved away is left alone from then on; the next line is in a new file."""
    ecosystem = '[runtime.signals]\nUSR2 = "reopen"\n' + echoing(tmp_path)
    log = tmp_path / "cat.log"
    with operated(tmp_path, ecosystem) as it:

        def say(line: str) -> None:
            assert it.ask("/api/apps/cat/send", "POST", {"line": line}).status == 200
            it.run.expect(message=line)

        say("one")
        log.rename(tmp_path / "cat.log.1")
        say("two")
        ask(it, tmp_path)
        it.run.expect(event="log.reopened")
        say("three")
        assert (tmp_path / "cat.log.1").read_text() == "one\ntwo\n"
        assert log.read_text() == "three\n"


@pytest.mark.parametrize("how", ["delete", "SIGHUP"])
def test_nothing_is_kept_of_an_app_that_was_removed(tmp_path: Path, how: str) -> None:
    """Its kept records, its counters and the descriptor of its file go; those of others stay."""
    both = SLEEPER + echoing(tmp_path) + echoing(tmp_path, "dog")
    with operated(tmp_path, both) as it:
        for name in ("cat", "dog"):
            assert it.ask(f"/api/apps/{name}/send", "POST", {"line": f"I am {name}"}).status == 200
            it.run.expect(message=f"I am {name}")

        def known(name: str) -> tuple[bool, bool, bool]:
            files = Path(f"/proc/{it.run.process.pid}/fd").iterdir()
            return (
                f"I am {name}" in it.ask("/api/logs").body.decode(),
                any(
                    "log" in line and f'"{name}"' in line
                    for line in it.ask("/metrics").body.decode().split("\n")
                ),
                str(tmp_path / f"{name}.log") in map(os.path.realpath, files),
            )

        assert known("cat") == (True, True, True)
        if how == "delete":
            assert it.command("delete", "cat").returncode == 0
        else:
            (tmp_path / "ecosystem.toml").write_text(SLEEPER + echoing(tmp_path, "dog"))
            it.run.signal(signal.SIGHUP)
        eventually(lambda: known("cat") == (False, False, False), "nothing being known of it any more")
        assert known("dog") == (True, True, True)
