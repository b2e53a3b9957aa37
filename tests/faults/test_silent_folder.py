"""An app whose program or folder is on a file system that does not answer any more."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from faults import silent
from harness import PIDONE, Running, children, pidone, state

from pidone.ecosystem.programs.remote import leads_to, remote_points
from pidone.init.exitcodes import ExitCode

MOUNTS = r"""
22 1 254:0 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw
23 22 0:5 / /srv/nfs rw,relatime shared:1 master:2 - nfs4 host:/x rw
24 22 0:6 / /srv/with\040space rw - fuse.sshfs host: rw
25 22 0:7 / /srv/covered rw - nfs host:/y rw
26 25 0:8 / /srv/covered rw - tmpfs tmpfs rw
27 22 0:9 / /sys/fs/fuse/connections rw - fusectl none rw
nonsense
"""


def test_which_mounts_may_stop_to_answer() -> None:
    """By their type; one that covers another counts, and the root does not: pidone itself is there."""
    assert remote_points(MOUNTS) == {"/srv/nfs", "/srv/with space"}


def test_a_path_leads_there_by_links_too(tmp_path: Path) -> None:
    """It need not begin there."""
    (tmp_path / "there").symlink_to("/srv/nfs/app")
    (tmp_path / "near").symlink_to("there/x")
    (tmp_path / "round").symlink_to("round")
    points = {"/srv/nfs"}
    for path in ("there", "near", "near/../y", "x/../there/z"):
        assert leads_to(points, str(tmp_path / path)), path
    for path in ("round", "other", "there/../../../usr/bin/env"):
        assert leads_to(points, str(tmp_path / path)) is path.startswith("there"), path


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("has", ["program", "folder"])
def test_a_folder_that_falls_silent_holds_nobody_else(tmp_path: Path, has: str) -> None:
    """Process 1 starts the others, answers commands, and ends in order."""
    point, flag = tmp_path / "mount", tmp_path / "silent"
    point.mkdir()
    sleeping = {"script": "/bin/sleep", "args": "1000", "interpreter": "none", "kill_timeout": 1000}
    there = {"script": str(point / "program"), "args": ""} if has == "program" else {"cwd": str(point)}
    apps = [
        {"name": "other", **sleeping},
        {"name": "remote", **sleeping, "autostart": False, **there},
        {"name": "second", **sleeping, "autostart": False},
    ]
    file = tmp_path / "apps.json"
    file.write_text(json.dumps({"apps": apps}))
    path = {"PIDONE_SOCKET": str(tmp_path / "control")}
    server = ["unshare", "--mount", sys.executable, "-I", silent.__file__, str(point), str(flag)]
    with Running([*server, "/bin/true"]) as run:
        if run.wait():
            pytest.skip(f"no FUSE here: {run.err and run.err.text()[-200:]}")
    with Running([*server, PIDONE, str(file)], env=path) as run:
        run.expect(event="control.listening")
        runtime = children(run.pid)[0]
        flag.touch()
        with pidone("start", "remote", env=path) as command:
            pid = run.expect(event="instance.start", app="remote")["pid"]
            assert command.wait() == 0
        for words in (["ls"], ["start", "second"], ["describe", "remote"]):
            with pidone(*words, env=path) as command:
                assert command.wait() == 0
        run.expect(event="instance.online", app="second")
        assert state(pid) not in ("", "Z")
        os.kill(runtime, signal.SIGTERM)
        # Before its exec it hears no signal but SIGKILL, and who had to be killed is told by the code.
        assert run.wait() == (ExitCode.OK if has == "program" else ExitCode.DEADLINE)
        assert "SIGTERM" in run.find(event="instance.exit", app="other")[0]["message"]
        assert not run.find(event="runtime.error")
