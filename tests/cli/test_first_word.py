"""`ENTRYPOINT ["pidone"]` and any CMD: the table in docs/docker.md, as process 1, on pipes and a tty."""

import base64
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from control.operated import operated
from harness import DEADLINE_S, PIDONE, PYTHON, Running, eventually, free_port

from pidone.cli.pm2.runtime import parse

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("script"),
    reason="needs root, unshare and script",
)
FOLDER = {
    "start.sh": "#!/bin/sh\necho started $1\nexit 3\n",
    "ecosystem.toml": '[[apps]]\nname = "one"\nscript = "true"\nautorestart = false\n',
    "server.js": "",
    "sort": "#!/bin/sh\necho of ours\n",
}
PROGRAMS = {"reset": "#!/bin/sh\necho resets $@\n", "gunicorn": "#!/bin/sh\necho serves $@; exit 4\n"}
TABLE = [
    # a program
    ("ls -la /", 0, "etc"),
    ("env", 0, "PATH="),
    ("env A=b sh -c 'echo $A'", 0, "b"),
    ("gunicorn --name x app:app", 4, "serves --name x app:app"),
    ("/bin/echo hello", 0, "hello"),
    ("./start.sh web", 3, "started web"),
    (f"{PYTHON} -c 'print(6 * 7)'", 0, "42"),
    ("sh -c 'exit 5'", 5, ""),
    ("bash -c 'kill -9 $$'", 137, ""),
    ("sh -c 'sleep 0.2 & exit 6'", 6, ""),
    ("/bin/sh -c 'echo $PPID'", 0, "1"),
    ("reset", 0, "resets"),
    ("gunicron app:app", 64, "no such file, no command of pidone, and no program on PATH"),
    # ours, though there are programs of that name
    ("ls", 69, "exec -- ls"),
    ("ls /etc", 69, "exec -- ls"),
    ("ls --help", 0, "List apps"),
    ("check ecosystem.toml", 0, "one"),
    # other names
    ("tini -- sh -c 'exit 8'", 8, ""),
    ("/usr/bin/tini -g -- sh -c 'exit 8'", 8, ""),
    ("dumb-init sh -c 'exit 9'", 9, ""),
    ("pm2-runtime --version", 0, "0."),
    ("pm2-runtime ecosystem.toml", 0, "one"),
    ("pm2 --version", 0, "0."),
    ("exec -- sh -c 'exit 7'", 7, ""),
    # runtimes
    ("ecosystem.toml", 0, "runtime.exit"),
    ("start ecosystem.toml", 0, "runtime.exit"),
    ("start gunicorn", 75, "serves"),
    ("./start.sh -- web", 75, "started web"),
    ("--no-autorestart ./start.sh", 3, "runtime.exit"),
    ("--no-autorestart -- sh -c 'exit 0'", 0, "runtime.exit"),
    # about ourselves
    ("help", 0, "Usage: pidone"),
    ("--help", 0, "Usage: pidone"),
    ("-h", 0, "Usage: pidone"),
    ("--", 64, "no FILE, SCRIPT or COMMAND"),
    ("reload all", 69, "control.sock"),
    ("help reload", 0, "Replace instance by instance"),
    ("help start", 0, "usage: pidone [start]"),
    ("help exec", 0, "Usage: pidone exec"),
    ("version", 0, "pidone 0."),
    ("--version", 0, "pidone 0."),
    ("-v", 0, "pidone 0."),
    ("-V", 0, "pidone 0."),
    ("lss", 64, 'did you mean "pidone ls"?'),
    # neither a program nor a file that is taken with others
    ("start.sh web", 64, '"./start.sh web" runs it once, "start.sh -- web" keeps it up'),
    ("./server.js 3000", 64, 'to run it once as "./server.js 3000" it has to be executable (chmod +x)'),
    ("bin x", 64, '"bin -- x" starts an app with arguments'),
    ("'' x", 64, "the first word is empty: a variable that is not set?"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A container's working directory."""
    for name, text in {**FOLDER, **{f"bin/{name}": text for name, text in PROGRAMS.items()}}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    return tmp_path


def as_process_1(folder: Path, words: str, *, terminal: bool) -> "subprocess.CompletedProcess[str]":
    """Run to the end in a PID namespace of its own, with a socket folder of its own too."""
    inside = f"exec {PIDONE} {words}"
    argv = ["unshare", "--fork", "--pid", "--mount-proc", "sh", "-c", inside]
    if terminal:
        argv = ["script", "-qec", shlex.join(argv), "/dev/null"]
    socket = str(folder / "control.sock")
    environ = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PIDONE_SOCKET": socket,
        "TERM": "xterm",
        "SHELL": "/bin/sh",
    }
    return subprocess.run(
        argv,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "said", "terminal"),
    [(*row, number % 4 == 0) for number, row in enumerate(TABLE)],
    ids=[words for words, _, _ in TABLE],
)
def test_a_first_word_means(folder: Path, words: str, code: int, said: str, *, terminal: bool) -> None:
    """What it does anywhere else, or what it does as ours; on a terminal as well."""
    done = as_process_1(folder, words, terminal=terminal)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout
    assert "Traceback" not in done.stdout


