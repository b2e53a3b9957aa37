"""What the rights of the runtime do not allow: told at the start, with key, place and capability."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import PIDONE, Running, pidone

APP = """
[[apps]]
name = "a"
script = "sleep 1000"
autorestart = false
"""
FIRST_KEY = 6
"""The line of what a case adds."""
CASES = {
    "uid": ('uid = "nobody"', ["setuid", "setgid"], "CAP_SETUID and CAP_SETGID", "cannot be started"),
    "kill": ('uid = "nobody"', ["kill"], "CAP_KILL", "cannot be signalled"),
    "chown": ('uid = "nobody"', ["chown"], "CAP_CHOWN", "cannot open its /dev/stdout"),
    "ptrace": (
        'share = "kernel"\nuid = "nobody"',
        ["sys_ptrace"],
        "CAP_SYS_PTRACE",
        "will not share their ports",
    ),
    "gid": ("gid = 65534", ["setgid"], "CAP_SETGID", "cannot be started"),
    "groups": ("groups = [65533]", ["setgid"], "CAP_SETGID", "cannot be started"),
    "nice": ("nice = -5", ["sys_nice"], "CAP_SYS_NICE", "the lowest allowed is"),
    "oom_score_adj": (
        "oom_score_adj = -1000",
        ["sys_resource"],
        "CAP_SYS_RESOURCE",
        "no process may go below",
    ),
    "limits": ("limits = {sigpending = 9000000}", ["sys_resource"], "CAP_SYS_RESOURCE", "own hard limit"),
    "nr_open": ('limits = {nofile = "unlimited"}', [], None, "fs.nr_open"),
    "cpu_affinity": ('cpu_affinity = "8000"', [], None, "none of these CPUs"),
}


def _without(taken: list[str]) -> list[str]:
    if not taken:
        return []
    names = ",".join(f"-{name}" for name in taken)
    return ["prlimit", "--sigpending=1000:1000", "setpriv", f"--bounding-set={names}", f"--inh-caps={names}"]


def _file(tmp_path: Path, line: str) -> str:
    file = tmp_path / "ecosystem.toml"
    file.write_text(f"{APP}{line}\n")
    return str(file)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize("name", CASES)
def test_a_missing_right_is_told_at_the_start(tmp_path: Path, root: None, name: str) -> None:
    """One record for the key, before anything is started; `check` says the same."""
    line, taken, capability, what = CASES[name]
    file = _file(tmp_path, line)
    key = line.partition(" ")[0]
    with Running([*_without(taken), PIDONE, "--no-auto-exit", "--socket", "none", file]) as run:
        run.expect(event="runtime.start")
        told = run.expect(event="rights.missing")
        assert told["message"].startswith(f'{file}:{FIRST_KEY}: app "a": {key} = ')
        assert what in told["message"]
        assert (told["app"], told["setting"], told.get("capability")) == ("a", key, capability)
        if capability:
            assert f"--cap-add {taken[0].upper()}" in told["message"]
        assert len(run.find(event="rights.missing")) == 1
    done = subprocess.run(
        [*_without(taken), PIDONE, "check", "--json", file], capture_output=True, text=True, check=True
    )
    assert told["message"] in json.loads(done.stdout)["warnings"]


def test_what_is_allowed_is_not_told(tmp_path: Path, root: None) -> None:
    """With all rights, and also where a value asks for none."""
    file = _file(tmp_path, 'uid = "nobody"\ncwd = "/"\nnice = 5\noom_score_adj = 500\nlimits = {core = 0}\n')
    with pidone(file, "--socket", "none") as run:
        run.expect(event="instance.start")
        assert not run.find(event="rights.missing")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_user_namespace_has_users_of_its_own(tmp_path: Path, root: None) -> None:
    """As rootless engines make them: a user that is not mapped cannot be had by any capability."""
    file = _file(tmp_path, "uid = 4321")
    made = subprocess.run(["unshare", "-U", "-r", "true"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(
        ["unshare", "-U", "-r", PIDONE, "check", file], capture_output=True, text=True, check=True
    )
    assert "uid = 4321: it cannot be started, this user namespace has no such user" in done.stderr
