"""The commands that operate a running pidone, as people and scripts type them."""

import json
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from control.operated import SLEEPER, Operated, command, operated
from harness import PIDONE, PYTHON, eventually, pidone, spawned

FLOUR = f"""
[[apps]]
name = "flour"
script = "{PYTHON}"
args = ["-u", "-c", "import sys,time; print('white'); print('dark', file=sys.stderr); time.sleep(1000)"]
ready_delay = 0
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """For commands that change nothing."""
    with operated(tmp_path_factory.mktemp("shared"), SLEEPER + FLOUR) as it:
        for message in ("white", "dark"):
            it.run.expect(message=message)
        yield it


@pytest.fixture(autouse=True)
def no_process_left_behind() -> None:
    """The shared runtime outlives the tests here; its own `with` block leaves nothing."""


@pytest.mark.parametrize("name", ["ls", "list", "ps", "status"])
def test_ls_shows_a_row_per_instance(shared: Operated, name: str) -> None:
    """One line per instance with its id, state, pid and figures."""
    done = shared.command(name)
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["id", "name", "state", "pid", "restarts", "uptime", "cpu", "memory"]
    assert [row.split()[1:3] for row in rows] == [
        ["api:0", "online"],
        ["api:1", "online"],
        ["flour", "online"],
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("describe", "api"),
        ("env", "api"),
        ("logs",),
        ("jlist",),
        ("prettylist",),
        ("health",),
        ("wait",),
    ],
    ids=lambda words: str(words[0]),
)
def test_every_reading_command_speaks_json(shared: Operated, words: tuple[str, ...]) -> None:
    """--json gives one JSON value and nothing else."""
    json.loads(shared.command(*words, "--json").stdout)


def test_following_speaks_json_too(shared: Operated) -> None:
    """`logs -f` an object per record, `monit` one per second: for programs that watch."""
    for words, key in ((("logs", "-f"), "timestamp"), (("monit",), "apps")):
        with spawned(
            [PIDONE, *words, "--json", "--socket", shared.socket], stdout=subprocess.PIPE, text=True
        ) as follower:
            assert follower.stdout is not None
            assert key in json.loads(follower.stdout.readline())
            asks, answers = (
                Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in (follower.pid, shared.run.pid)
            )
            assert int(asks) == 1000 > int(answers), "whoever asks goes first where memory is short"
            follower.kill()


def test_describe_tells_what_happened(shared: Operated) -> None:
    """State, command and the last events of an app."""
    done = shared.command("describe", "api")
    assert "/bin/sleep 1000" in done.stdout
    assert done.stdout.count("instance.online") == 2


def test_logs_are_kept_without_files(shared: Operated) -> None:
    """The last lines of an app, all of them or only stderr."""
    both = shared.command("logs", "flour").stdout
    assert '"white"' in both
    assert '"dark"' in both
    assert "api" not in both
    assert '"white"' not in shared.command("logs", "flour", "--err").stdout
    assert shared.command("logs", "--app", "flour", "--lines", "1").stdout.count("\n") == 1
    assert shared.command("logs", "flour", "--since", "1h").stdout == both
    assert shared.command("logs", "flour", "--since", "2100-01-01T00:00:00Z").stdout == ""
    assert shared.command("logs", "--since", "yesterday").returncode == 1
    records = json.loads(shared.command("logs", "flour", "--json").stdout)
    # Which of two pipes is read first is nobody's promise.
    assert sorted(r["message"] for r in records if "event" not in r) == ["dark", "white"]


def test_logs_are_objects_whatever_stdout_shows(tmp_path: Path) -> None:
    """The log format is that of the runtime's stdout and of nothing else."""
    file, socket = tmp_path / "ecosystem.toml", str(tmp_path / "control.sock")
    file.write_text('[runtime]\nlog_format = "logfmt"\n' + SLEEPER)
    with pidone("--socket", socket, str(file)) as run:
        ask = partial(command, "logs", "--json", env={"PIDONE_SOCKET": socket})
        eventually(lambda: ask().returncode == 0, "the control socket")
        records = json.loads(ask().stdout)
        assert records
        assert all(record["timestamp"] for record in records)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("stop", "apj"), 66, "did you mean api?"),
        (("scale", "api", "many"), 1, "expected a number"),
        (("signal", "api", "-USR3"), 1, "did you mean"),
        (("ls", "--nonsense"), 64, "No such option"),
        (("restart",), 64, "Missing argument"),
        (("wait", "flour", "--stopped", "--timeout", "0"), 124, "flour:0 online"),
        (("send", "api", "hello"), 1, "stdin"),
        (("monit",), 1, "terminal"),
    ],
)
def test_what_goes_wrong_has_a_code_and_one_line(
    shared: Operated, words: tuple[str, ...], code: int, said: str
) -> None:
    """Exit codes tell scripts what happened, stderr tells people."""
    done = shared.command(*words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


def test_without_a_runtime(tmp_path: Path) -> None:
    """69 says that nobody is there; health says 1, because Docker knows no other; prestop never fails."""
    env = {"PIDONE_SOCKET": str(tmp_path / "nothing")}
    assert command("ls", env=env).returncode == 69
    assert command("health", env=env).returncode == 1
    assert command("prestop", env=env).returncode == 0


def test_verbs_wait_until_it_has_happened(tmp_path: Path) -> None:
    """When restart, scale, stop and start return, it is done."""
    with operated(tmp_path) as it:
        before = [each["pid"] for each in it.app("api")["instances"]]
        assert it.command("restart", "api").returncode == 0
        after = it.app("api")["instances"]
        assert [each["state"] for each in after] == ["online", "online"]
        assert not {each["pid"] for each in after} & set(before)
        assert it.command("scale", "api", "-1").returncode == 0
        assert it.app("api")["scale"] == 1
        assert it.command("stop", "all").returncode == 0
        assert it.states("api") == ["stopped"]
        assert it.command("start", "api").returncode == 0
        assert it.states("api") == ["online"]
        assert it.command("reload", "all").returncode == 0
        assert it.command("reset", "api").returncode == 0
        assert it.app("api")["restarts"] == 0
        assert it.command("flush").returncode == 0


def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    """An app that does not come up again makes the command fail."""
    ecosystem = f"""
    [[apps]]
    name = "api"
    script = "/bin/sh"
    args = ["-c", "test ! -e {tmp_path}/broken && echo up && exec sleep 1000"]
    autorestart = false
    ready = "log:up"
    """
    with operated(tmp_path, ecosystem, "--no-auto-exit") as it:
        (tmp_path / "broken").touch()
        done = it.command("restart", "api")
        assert (done.returncode, "api:0 is errored" in done.stderr) == (1, True), done.stderr


def test_drain_makes_unready_and_ends_in_time(tmp_path: Path) -> None:
    """prestop twice: ready no more, exit 0 both times, and the apps still run."""
    with operated(tmp_path) as it:
        assert it.command("prestop", "--delay", "0.1").returncode == 0
        assert it.command("drain", "--delay", "0").returncode == 0
        assert it.command("health").returncode == 1
        assert it.command("health", "--live").returncode == 0
        assert it.states("api") == ["online", "online"]


def test_save_writes_what_runs_now(tmp_path: Path) -> None:
    """Scale and rest are in the file, which starts the same system again."""
    with operated(tmp_path, SLEEPER + FLOUR) as it:
        it.command("scale", "api", "3")
        it.command("stop", "flour")
        saved = tmp_path / "saved.toml"
        done = it.command("save", str(saved))
        assert done.returncode == 0, done.stderr
        found = {app["name"]: app for app in tomllib.loads(saved.read_text())["apps"]}
        assert found["api"]["instances"] == 3
        assert found["flour"]["autostart"] is False
        assert saved.stat().st_mode & 0o077 == 0
        assert json.loads(it.command("save", "--json").stdout) == tomllib.loads(saved.read_text())
    with operated(tmp_path, saved.read_text()) as again:
        assert again.states("api") == ["online"] * 3
        assert again.states("flour") == ["stopped"]


def test_save_of_a_command_line_starts_the_same_again(tmp_path: Path) -> None:
    """Without a file too: the command, its options and today's scale; from any folder."""
    path = str(tmp_path / "s")
    with pidone("--socket", path, "--name", "z", "-i", "2", "--", "sleep", "1000", cwd=tmp_path) as run:
        run.expect(event="instance.online", count=2)
        assert command("scale", "z", "3", "--socket", path, env={}).returncode == 0
        done = command("save", str(tmp_path / "saved.toml"), "--socket", path, env={}, cwd="/")
        assert done.returncode == 0, done.stderr
        run.signal(signal.SIGTERM)
        run.wait()
    with pidone(str(tmp_path / "saved.toml")) as run:
        run.expect(event="instance.online", count=3)
        apps = json.loads(command("ls", "--json", "--socket", path, env={}).stdout)["apps"]
        assert [(app["name"], app["scale"], app["cwd"]) for app in apps] == [("z", 3, str(tmp_path))]


def test_an_instance_stands_for_its_app_where_that_is_scaled(tmp_path: Path) -> None:
    """Also where it is the one that goes."""
    with operated(tmp_path) as it:
        done = it.command("scale", "api:1", "1")
        assert (done.returncode, done.stderr) == (0, "")
        assert it.app("api")["scale"] == 1
        assert it.command("scale", "0", "+1", "--json").returncode == 0
        assert it.app("api")["scale"] == 2
        assert not it.run.find(event="runtime.error")


def test_waiting_for_jobs_is_over_when_they_need_not_run(tmp_path: Path) -> None:
    """One that has done its work and one that waits for its time are as ready as `health` says."""
    jobs = """
    [[apps]]
    name = "done"
    script = "true"
    autorestart = false
    [[apps]]
    name = "later"
    script = "true"
    schedule = "0 0 1 1 *"
    """
    with operated(tmp_path, jobs, "--no-auto-exit") as it:
        eventually(lambda: it.command("health").returncode == 0)
        done = it.command("wait", "--timeout", "5")
        assert (done.returncode, done.stderr) == (0, "")
        assert it.command("wait", "later", "--timeout", "5").returncode == 0
        scaled = it.command("scale", "later", "2")
        assert (scaled.returncode, scaled.stderr) == (0, "")


UNWELL = """
[runtime]
auto_exit = false
[[apps]]
name = "outside"
script = "/bin/sleep"
args = ["1000"]
wait_for = ["file:///nowhere/at/all"]
wait_for_timeout = "100ms"
[[apps]]
name = "broken"
script = "/bin/sh"
args = ["-c", "exit 3"]
max_restarts = 1
[[apps]]
name = "job"
script = "/bin/false"
schedule = "* * * * * *"
[[apps]]
name = "pm2s"
script = "/bin/true"
autorestart = false
cron_restart = "* * * * * *"
"""


def test_what_is_not_well_says_why(tmp_path: Path) -> None:
    """In `health`; a failed run of a job leaves `wait` content as it does `health`, and is no restart."""
    with operated(tmp_path, UNWELL, ready=False) as it:
        eventually(lambda: {it.app(name)["state"] for name in ("outside", "broken", "job")} == {"errored"})
        it.run.expect(event="instance.exit", app="pm2s", count=3)
        told = it.command("health").stdout.splitlines()
        assert "[-] outside errored: file:///nowhere/at/all did not answer within 0.1 s" in told[0]
        assert "[-] broken errored: gave up after 1 unstable ends: ended with code 3" in told
        assert it.app("pm2s")["restarts"] == 0
        assert it.command("wait", "job", "--timeout", "60").returncode == 0
        done = it.command("signal", "broken", "USR1")
        assert (done.returncode, done.stderr) == (1, "pidone: no process is running there\n")
        done = it.command("restart", "broken")
        assert "broken:0 is errored (gave up after 1 unstable ends)" in done.stderr


@pytest.fixture
def pm2(tmp_path: Path) -> str:
    """Our command under PM2's name."""
    path = tmp_path / "bin" / "pm2"
    path.parent.mkdir()
    path.symlink_to(PIDONE)
    return str(path)


def test_under_the_name_pm2_existing_scripts_work(tmp_path: Path, pm2: str) -> None:
    """`pm2 jlist | jq`, `pm2 reload api`, `pm2 scale`, `pm2 pid`: PM2's arguments, shapes and exit codes."""
    with operated(tmp_path) as it:

        def run(*words: str) -> Any:
            return command(*words, name=pm2, env={"PIDONE_SOCKET": it.socket})

        entries = json.loads(run("jlist").stdout)
        assert [(each["name"], each["pm_id"], each["pm2_env"]["status"]) for each in entries] == [
            ("api", 0, "online"),
            ("api", 1, "online"),
        ]
        assert entries[0]["pid"] == it.app("api")["instances"][0]["pid"]
        assert entries[0]["monit"]["memory"] > 0
        assert entries[0]["pm2_env"]["exec_mode"] == "fork_mode"
        assert "status: 'online'" in run("prettylist").stdout
        assert "│ api" in run("ls").stdout
        assert run("ping").stdout == "{ msg: 'pong' }\n"
        reload = run("reload", "api", "--update-env")
        assert (reload.returncode, "[PM2] [api](0) ✓" in reload.stdout) == (0, True), reload.stderr
        assert run("scale", "api", "3").returncode == 0
        assert run("scale", "api", "3").returncode == 1
        assert len(run("pid", "api").stdout.split()) == 3
        assert run("id", "api").stdout == "[ 0, 1, 2 ]\n"
        assert run("sendSignal", "SIGCONT", "api").returncode == 0
        assert run("stop", "nobody").returncode == 1
        assert run("update").returncode == 0
        assert run("logs", "--nostream", "--lines", "3").returncode == 0
        assert run("kill").returncode == 0
        assert it.run.wait() == 0


def test_pm2s_lists_and_lines_have_its_shapes(tmp_path: Path, pm2: str) -> None:
    """`jlist`: an absolute path and the version of the package; `logs --json` and `--format`: no header."""
    (tmp_path / "package.json").write_text('{"version": "3.2.1"}')
    (tmp_path / "app.py").write_text("import time; print('a b', flush=True); time.sleep(1000)")
    ecosystem = f"""
    [runtime]
    log_format = "raw"
    [[apps]]
    name = "web"
    script = "app.py"
    interpreter = "{PYTHON}"
    cwd = "{tmp_path}"
    """
    (tmp_path / "ecosystem.toml").write_text(ecosystem)
    path = str(tmp_path / "control.sock")
    with pidone("--socket", path, str(tmp_path / "ecosystem.toml")) as run:
        run.expect_line("a b")

        def ask(*words: str) -> str:
            return command(*words, name=pm2, env={"PIDONE_SOCKET": path}).stdout

        [entry] = eventually(lambda: json.loads(ask("jlist") or "[]"))
        assert entry["pm2_env"]["pm_exec_path"] == str(tmp_path / "app.py")
        assert entry["pm2_env"]["version"] == "3.2.1"
        [line] = ask("logs", "web", "--json", "--nostream").splitlines()
        shown = json.loads(line)
        assert {name: shown[name] for name in ("message", "type", "process_id", "app_name")} == {
            "message": "a b",
            "type": "out",
            "process_id": 0,
            "app_name": "web",
        }
        line = ask("logs", "web", "--format", "--nostream")
        assert re.fullmatch(
            r"timestamp=\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\+0000 app=web id=0 type=out message=a b\n", line
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


PM2_SAYS = {
    "ping": (0, "{ msg: 'pong' }\n"),
    "id api": (0, "[ 0, 1 ]\n"),
    "id nobody": (0, "[]\n"),
    "pid nobody": (0, "\n"),
    "scale flour 1": (1, "[PM2][ERROR] Nothing to do"),
    "restart nobody": (1, "[PM2][ERROR] Process or Namespace nobody not found"),
    "restart": (1, "missing required argument"),
    "reload api --env production --update-env": (0, "[PM2] [api](1) ✓\n"),
    "stop e.config.js --only flour": (0, "stopProcessId on app [flour](ids: [ 2 ])\n[PM2] [flour](2) ✓\n"),
    "start flour": (0, "restartProcessId on app [flour](ids: [ 2 ])\n[PM2] [flour](2) ✓\n"),
    "startOrReload e.config.js": (0, "reloadProcessId on app [api](ids: [ 0, 1 ])\n[PM2] [api](0) ✓\n"),
    "sendSignal SIGCONT api": (
        0,
        "[PM2] Sending signal to process name api\nsuccessfully sent signal SIGCONT to",
    ),
    "sendSignal SIGCONT 1": (0, "successfully sent signal SIGCONT to process id 1\n"),
    "trigger api hello": (1, "Not any process has received a command (offline or unexistent)\n"),
    "send flour hi": (1, "[PM2][ERROR] no process reads lines there"),
    "reset api": (0, "[PM2] Resetting meta for process id 0\n[PM2] Resetting meta for process id 1\n"),
    "describe 1": (0, " Describing process with id 1 - name api \n┌──"),
    "describe nobody": (1, "[PM2][ERROR] Process or Namespace nobody not found"),
    "env 0": (0, "NODE_APP_INSTANCE: 0\n"),
    "logs --nostream --lines 9": (0, "2|flour    | white\n"),
    "logs flour --err --nostream": (0, "2|flour    | dark\n"),
    "logs flour --out --raw --nostream --lines 1": (0, "\nwhite\n"),
    "logs flour --nostream --json --lines=1": (0, '"process_id":2,"app_name":"flour"}\n'),
    "logs nobody --nostream": (0, "[TAILING] Tailing last 15 lines for [nobody] process "),
    "reloadLogs": (0, "Reloading all logs...\nAll logs reloaded\n"),
    "delete 0": (0, "[PM2] [api](1) ✓\n"),
    "list": (0, "│ user │ watching │\n"),
    "delete flour": (0, "[PM2] [flour](2) ✓\n"),
    "save": (0, "[PM2] Successfully saved in "),
    "flush": (0, "[PM2] Logs flushed\n"),
    "delete all": (0, "│ id │ name │"),
}
"""What is typed, PM2's exit code, and the part of its output that scripts may look for; in this order."""


def test_under_the_name_pm2_everything_has_its_shape(tmp_path: Path, pm2: str) -> None:
    """As PM2 7.0.4 answered when it was asked the same."""
    (tmp_path / "e.config.js").write_text(
        "const app = {script: '/bin/sleep', interpreter: 'none', args: '1000'};"
        "module.exports = {apps: [{name: 'api', instances: 2, ...app}, {name: 'flour', ...app}]}"
    )
    with operated(tmp_path, SLEEPER + FLOUR) as it:
        for message in ("white", "dark"):
            it.run.expect(message=message)
        env = {"PIDONE_SOCKET": it.socket, "PM2_HOME": str(tmp_path / "home")}
        for words, (code, said) in PM2_SAYS.items():
            done = command(*words.split(), name=pm2, env=env, cwd=tmp_path)
            assert (words, done.returncode, said in done.stdout + done.stderr) == (words, code, True), done
        assert it.run.wait() == 0
    assert tomllib.loads((tmp_path / "home/dump.toml").read_text())["apps"][0]["name"] == "api"


def test_an_instance_is_not_deleted_as_its_whole_app(tmp_path: Path) -> None:
    """`delete api:0` and `delete 0` would take api:1 along; that is refused, and nothing is stopped."""
    with operated(tmp_path) as it:
        for target in ("api:0", "0"):
            assert it.command("delete", target).returncode == 1
        assert it.states("api") == ["online", "online"]
        it.command("scale", "api", "1")
        assert it.command("delete", "api:0").returncode == 0


def test_start_finds_the_running_app(tmp_path: Path) -> None:
    """`pidone start api` starts the app of the runtime that is there, not a file of that name."""
    with operated(tmp_path) as it:
        it.command("stop", "api")
        assert it.command("start", "api", cwd="/").returncode == 0
        assert it.states("api") == ["online", "online"]


@pytest.mark.parametrize("how", ["options", "file", "variable"])
def test_paths_are_relative_to_where_they_are_named(tmp_path: Path, how: str) -> None:
    """Of socket and token: to the folder of the start or of the file, although the runtime lives in /."""
    (tmp_path / "token").write_text("x")
    app = '[[apps]]\nname = "z"\nscript = "/bin/sleep"\nargs = "1000"\n[runtime]\nadmin = "127.0.0.1:0"\n'
    own = 'socket = "s"\nadmin_token_file = "token"' if how == "file" else ""
    (tmp_path / "e.toml").write_text(app + own)
    words = {"options": ("--socket", "s", "--admin-token-file", "./token"), "file": (), "variable": ()}[how]
    env = {"PIDONE_SOCKET": "s" if how == "variable" else ""}
    cwd = "/" if how == "file" else tmp_path
    with pidone(*words, str(tmp_path / "e.toml"), cwd=cwd, env=env) as run:
        run.expect(event="control.listening", count=2)
        assert command("ls", env={"PIDONE_SOCKET": "s"}, cwd=tmp_path).returncode == 0
        assert command("save", env={"PIDONE_SOCKET": "s"}, cwd=tmp_path).returncode == 0
