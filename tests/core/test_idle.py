"""A container that stays although nothing runs any more says why in its last line."""

import signal

import pytest
from harness import pidone


@pytest.mark.parametrize(
    ("command", "level", "why"),
    [("exit 3", "warning", "ended with code 3"), ("exit 0", "info", "every app has completed")],
)
def test_the_last_line_says_why(command: str, level: str, why: str) -> None:
    """What ended, and that the container stays; SIGTERM ends it as ever."""
    with pidone("start", "--no-auto-exit", "--no-autorestart", "--", "sh", "-c", command) as run:
        idle = run.expect(event="runtime.idle")
        assert idle["level"] == level
        assert why in idle["message"]
        assert "auto_exit = false" in idle["message"]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="runtime.idle")) == 1
