"""Whose rights count: programs that are more than their starter (setuid), and ports of somebody else."""

import errno
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from listen.fleet import Fleet, app_of

from pidone.ecosystem.spec import Readiness
from pidone.errors import ListenError
from pidone.listen import needs
from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")
NOBODY = 65534
WHO = "import os, time; print('I am', os.geteuid(), flush=True); time.sleep(1000)"


@pytest.fixture
def setuid(root: None, open_path: Path) -> str:
    """An interpreter that becomes another user by its own bit."""
    program = open_path / "program"
    shutil.copy(os.path.realpath(sys.executable), program)
    os.chown(program, NOBODY, NOBODY)
    program.chmod(0o4755)
    return str(program)


def test_it_keeps_them_in_a_cluster(fleet: Fleet, setuid: str) -> None:
    """It binds by itself, as without a cluster, and one record says why."""
    member = fleet.start(app_of(setuid, "-I", "-S", "-c", WHO, cluster=True))
    fleet.eventually(lambda: f"I am {NOBODY}" in member.text(), "its own rights")
    assert not member.handover.announces
    (told,) = fleet.log.of("listen.unshared")
    assert "setuid" in told


def test_what_asks_for_it_is_refused(setuid: str) -> None:
    """Before anything is started."""
    app = app_of(setuid, "-c", WHO, share="kernel")
    with pytest.raises(ListenError, match="no_new_privs"):
        needs.check(app)


def test_readiness_costs_no_rights_either(setuid: str, port: int) -> None:
    """Where its port is known, it is seen instead."""
    app = app_of(setuid, "-c", WHO, ready=Readiness(listen=True), env={"PORT": str(port)})
    assert not needs.is_heard_by_kernel(app)
    assert needs.seen_port(app, 0) == port


def test_for_root_the_bit_of_root_changes_nothing(root: None, open_path: Path) -> None:
    """`sudo` and `ping` are setuid root."""
    program = open_path / "program"
    program.write_text("")
    program.chmod(0o4755)
    assert not needs.gains_rights(app_of(str(program)))
    assert needs.gains_rights(app_of(str(program), uid=NOBODY))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_of_somebody_else_is_refused(fleet: Fleet, port: int, host: str) -> None:
    """As it would be without us: EADDRINUSE reaches the program, and our log names the holder."""
    code = f"""
import socket
try:
    socket.socket().bind(({host!r}, {port}))
except OSError as error:
    print(error.errno, flush=True)
"""
    with socket.create_server((host, port)):
        member = fleet.start(app_of(sys.executable, "-I", "-S", "-c", code, share="kernel"))
        fleet.gone(member)
    assert member.text().split() == [str(errno.EADDRINUSE)]
    assert "already in use" in fleet.log.of("listen.failed")[0]
