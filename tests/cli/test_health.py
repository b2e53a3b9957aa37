"""`health` where process 1 of the container is not a runtime that answers."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli.test_native_health import served
from harness import DEADLINE_S, PIDONE, PYTHON

ALONE = ("unshare", "--fork", "--pid", "--mount-proc")


def as_process_1(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as process 1, where no runtime can be found."""
    return subprocess.run(
        [*ALONE, *words],
        env={**os.environ, "PIDONE_SOCKET": str(folder / "nobody.sock")},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("init", [("pidone", "exec"), ("tini",), ("dumb-init",)], ids=" ".join)
def test_an_init_of_one_command_is_healthy_while_that_runs(tmp_path: Path, init: Sequence[str]) -> None:
    """`docker run IMAGE exec -- COMMAND` inherits the image's HEALTHCHECK, and nobody answers on a socket."""
    (tmp_path / init[0]).symlink_to(PIDONE)
    done = as_process_1(tmp_path, str(tmp_path / init[0]), *init[1:], "--", PIDONE, "health")
    assert (done.returncode, done.stderr) == (0, "")
    assert "one command" in done.stdout
    asked = as_process_1(tmp_path, str(tmp_path / init[0]), *init[1:], "--", PIDONE, "health", "--json")
    assert '"healthy": true' in asked.stdout
    found = as_process_1(tmp_path, "env", f"PATH={tmp_path}", *init, "--", PIDONE, "health")
    assert (found.returncode, found.stderr) == (0, ""), "called by its bare name"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "words",
    [
        ("timeout", "60"),
        ("/usr/bin/env",),
        ("env", "A=1"),
        ("nice", "-n", "1"),
        ("sh", "-c", '"$@"', "sh"),
        ("tini", "--", "timeout", "60"),
    ],
    ids=" ".join,
)
def test_any_command_is_healthy_while_it_runs(tmp_path: Path, words: Sequence[str]) -> None:
    """`docker run IMAGE gunicorn app:app` is run as `exec -- gunicorn app:app` would be."""
    done = as_process_1(tmp_path, PIDONE, *words, PIDONE, "health")
    assert (done.returncode, done.stderr) == (0, "")
    assert "one command" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "words", [("ecosystem.toml",), ("start", "sleep"), ("--", "sleep"), ("pm2-runtime", "a.js")], ids=" ".join
)
def test_a_runtime_that_does_not_answer_is_not_healthy(tmp_path: Path, words: Sequence[str]) -> None:
    """Nor is it behind an engine's `--init`, which runs one command as well."""
    ask = f"{PIDONE} health; exit $?"
    done = as_process_1(
        tmp_path, "bash", "-c", 'exec -a /sbin/docker-init sh -c "$@"', "", ask, "--", "pidone", *words
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert str(tmp_path / "nobody.sock") in done.stderr, "and it is said who does not answer"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_process_1_is_not_healthy(tmp_path: Path) -> None:
    """Nor does it help to name a socket at which nobody answers."""
    done = as_process_1(tmp_path, "sh", "-c", f"{PIDONE} health; exit $?")
    assert (done.returncode, done.stdout) == (1, "")
    words = [PIDONE, "exec", "--", PIDONE, "health", "--socket", str(tmp_path / "nobody.sock")]
    done = as_process_1(tmp_path, *words)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((), "the runtime hung up"),
        ((b"hello\n",), "does not speak pidone's language"),
        ((b"HTTP/1.1",), "does not speak pidone's language"),
    ],
)
def test_what_is_no_answer_is_not_healthy(answer: tuple[bytes, ...], said: str, tmp_path: Path) -> None:
    """A runtime that ends meanwhile, or somebody else's socket: 1, as Docker reserves every other code."""
    ask = [PYTHON, "-m", "pidone", "health", "--socket", str(tmp_path / "s")]
    with served(tmp_path / "s", *answer):
        done = subprocess.run(ask, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stderr) == (1, f"pidone: {tmp_path}/s: {said}\n")
