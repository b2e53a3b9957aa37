"""What a process may do, read from the kernel's files."""

import os
import resource
from pathlib import Path

import harness
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.host.rights import UNLIMITED, read_rights


def test_of_ourselves() -> None:
    """As the system calls say."""
    rights = read_rights(os.getpid())
    assert rights is not None
    assert (rights.uid, rights.gid) == (os.geteuid(), os.getegid())
    assert sorted(rights.groups) == sorted(os.getgroups())
    assert rights.nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert rights.oom_score_adj == int(Path("/proc/self/oom_score_adj").read_text())
    for name, limit in rights.limits.items():
        assert limit == resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    assert len(rights.limits) == 15
    assert UNLIMITED == resource.RLIM_INFINITY


def test_of_another_user(root: None) -> None:
    """Dropped capabilities, another user, its groups, and no way back."""
    drop = ["setpriv", "--reuid", "65534", "--regid", "65533", "--groups", "65532,65531", "--no-new-privs"]
    waits = ["nice", "-n", "4", "sh", "-c", "umask 077; echo up; read _"]
    ours, theirs = os.pipe()
    try:
        with harness.Running([*drop, *waits], stdin=ours) as run:
            run.expect_line("up")
            rights = read_rights(run.pid)
            assert rights is not None
            assert (rights.uid, rights.gid, rights.groups) == (65534, 65533, (65531, 65532))
            assert (rights.capabilities, rights.no_new_privs) == (0, True)
            assert rights.nice == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 4)
            assert rights.umask == 0o77
    finally:
        os.close(ours)
        os.close(theirs)


def test_of_nobody(tmp_path: Path) -> None:
    """A process that is gone has none."""
    assert read_rights(1, tmp_path) is None


@given(status=st.binary(max_size=200), limits=st.binary(max_size=200), stat=st.binary(max_size=200))
def test_nonsense_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, status: bytes, limits: bytes, stat: bytes
) -> None:
    """Whatever is in the files, what can be read is told and nothing breaks."""
    folder = tmp_path_factory.mktemp("proc") / "7"
    folder.mkdir()
    (folder / "status").write_bytes(b"Uid:\t1\t2\t3\t4\n" + status)
    (folder / "limits").write_bytes(b"Max open files            10                 20      files\n" + limits)
    (folder / "stat").write_bytes(stat)
    rights = read_rights(7, folder.parent)
    assert rights is not None
    assert "nofile" in rights.limits
