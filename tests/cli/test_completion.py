"""Tab completion, in each shell that is installed."""

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.screen import read_until
from control.operated import SLEEPER, Operated, command, operated
from harness import PIDONE

ROOT = Path(__file__).parents[2]
FLOUR = SLEEPER.replace("api", "flour").replace("instances = 2\n", "")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Two apps, `api` and `flour`."""
    with operated(tmp_path_factory.mktemp("shared"), SLEEPER + FLOUR) as it:
        yield it


@pytest.fixture(autouse=True)
def no_process_left_behind() -> None:
    """The shared runtime outlives the tests here; its own `with` block leaves nothing."""


def test_completion_knows_commands_options_and_apps(shared: Operated) -> None:
    """What the shells ask for after each TAB."""

    def complete(*words: str) -> list[str]:
        return shared.command("complete", "--", *words).stdout.split()

    assert complete("re") == ["reload", "reopen", "reset", "restart"]
    assert complete("restart", "a") == ["all", "api", "api:0", "api:1"]
    assert complete("logs", "--s") == ["--since", "--socket"]
    assert complete("completion", "") == ["bash", "fish", "zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid(shell: str) -> None:
    """Each shell that is installed parses its script."""
    done = command("completion", shell, env={})
    assert done.returncode == 0
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


INTERACTIVE = {
    "bash": ("bash --norc --noprofile -i", "source <(pidone completion bash)"),
    "zsh": ("zsh -f -i", "autoload -U compinit; compinit -u; source <(pidone completion zsh)"),
    "zsh, installed": (
        "zsh -f -i",
        f"fpath=({ROOT}/docs/completion $fpath); autoload -U compinit; compinit -u -D",
    ),
}
"""How each is started without anybody's settings, and what turns completion on."""


@pytest.fixture
def shell_env(shared: Operated, tmp_path: Path) -> dict[str, str]:
    """What a shell in `tmp_path` needs to ask about the running apps."""
    (tmp_path / "ecosystem.toml").touch()
    (tmp_path / "flour").mkdir()  # an app of the same name is no folder
    return {
        **os.environ,
        "PIDONE_SOCKET": shared.socket,
        "PATH": f"{Path(PIDONE).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PS1": "$ ",
        "TERM": "dumb",
        "INPUTRC": "/dev/null",
    }


@pytest.mark.parametrize("shell", INTERACTIVE)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"pidone resta\t", rb"pidone restart "),
        (b"pidone restart fl\t", rb"pidone restart flour "),
        (b"pidone restart api:\t\t", rb"\r\n(api:)?0  (api:)?1"),
        (b"pidone logs --sin\t", rb"pidone logs --since "),
        (b"pidone check eco\t", rb"pidone check ecosystem\.toml "),
    ],
)
def test_a_shell_completes(
    shell_env: dict[str, str], tmp_path: Path, shell: str, typed: bytes, expected: bytes
) -> None:
    """What a person sees who presses TAB in a real shell: also after a colon, which bash takes for a gap."""
    start, turn_on = INTERACTIVE[shell]
    if shutil.which(start.split()[0]) is None:
        pytest.skip(f"needs {start.split()[0]}")
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        start.split(),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=shell_env,
        cwd=tmp_path,
        start_new_session=True,
    ) as process:
        try:
            os.close(secondary)
            os.write(primary, f"{turn_on}; echo rea''dy\n".encode())
            read_until(primary, rb"ready\r\n")
            os.write(primary, typed)
            read_until(primary, expected)
        finally:
            process.kill()  # else a failure would wait for a shell that waits for us
    os.close(primary)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pidone resta", ["restart"]),
        ("pidone restart ", ["all", "api", "api:0", "api:1", "flour"]),
        ("pidone restart api:", ["api:0", "api:1"]),
        ("pidone logs --sin", ["--since"]),
        ("pidone check eco", ["ecosystem.toml"]),
    ],
)
def test_fish_offers(shell_env: dict[str, str], tmp_path: Path, typed: str, offered: list[str]) -> None:
    """What fish answers when it is asked for the words after what is typed: no files where names belong."""
    if shutil.which("fish") is None:
        pytest.skip("needs fish")
    ask = f"pidone completion fish | source; complete -C '{typed}'"
    argv = ["fish", "--no-config", "-c", ask]
    done = subprocess.run(argv, env=shell_env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered
