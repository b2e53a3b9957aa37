"""The image's HEALTHCHECK: healthy when everything is ready, unhealthy while an app is down, and back."""

from docker.containers import Container, Ecosystem
from harness import eventually

MORTAL = """
[[apps]]
name = "mortal"
script = "sh"
interpreter = "none"
args = ["-c", "trap 'exit 1' USR1; echo up; while :; do sleep 0.1; done"]
restart_delay = "1h"
"""
OFTEN = ["--health-interval", "500ms", "--health-retries", "1", "--health-start-period", "0s"]


def test_health_follows_the_apps(runtime: str, ecosystem: Ecosystem) -> None:
    """The engine sees an app go and come back."""
    with Container(runtime, options=[*ecosystem(MORTAL), *OFTEN]) as container:

        def becomes(status: str) -> None:
            eventually(lambda: container.state["Health"]["Status"] == status, f"{status}: {container.state}")

        becomes("healthy")
        container.kill("USR1")
        becomes("unhealthy")
        container.exec("pidone", "start", "mortal")
        becomes("healthy")
        assert container.stop() == 0


def test_control_commands_work_for_the_user_and_for_root(runtime: str, ecosystem: Ecosystem) -> None:
    """`docker exec` with either user sees the apps, on a read-only root with nothing but a tmpfs."""
    options = [*ecosystem(MORTAL), "--read-only", "--tmpfs", "/tmp"]
    with Container(runtime, options=options) as container:
        container.expect(event="control.listening")
        for user in ("0", "10001"):
            assert "mortal" in container.exec("pidone", "list", options=["--user", user])
