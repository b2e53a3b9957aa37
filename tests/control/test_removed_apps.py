"""What stays of an app that was removed while the runtime goes on: nothing."""

import signal
from pathlib import Path

import pytest
from control.operated import SLEEPER, operated
from harness import eventually, opened


def echoing(folder: Path, name: str = "cat") -> str:
    return f"""
[[apps]]
name = "{name}"
script = "/bin/cat"
stdin = "pipe"
out_file = "{folder}/{name}.log"
"""


@pytest.mark.parametrize("how", ["delete", "SIGHUP"])
def test_nothing_is_kept_of_an_app_that_was_removed(tmp_path: Path, how: str) -> None:
    """Its kept records, its counters and the descriptor of its file go; those of others stay."""
    both = SLEEPER + echoing(tmp_path) + echoing(tmp_path, "dog")
    with operated(tmp_path, both) as it:
        for name in ("cat", "dog"):
            assert it.ask(f"/api/apps/{name}/send", "POST", {"line": f"I am {name}"}).status == 200
            it.run.expect(message=f"I am {name}")

        def known(name: str) -> tuple[bool, bool, bool]:
            return (
                f"I am {name}" in it.ask("/api/logs").body.decode(),
                any(
                    "log" in line and f'"{name}"' in line
                    for line in it.ask("/metrics").body.decode().split("\n")
                ),
                str(tmp_path / f"{name}.log") in opened(it.run.process.pid),
            )

        assert known("cat") == (True, True, True)
        if how == "delete":
            assert it.command("delete", "cat").returncode == 0
        else:
            (tmp_path / "ecosystem.toml").write_text(SLEEPER + echoing(tmp_path, "dog"))
            it.run.signal(signal.SIGHUP)
        eventually(lambda: known("cat") == (False, False, False), "nothing being known of it any more")
        assert known("dog") == (True, True, True)
