"""How a container ends, as `kubectl` tells it: exit code, reason and message, and what a Job makes of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from docker.images import REPOSITORY
from k8s.live.lone import ended, has_started, pod_spec, run, strict_space, told
from k8s.live.space import Space, until

GREEDY = "held = []\nwhile True: held.append(bytearray(8 << 20))"


ENDS: dict[str, tuple[list[str], int, str]] = {
    "code": (["--no-autorestart", "--", "sh", "-c", "exit 7"], 7, "app"),
    "signal": (["--no-autorestart", "--", "python3", "-c", "import os; os.abort()"], 134, "app"),
    "crashes": (["--", "false"], 75, "gave-up"),
    "file": (["missing.toml"], 78, "config"),
    "word": (["--wrong"], 64, "usage"),
}
"""What pods are told, their exit code, and the reason in their message."""

JOBS: dict[str, tuple[list[str], str, int]] = {
    "hopeless": (["missing.toml"], "PodFailurePolicy", 1),
    "unlucky": (["--no-autorestart", "--", "sh", "-c", "exit 75"], "BackoffLimitExceeded", 2),
}
"""What the pods of Jobs are told, why the Job fails, and after how many of them."""


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    """A namespace of these tests, with their pods and Jobs, all at once."""
    migrate = yaml.safe_load((REPOSITORY / "k8s/base/migrate.yaml").read_text())
    with strict_space("ends") as space:
        for name, (arguments, _, _) in JOBS.items():
            spec = {
                "backoffLimit": 1,
                "podFailurePolicy": migrate["spec"]["podFailurePolicy"],
                "template": {"spec": pod_spec(*arguments)},
            }
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
            space.apply(job)
        for name, (arguments, _, _) in ENDS.items():
            run(space, name, *arguments)
        yield space


@pytest.mark.parametrize("name", ENDS)
def test_the_message_says_why(space: Space, name: str) -> None:
    """The container's code is the app's or says what happened; the message has the reason, too."""
    _, code, reason = ENDS[name]
    end = ended(space, name)
    assert (end["exitCode"], end["reason"]) == (code, "Error")
    message = json.loads(end["message"])
    assert (message["code"], message["reason"]) == (code, reason)


def test_an_orderly_stop_is_success(space: Space) -> None:
    """A pod that is asked to go ends with 0: nobody counts it as failed."""
    run(space, "asked", "--", "sleep", "3600")
    has_started(space, "asked")
    told(space, "asked", event="runtime.start")  # before it handles SIGTERM, process 1 does not notice it
    space.exec("asked", "sh", "-c", "kill 1")
    end = ended(space, "asked")
    assert (end["exitCode"], end["reason"]) == (0, "Completed")
    assert "message" not in end


def test_memory_that_runs_out(space: Space) -> None:
    """`kubectl` shows OOMKilled and 137 when the kernel has ended the only app."""
    run(space, "greedy", "--name", "greedy", "--no-autorestart", "--", "python3", "-c", GREEDY)
    end = ended(space, "greedy")
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


@pytest.mark.parametrize("name", JOBS)
def test_a_job_tells_by_the_code_what_to_try_again(space: Space, name: str) -> None:
    """The migration's `podFailurePolicy`: a refused configuration fails at once, all else has its tries."""
    _, reason, pods = JOBS[name]

    def failure() -> dict[str, Any] | None:
        conditions = space.get(f"job/{name}")["status"].get("conditions", ())
        return next((one for one in conditions if (one["type"], one["status"]) == ("Failed", "True")), None)

    assert until(failure, f"{name} to fail")["reason"] == reason
    assert space.get(f"job/{name}")["status"]["failed"] == pods
