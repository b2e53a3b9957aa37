"""What a bare or crowded container may lack: descriptors, processes, a folder, a place to write."""

import os
import resource
import signal
from pathlib import Path

import harness
import pytest
from writing import FOREVER, ecosystem, shell


def under_shell(script: str, file: str, **kwargs: object) -> harness.Running:
    """pidone started by a shell that has prepared something; `$0` is pidone and `$1` the file."""
    return harness.Running(["sh", "-c", script, harness.PIDONE, file], **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_standard_descriptors_are_done_without(tmp_path: Path, closed: str) -> None:
    """No pipe of ours gets their numbers: records arrive whole, and the app works."""
    file = ecosystem(tmp_path, shell("a", "echo up; echo oops >&2; " + FOREVER))
    with under_shell(f'exec "$0" "$1" {closed}', file) as run:
        run.expect(message="up")
        run.expect(message="oops")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_stdout_that_is_closed_from_the_start_ends_in_order(tmp_path: Path, closed: str) -> None:
    """As one that is closed later: the apps are stopped, code 74."""
    mark = tmp_path / "records"
    file = ecosystem(tmp_path, shell("a", f"echo up; ls -l /proc/$PPID/fd >{mark}; {FOREVER}"))
    with under_shell(f'exec "$0" "$1" {closed}', file) as run:
        assert run.wait() == 74
        assert run.err is not None
        assert "Traceback" not in run.err.text()


def test_instances_beyond_the_last_descriptor_are_spawn_failures(tmp_path: Path) -> None:
    """Those before it run, and enough is left for an orderly stop."""
    file = ecosystem(tmp_path, shell("a", FOREVER, instances=40, exec_mode="fork", max_restarts=2))
    with under_shell('ulimit -n 64; exec "$0" "$1"', file, env={"PIDONE_SOCKET": "none"}) as run:
        assert "Too many open files" in run.expect(event="instance.spawn_failed")["message"]
        run.expect(event="instance.errored")
        run.expect(event="instance.online")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.err is not None
        assert not run.err.text()


def test_a_removed_working_directory(tmp_path: Path) -> None:
    """Absolute paths are as good as ever, and a relative one is not found."""
    file = ecosystem(tmp_path, shell("a", "pwd", autorestart=False))
    script = f'mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; exec "$0" "$1"'
    with under_shell(script, file) as run:
        assert run.wait() == 0
        assert run.find(app="a", message="/")
    with under_shell(script, "ecosystem.json") as run:
        assert run.wait() == 78
        assert run.err is not None
        assert len(run.err) == 1


def test_no_process_for_the_reader_of_the_file(tmp_path: Path, root: None) -> None:
    """A limit on processes that is used up is one line, not a traceback."""
    file = ecosystem(tmp_path, shell("a", "true"))
    # Root is exempt from that limit; the capability is for folders that are closed to others.
    user = ["setpriv", "--reuid=64123", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with harness.Running([*user, "prlimit", "--nproc=1", harness.PIDONE, file]) as run:
        assert run.wait() == 71
        assert run.err is not None
        assert "Resource temporarily unavailable" in run.err.text()
        assert len(run.err) == 1


def test_a_file_that_cannot_be_read_again_is_asked_for_again(tmp_path: Path) -> None:
    """SIGHUP without means for a reader changes nothing, and the next one is heard."""
    file = ecosystem(tmp_path, shell("a", FOREVER))
    with harness.pidone(file, env={"PIDONE_SOCKET": "none"}) as run:
        run.expect(event="instance.online")
        folder = f"/proc/{run.pid}/fd"
        free = next(number for number in range(1000) if str(number) not in os.listdir(folder))
        soft, hard = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (free, hard))
        run.signal(signal.SIGHUP)
        assert "Too many open files" in run.expect(event="config.rejected")["message"]
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (soft, hard))
        run.signal(signal.SIGHUP)
        run.expect(event="config.reload")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_shortage_that_passes_costs_no_app(tmp_path: Path) -> None:
    """Who ends meanwhile comes back when there are descriptors again: no app is given up after a second."""
    hooked = {"pre_start": ["true"], "autorestart": True}
    file = ecosystem(tmp_path, shell("a", "exec sleep 1000"), shell("b", "exec sleep 1000", **hooked))
    with harness.pidone(file, env={"PIDONE_SOCKET": "none"}) as run:
        run.expect(event="instance.online", count=2)
        harness.eventually(
            lambda: "anon_inode:[eventpoll]" in harness.opened(run.pid), "asyncio to have been imported"
        )
        pids = {name: run.find(event="instance.start", app=name)[0]["pid"] for name in "ab"}
        soft, hard = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, hard))
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        told = run.expect(event="hook.failed", app="b")
        assert "Too many open files; it is tried again" in told["message"]
        run.expect(event="instance.backoff", app="a", delay_s=1.6)  # twice as long each time
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for name in pids:
            run.expect(event="instance.online", app=name, count=2)
        assert not run.find(event="instance.errored")
        assert len(run.find(event="hook.failed")) == 1
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
