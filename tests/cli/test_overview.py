"""`ls` on a terminal, and what `describe` says first."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest
import wcwidth
from control.operated import Operated, operated
from harness import DEADLINE_S, PIDONE, spawned

APPS = """
[[apps]]
name = "a-service-with-a-rather-long-name"
script = "/bin/sleep"
args = "1000"
instances = 2
ready_delay = 0
max_memory_restart = "200M"
[[apps]]
name = "nightly"
script = "true"
schedule = "30 4 * * *"
[[apps]]
name = "broken"
script = "sh"
args = ["-c", "echo 'no database' >&2; exit 3"]
autorestart = false
essential = false
[[apps]]
name = "日本語アプリケーション名前が長い"
script = "sh"
args = ["-c", "echo '接続できません: データベースは何処にもありません、確認してください' >&2; exit 4"]
autorestart = false
essential = false
"""


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A service, a job that waits, and something broken."""
    with operated(tmp_path_factory.mktemp("overview"), APPS, ready=False) as it:
        for name in ("broken", "日本語アプリケーション名前が長い"):
            it.run.expect(event="instance.exit", app=name)
        yield it


@pytest.fixture(autouse=True)
def no_process_left_behind() -> None:
    """The shared runtime outlives the tests here; its own `with` block leaves nothing."""


def on_terminal(it: Operated, columns: int, *words: str) -> list[str]:
    """The lines of a command on a terminal that is so wide."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    environ = {**os.environ, "PIDONE_SOCKET": it.socket, "TERM": "xterm"}
    for name in ("COLUMNS", "LINES"):
        environ.pop(name, None)
    with spawned([PIDONE, *words], stdout=other, stdin=other, env=environ) as process:
        os.close(other)
        said = b""
        while True:
            try:
                said += os.read(main, 65536)
            except OSError:  # EIO: the other side is closed
                break
        assert process.wait(DEADLINE_S) == 0
    os.close(main)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in said.decode().replace("\r\n", "\n").splitlines()]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_ls_fits_the_width(it: Operated, columns: int) -> None:
    """Names are shortened and columns left out from the right; each instance and the whole have a line."""
    head, *lines = on_terminal(it, columns, "ls")
    rows, (total, *told) = lines[:5], lines[5:]
    assert max(map(wcwidth.wcswidth, (head, *lines))) <= columns
    told_at_all = " ".join(" ".join((*rows, *told)).split())
    assert "ended with code 3: no database" in told_at_all
    assert "-> mend that, then `pidone start broken`" in told_at_all
    assert [row.split()[1][-2:] for row in rows[:2]] == [":0", ":1"]
    assert head.split()[:3] == ["id", "name", "state"]
    assert total.startswith("5 instances: ")
    assert ("memory/limit" in head) == (columns >= 80)


def test_ls_tells_why_and_when(it: Operated) -> None:
    """Where there is room: the limit, the next run, and why something is not online."""
    shown = "\n".join(on_terminal(it, 200, "ls"))
    assert re.search(r"a-service-with-a-rather-long-name:0 .*/200\.0M", shown)
    assert re.search(r"nightly .* \d\d-\d\d 04:30", shown)
    assert re.search(r"broken .*ended with code 3: no database", shown)
    assert "broken" not in "\n".join(on_terminal(it, 200, "ls", "nightly"))


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_describe_fits_the_width(it: Operated, columns: int) -> None:
    """What is longer goes on below, and events tell each fact once."""
    wide = on_terminal(it, columns, "describe", "日本語アプリケーション名前が長い")
    assert max(map(wcwidth.wcswidth, wide)) <= columns
    lines = on_terminal(it, columns, "describe", "broken")
    assert max(map(len, lines)) <= columns
    assert lines[-1]
    exit_ = " ".join(" ".join(lines).partition("instance.exit")[2].split())
    assert exit_.count("code") == 1


def test_describe_leads_with_what_is_wrong(it: Operated) -> None:
    """State, reason, last exit and events before what it is."""
    lines = it.command("describe", "broken").stdout.splitlines()
    order = ("name", "state", "last exit", "20", "id", "command", "cwd")
    found = [next(n for n, line in enumerate(lines) if line.startswith(word)) for word in order]
    assert found == sorted(found)
    assert lines[0].split() == ["name", "broken"]
    assert "instance.exit" in "\n".join(lines[: found[4]])
    assert "code 3" in lines[found[2]]


_WIDTHS = """
import os, shutil, sys
from pidone.cli.operate.table import terminal_width
for columns in ("", "0", "1", "120", "x", "-5"):
    os.environ["COLUMNS"] = columns
    print(columns, terminal_width(), shutil.get_terminal_size().columns, file=sys.stderr)
"""


@pytest.mark.parametrize("size", [(24, 97), (0, 0), None])
def test_the_width_is_what_the_library_would_take(size: tuple[int, int] | None) -> None:
    """Which is not asked, as it comes with much that no table needs."""
    command = [sys.executable, "-c", _WIDTHS]
    if size is None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    else:
        primary, secondary = pty.openpty()
        try:
            fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            done = subprocess.run(
                command, stdout=secondary, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=True
            )
        finally:
            os.close(primary)
            os.close(secondary)
    widths = [line.rsplit(" ", 2)[1:] for line in done.stderr.splitlines()]
    assert len(widths) == 6
    assert all(ours == the_library_s for ours, the_library_s in widths), widths