def test_the_table_is_the_documented_one() -> None:
    """Each first word of the table in the documentation is tried here."""
    text = (Path(__file__).parents[2] / "docs/docker.md").read_text()
    table = text.partition("### What the first word means")[2].partition("\n##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    documented = {word.split()[0] for row in rows for word in row.split("|")[1].split("`")[1::2]}
    tried = {shlex.split(words)[0].rpartition("/")[2] for words, _, _ in TABLE}
    assert {word.rpartition("/")[2] for word in documented} <= tried
    assert len(rows) > 8


def test_a_program_has_the_terminal(folder: Path) -> None:
    """`docker run -it IMAGE bash`: a shell with job control, and no complaint that there is none."""
    done = as_process_1(folder, "bash -ic 'tty; sleep 0.1 & wait; jobs; echo done'", terminal=True)
    assert done.returncode == 0
    assert "/dev/pts/" in done.stdout or "/dev/" in done.stdout
    assert "no job control" not in done.stdout
    assert "done" in done.stdout


def test_beside_a_runtime_a_verb_is_ours(tmp_path: Path) -> None:
    """`docker exec CONTAINER pidone ls -la` is a mistake that is told, not the program."""
    with operated(tmp_path) as it:
        assert it.command("ls").returncode == 0
        done = it.command("ls", "-la")
        assert (done.returncode, done.stdout) == (64, "")
        assert it.command("env").returncode == 64


@pytest.fixture
def pm2(tmp_path: Path) -> str:
    """Our command under PM2's name."""
    path = tmp_path / "names" / "pm2"
    path.parent.mkdir()
    path.symlink_to(PIDONE)
    return str(path)


def run_pm2(pm2: str, *words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Where no runtime is."""
    environ = {"PATH": os.environ["PATH"], "PIDONE_SOCKET": str(folder / "none.sock"), "HOME": str(folder)}
    return subprocess.run(
        [pm2, *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_pm2_start_in_the_foreground_is_pm2_runtime(folder: Path, pm2: str) -> None:
    """`CMD ["pm2", "start", "e.toml", "--no-daemon"]` runs; without that it says which line to write."""
    done = run_pm2(pm2, "start", "ecosystem.toml", "--no-daemon", folder=folder)
    assert (done.returncode, "starts 1 apps" in done.stdout + done.stderr) == (0, True), done
    assert "ignored" not in done.stderr
    done = run_pm2(pm2, "start", "ecosystem.toml", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'write CMD ["pm2-runtime", "ecosystem.toml"]' in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        *("install pm2-logrotate", "set pm2-logrotate:max_size 10M", "startup", "startup systemd -u app"),
        *("save", "update", "unstartup", "uninstall pm2-logrotate", "resurrect", "link a b"),
        *("module:install x", "multiset a", "unset x:y", "conf x y", "get x", "cleardump", "updatePM2"),
        *("report", "profile:cpu 5", "publish", "examples"),
        *("logout", "unmonitor", "logrotate -u app", "autoinstall", "deepUpdate", "completion install"),
    ],
)
def test_what_pm2_does_in_a_dockerfile_breaks_no_build(folder: Path, pm2: str, words: str) -> None:
    """It ends with 0 and says what there is in its place."""
    done = run_pm2(pm2, *words.split(), folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"[PM2][WARN] {words.split(maxsplit=1)[0]}: ")
    assert "log_max_size" in done.stdout or not words.startswith("install")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("delete all", "[PM2][WARN] No process found"),
        ("stop all --silent", "[PM2][WARN] No process found"),
        ("jlist", "[]"),
        ("ls", "│ id"),
        ("kill", "[PM2] [v]"),
        ("flush", "[PM2] Logs flushed"),
        ("delete web", None),
        ("restart e.json", None),
        ("ping", None),
    ],
)
def test_scripts_tidy_up_before_they_start(folder: Path, pm2: str, words: str, said: str | None) -> None:
    """`pm2 delete all; pm2-runtime e.js`: of nothing at all PM2 says so, and goes on; a name is an error."""
    done = run_pm2(pm2, *words.split(), folder=folder)
    assert done.returncode == (said is None)
    assert (said or "") in done.stdout
    assert bool(done.stderr) == (said is None)


def test_pm2_start_takes_pm2s_options(folder: Path, pm2: str) -> None:
    """In the foreground, before or behind the word, and `--attach` holds it there as well."""
    (folder / "fails.sh").write_text("echo in $PWD of $name; echo bad >&2; exit 3\n")
    (folder / "sub").mkdir()
    options = "--max-restarts 2 --restart-delay 10 --cwd sub --time -o ../o.log -k 1000 --no-treekill -x"
    total = 0
    for words in (
        ["--no-daemon", "start", "../fails.sh", "--name", "n", *options.split()],
        ["-s", "start", "../fails.sh", "-n", "n", "--attach", *options.split(), "--", "a"],
    ):
        done = run_pm2(pm2, *words, folder=folder)
        assert done.returncode == 75, done
        shown = [line for line in done.stdout.splitlines() if line.endswith(f"in {folder / 'sub'} of n")]
        assert len(shown) >= 2, done  # an end that comes late, on a busy machine, is a stable one
        total += len(shown)
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: in ", shown[0])
        assert "unknown" not in done.stderr
    assert len((folder / "o.log").read_text().splitlines()) == total


@pytest.mark.parametrize(
    "words",
    [
        "start --no-daemon",
        "startOrRestart ecosystem.config.js --no-daemon",
        "restart --attach ecosystem.config.js",
        "startOrReload ecosystem.config.js --env production --no-daemon",
        "--no-daemon reload ecosystem.config.js",
    ],
)
def test_pm2_starts_in_the_foreground_what_a_file_says(folder: Path, pm2: str, words: str) -> None:
    """Whichever command it is, and without a word ecosystem.config.js; else it says which line to write."""
    (folder / "ecosystem.config.js").write_text(
        'module.exports = {apps: [{script: "/bin/true", autorestart: false}]}'
    )
    done = run_pm2(pm2, *words.split(), folder=folder)
    assert (done.returncode, "starts 1 apps" in done.stderr) == (0, True), done
    left = [word for word in words.split() if word not in ("--no-daemon", "--attach")]
    done = run_pm2(pm2, *left, folder=folder)
    assert done.returncode == 1
    assert '"pm2-runtime", "ecosystem.config.js"' in done.stderr
    done = run_pm2(pm2, "restart", "nobody", "--no-daemon", folder=folder)
    assert (done.returncode, "starts 1 apps" in done.stderr) == (1, False)


def test_pm2_help_is_no_command(folder: Path, pm2: str) -> None:
    """Wherever the word stands; behind -- it is the app's."""
    for words in (["--help"], ["logs", "--help"], ["start", "-h"], ["help", "restart"]):
        done = run_pm2(pm2, *words, folder=folder)
        assert (done.returncode, done.stdout.startswith("usage: pm2 COMMAND")) == (0, True), words
    assert run_pm2(pm2, "start", "ecosystem.toml", "--", "--help", folder=folder).returncode == 1


def test_pm2_serve_in_the_foreground(folder: Path, pm2: str) -> None:
    """`CMD ["pm2", "serve", "dist", "8080", "--spa", "--no-daemon"]` is a server of files."""
    port = free_port()
    (folder / "dist").mkdir()
    (folder / "dist" / "index.html").write_text("home")
    words = [pm2, "serve", "dist", str(port), "--spa", "--no-daemon"]
    auth = ["--basic-auth-username", "u", "--basic-auth-password", "p"]
    patience = {"PIDONE_SOCKET": str(folder / "s.sock"), "PM2_KILL_TIMEOUT": "20000"}
    with Running([*words, *auth], cwd=folder, env=patience) as run:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/deep/path")

        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(request) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, b""
            except OSError:
                return 0, b""

        assert eventually(lambda: (found := ask())[0] and found) == (401, b"")
        request.add_header("Authorization", f"Basic {base64.b64encode(b'u:p').decode()}")
        assert ask() == (200, b"home")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    done = run_pm2(pm2, "serve", "dist", folder=folder)
    assert (done.returncode, '"pm2-runtime", "serve", "dist"' in done.stderr) == (1, True)
    assert "--spa: for serve alone" in parse(["x.js", "--spa"])[1][0]


def test_pm2_web_serves_the_reading_side(folder: Path) -> None:
    """`pm2-runtime start e.js --web PORT`; without a number it is PM2's own, 9615."""
    port = free_port()
    (folder / "stay.toml").write_text('[[apps]]\nname = "one"\nscript = "/bin/sleep"\nargs = "1000"\n')
    words = ("pm2-runtime", "start", "stay.toml", "--web", str(port))
    with Running([PIDONE, *words], cwd=folder, env={"PIDONE_SOCKET": str(folder / "s.sock")}) as run:

        def ask(path: str) -> int:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer,
            ):
                return int(answer.status)
            return 0

        assert eventually(lambda: ask("/livez")) == 200
        assert ask("/metrics") == ask("/") == 200
        run.signal(signal.SIGINT)
        assert run.wait() == 0
    assert parse(["e.js", "--web"])[0].runtime["admin"] == ":9615"
    assert parse(["--web=80", "e.js"])[0].runtime["admin"] == ":80"
