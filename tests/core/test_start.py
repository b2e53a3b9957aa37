"""The start command from outside: exit codes, bad input, reloads, endings."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import pidone
from writing import FOREVER, ecosystem, python, shell


def run_to_end(*args: str, **kwargs: Any) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, records and stderr."""
    with pidone(*args, **kwargs) as run:
        code = run.wait()
        assert run.err is not None
        return code, run.records, run.err.text()


# -- what ends the container, and with which code ----------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_a_jobs_code_is_passed_on(tmp_path: Path, code: int) -> None:
    """A container that runs one job ends with the job's code, at once."""
    got, records, _ = run_to_end(ecosystem(tmp_path, shell("job", f"exit {code}", autorestart=False)))
    assert got == code
    assert records[-1]["event"] == "runtime.exit"
    assert records[-1]["code"] == code


def test_a_job_killed_by_a_signal_is_128_plus_n(tmp_path: Path) -> None:
    """As a shell reports it."""
    assert run_to_end(ecosystem(tmp_path, shell("job", "kill -SEGV $$", autorestart=False)))[0] == 139


def test_a_crash_loop_ends_with_its_own_code(tmp_path: Path) -> None:
    """75, told apart from every code of the app."""
    app = shell("a", "exit 3", max_restarts=3, min_uptime="60s")  # however long an `exit` takes here
    code, records, _ = run_to_end(ecosystem(tmp_path, app))
    assert code == 75
    exits = [r for r in records if r.get("event") == "instance.exit"]
    assert [r["code"] for r in exits] == [3, 3, 3]


def test_an_essential_app_ends_the_container(tmp_path: Path) -> None:
    """The others are stopped in order, and its code is ours."""
    file = ecosystem(
        tmp_path,
        shell("main", "sleep 0.2; exit 9", autorestart=False, essential=True),
        shell("side", FOREVER),
    )
    code, records, _ = run_to_end(file)
    assert code == 9
    assert any(r.get("app") == "side" and r.get("reason") == "stop" for r in records)


def test_the_termination_message_says_why(tmp_path: Path) -> None:
    """Kubernetes shows it in `kubectl describe pod`; it is written only where the file exists."""
    message = tmp_path / "termination-log"
    message.write_text("")
    file = ecosystem(tmp_path, shell("a", "exit 3", max_restarts=1))
    run_to_end(file, env={"PIDONE_TERMINATION_LOG": str(message)})
    told = json.loads(message.read_text())
    assert (told["reason"], told["code"], told["app"]) == ("gave-up", 75, "a")
    message.unlink()
    run_to_end(file, env={"PIDONE_TERMINATION_LOG": str(message)})
    assert not message.exists()


@pytest.mark.parametrize(
    ("content", "code", "reason", "said"),
    [
        ('{"apps": [{"name": "a", "script": "/does/not/exist"}]}', 78, "config", "/does/not/exist"),
        ('{"apps": [{"script": "/bin/true", "listen": ["192.0.2.1:80"]}]}', 78, "listen", "192.0.2.1"),
    ],
)
def test_a_refused_ecosystem_leaves_a_message(
    tmp_path: Path, content: str, code: int, reason: str, said: str
) -> None:
    """A pod whose ConfigMap is broken says so in `kubectl describe pod`."""
    message = tmp_path / "termination-log"
    message.touch()
    file = tmp_path / "ecosystem.json"
    file.write_text(content)
    assert run_to_end(str(file), env={"PIDONE_TERMINATION_LOG": str(message)})[0] == code
    told = json.loads(message.read_text())
    assert (told["reason"], told["code"]) == (reason, code)
    assert said in told["message"]


def test_a_long_message_is_cut_and_stays_json(tmp_path: Path) -> None:
    """The kubelet reads 4096 bytes, which the errors of a large file exceed; escapes count as well."""
    message = tmp_path / "termination-log"
    message.touch()
    names = (f"{'ä' * 20}{number}" for number in range(90))
    apps = (shell(name, "true", max_memory_restart="\N{CHEESE WEDGE}") for name in names)
    file = ecosystem(tmp_path, *apps)
    assert run_to_end(file, env={"PIDONE_TERMINATION_LOG": str(message)})[0] == 78
    text = message.read_text()
    assert 4000 < len(text) <= 4096
    assert json.loads(text)["message"].endswith(" ...")


def test_an_orderly_end_leaves_no_message(tmp_path: Path) -> None:
    """Nothing to tell when everything went well."""
    message = tmp_path / "termination-log"
    message.write_text("before")
    run_to_end(
        ecosystem(tmp_path, shell("a", "true", autorestart=False)),
        env={"PIDONE_TERMINATION_LOG": str(message)},
    )
    assert message.read_text() == "before"


def test_a_lost_stdout_ends_in_order(tmp_path: Path) -> None:
    """The reader of our output goes away: the apps are stopped, no traceback, code 74."""
    mark = tmp_path / "stopped"
    script = f"trap 'touch {mark}; exit 0' TERM; while :; do echo line; sleep 0.05; done"
    read, write = os.pipe()
    with pidone(ecosystem(tmp_path, shell("a", script)), stdout=write) as run:
        os.close(write)
        seen = b""
        while b'"line"' not in seen:  # by then it catches SIGTERM
            seen += os.read(read, 4096)
        os.close(read)
        assert run.wait() == 74
        assert mark.exists()
        assert run.err is not None
        assert "Traceback" not in run.err.text()


# -- the command line ----------------------------------------------------------------------------------


def test_a_script_needs_no_ecosystem(tmp_path: Path) -> None:
    """`pidone app.py -- ARGS` runs the script by its interpreter."""
    script = tmp_path / "app.py"
    script.write_text("import sys; print(sys.argv[1:])")
    code, records, _ = run_to_end("--no-autorestart", str(script), "--", "a", "b c")
    assert code == 0
    assert [r["message"] for r in records if r.get("stream")] == ["['a', 'b c']"]


def test_a_command_needs_no_ecosystem() -> None:
    """`pidone -- COMMAND ARGS` runs a command of the PATH."""
    code, records, _ = run_to_end("start", "--no-autorestart", "--", "echo", "a  b")
    assert code == 0
    assert [r["message"] for r in records if r.get("stream")] == ["a  b"]


def test_apps_get_the_environment_and_nothing_of_our_own() -> None:
    """Python's C-locale coercion is not theirs; what tells instances apart is all that is added."""
    with harness.Running(
        ["env", "-i", "PATH=/usr/bin:/bin", harness.PIDONE, "--no-autorestart", "--", "env"]
    ) as run:
        assert run.wait() == 0
        names = {r["message"].partition("=")[0] for r in run.records if r.get("stream") == "stdout"}
    assert names == {"PATH", "NODE_APP_INSTANCE", "PIDONE_INSTANCE", "name", "pm_id"}


def test_only_starts_some(tmp_path: Path) -> None:
    """`--only` names the apps to run."""
    apps = [shell(name, f"echo {name}", autorestart=False) for name in ("a", "b", "c")]
    _, records, _ = run_to_end(ecosystem(tmp_path, *apps), "--only", "a,c")
    assert sorted(r["message"] for r in records if r.get("stream")) == ["a", "c"]


def test_env_chooses_an_environment(tmp_path: Path) -> None:
    """`--env NAME` lays env_NAME over env."""
    app = shell("a", 'echo "$A-$B"', autorestart=False, env={"A": "1", "B": "1"}, env_production={"B": "2"})
    _, records, _ = run_to_end(ecosystem(tmp_path, app), "--env", "production")
    assert [r["message"] for r in records if r.get("stream")] == ["1-2"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no FILE, SCRIPT or COMMAND"),
        (("--evn", "x", "f"), "unknown option --evn: did you mean --env?"),
        (("a.js", "b.js"), "a.js: no such file (arguments of an app follow --)"),
        (("f.toml", "--env"), "--env needs a value"),
    ],
)
def test_bad_usage_is_64(args: tuple[str, ...], said: str) -> None:
    """A wrong command line is told apart from a wrong file."""
    code, records, err = run_to_end(*args)
    assert (code, records) == (64, [])
    assert said in err
    assert len(err.splitlines()) == 2 or not args  # who typed nothing is shown what there is


# -- bad input -------------------------------------------------------------------------------------------


def bad_files(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name to file and what its message has to contain."""

    def toml(name: str, text: str) -> str:
        path = folder / f"{name}.toml"
        path.write_text(text)
        return str(path)

    not_executable = folder / "plain"
    not_executable.write_text("text")
    app = '[[apps]]\nname = "api"\nscript = "/bin/true"\n'
    return {
        "missing": (str(folder / "none.toml"), ("none.toml", "No such file")),
        "folder": (str(folder) + "/.toml", (".toml",)),
        "syntax": (toml("syntax", '[[apps]]\nname = "a\n'), ("syntax.toml", "2")),
        "type": (toml("type", app + "instances = true\n"), ("type.toml", "api", "instances")),
        "word": (toml("word", app + 'instances = "many"\n'), ("api", "instances", '"many"', "max")),
        "typo": (toml("typo", app + "max_restart = 3\n"), ("max_restart", "max_restarts")),
        "script": (
            toml("script", '[[apps]]\nname = "api"\nscript = "nothing.py"\n'),
            ("api", "nothing.py"),
        ),
        "interpreter": (
            toml("interpreter", app + 'interpreter = "no-such-interpreter"\n'),
            ("api", "no-such-interpreter"),
        ),
        "eacces": (
            toml("eacces", f'[[apps]]\nname = "api"\nscript = "{not_executable}"\ninterpreter = "none"\n'),
            ("api", "not executable", "chmod"),
        ),
        "twice": (toml("twice", app + app), ("api",)),
        "circle": (
            toml("circle", app + 'depends_on = ["b"]\n' + app.replace("api", "b") + 'depends_on = ["api"]\n'),
            ("api", "b"),
        ),
        "unknown-dependency": (toml("dep", app + 'depends_on = ["ap"]\n'), ("ap", "api")),
        "cwd": (toml("cwd", app + 'cwd = "/no/such/folder"\n'), ("api", "/no/such/folder")),
        "empty": (toml("empty", ""), ("is empty",)),
    }  # fmt: skip


with tempfile.TemporaryDirectory() as _folder:
    BAD_FILES = list(bad_files(Path(_folder)))


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_message(tmp_path: Path, case: str) -> None:
    """Code 78, one message that names file, key and value, nothing started, no traceback."""
    file, wanted = bad_files(tmp_path)[case]
    code, records, err = run_to_end(file)
    assert (code, records) == (78, [])
    assert "Traceback" not in err
    for text in wanted:
        assert text in err, err


def test_an_unreadable_file(tmp_path: Path) -> None:
    """The reason is told, to root too where it is bound by modes (`--cap-drop ALL`)."""
    file = Path(ecosystem(tmp_path, shell("a", "true")))
    file.chmod(0)
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*bound, harness.PIDONE, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "Permission denied" in done.stderr


# -- SIGHUP ----------------------------------------------------------------------------------------------


def test_sighup_applies_only_the_difference(tmp_path: Path) -> None:
    """Unchanged apps keep their processes; the rest becomes what the file says."""
    same = shell("same", "echo same $$; " + FOREVER)
    file = ecosystem(
        tmp_path, same, shell("changed", "echo old; " + FOREVER), shell("gone", "echo gone; " + FOREVER)
    )
    with pidone(file) as run:
        run.expect(message="old")
        run.expect(message="gone")
        pid = run.expect(event="instance.start", app="same")["pid"]
        ecosystem(
            tmp_path, same, shell("changed", "echo new; " + FOREVER), shell("added", "echo added; " + FOREVER)
        )
        run.signal(signal.SIGHUP)
        told = run.expect(event="config.reload")
        assert (told["added"], told["removed"], told["changed"], told["unchanged"]) == (
            ["added"],
            ["gone"],
            ["changed"],
            1,
        )
        run.expect(message="new")
        run.expect(message="added")
        run.expect(event="instance.exit", app="gone")
        assert harness.alive(pid)
        assert len(run.find(event="instance.start", app="same")) == 1
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    """It is reported, and everything runs on."""
    file = ecosystem(tmp_path, shell("a", "echo up; " + FOREVER))
    with pidone(file) as run:
        pid = run.expect(event="instance.start")["pid"]
        Path(file).write_text("{ this is no ecosystem")
        run.signal(signal.SIGHUP)
        assert "ecosystem.json" in run.expect(event="config.rejected")["message"]
        assert harness.alive(pid)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_sighup_scales(tmp_path: Path) -> None:
    """A changed number of instances starts or stops only the difference, the newest first."""
    with pidone(ecosystem(tmp_path, shell("a", FOREVER, instances=2))) as run:
        run.expect(event="instance.start", count=2)
        ecosystem(tmp_path, shell("a", FOREVER, instances=4))
        run.signal(signal.SIGHUP)
        run.expect(event="instance.start", count=4)
        ecosystem(tmp_path, shell("a", FOREVER, instances=1))
        run.signal(signal.SIGHUP)
        run.expect(event="instance.exit", count=3)
        assert sorted(r["instance"] for r in run.find(event="instance.exit")) == [1, 2, 3]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


# -- instances -------------------------------------------------------------------------------------------


def test_instances_know_their_number(tmp_path: Path) -> None:
    """NODE_APP_INSTANCE, instance_var, increment_var, name and pm_id."""
    app = shell(
        "a",
        'echo "$INSTANCE $PORT $name"; ' + FOREVER,
        instances=3,
        instance_var="INSTANCE",
        increment_var="PORT",
        env={"PORT": "3000"},
    )
    with pidone(ecosystem(tmp_path, app, shell("b", 'echo "b $NODE_APP_INSTANCE"; ' + FOREVER))) as run:
        run.expect(message="b 0")
        run.expect(app="a", stream="stdout", count=3)
        said = sorted(r["message"] for r in run.find(app="a", stream="stdout"))
        assert said == ["0 3000 a", "1 3001 a", "2 3002 a"]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize(("instances", "mask", "count"), [("max", "0-1", 2), (0, "0", 1), (-1, "0-1", 1)])
def test_max_means_the_cpus_we_may_use(tmp_path: Path, instances: object, mask: str, count: int) -> None:
    """Affinity counts, not the host's CPUs."""
    file = ecosystem(tmp_path, shell("a", "true", instances=instances, autorestart=False))
    with harness.Running(["taskset", "-c", mask, harness.PIDONE, file]) as run:
        assert run.wait() == 0
        assert len(run.find(event="instance.start")) == count


def test_dependencies_order_start_and_stop(tmp_path: Path) -> None:
    """Started when what they need is there, stopped before it."""
    note = "trap 'echo stop; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    file = ecosystem(
        tmp_path,
        shell("web", note, depends_on=["api"]),
        shell("api", note, depends_on={"db": "ready", "migrate": "completed"}),
        shell("db", note, ready="log:up"),
        shell("migrate", "sleep 0.2; echo migrated", autorestart=False),
    )
    with pidone(file) as run:
        run.expect(event="instance.start", app="web")
        for name in ("web", "api"):
            run.expect(message="up", app=name)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        starts = [r["app"] for r in run.find(event="instance.start")]
        assert set(starts[:2]) == {"db", "migrate"}
        assert starts[2:] == ["api", "web"]
        assert [r["app"] for r in run.find(message="stop")] == ["web", "api", "db"]


def test_nothing_is_lost_when_an_app_ends_at_once(tmp_path: Path) -> None:
    """Everything in the pipes comes before the exit event, the last line without its newline too."""
    source = "import sys\nfor n in range(20000): print('line', n)\nsys.stdout.write('no newline')\n"
    app = python(tmp_path, "a", source, autorestart=False)
    code, records, _ = run_to_end(ecosystem(tmp_path, app))
    lines = [r["message"] for r in records if r.get("stream") == "stdout"]
    assert code == 0
    assert lines == [*(f"line {n}" for n in range(20000)), "no newline"]
    kinds = [r.get("event") or "line" for r in records]
    assert "line" not in kinds[kinds.index("instance.exit") :]


def test_a_crash_loop_starves_nobody(tmp_path: Path) -> None:
    """Apps that end as fast as they are restarted, without a pause: the others run, and a stop is heard."""
    endless = {"min_uptime": 0, "max_restarts": 1_000_000}
    crashing = [shell(f"crash{n}", "exit 1", **endless) for n in range(20)]
    counting = shell("count", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done")
    with pidone(ecosystem(tmp_path, *crashing, counting)) as run:
        run.expect(event="instance.start", count=100)
        run.expect_line("line 20")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_garbage_is_collected_once_the_first_apps_run() -> None:
    """Nothing looks for it before that; a runtime that never did would grow for ever."""
    script = (
        "import gc, os\n"
        "from pidone.cli.main import dispatch\n"
        "def leave(code):\n"
        "    if os.getpid() == runtime:  # not the child that reads\n"
        "        os.write(2, f'{gc.isenabled()} {code}'.encode())\n"
        "    leaving(code)\n"
        "runtime, leaving, os._exit = os.getpid(), os._exit, leave\n"
        "dispatch(['pidone', '--no-autorestart', '--socket', 'none', '--', 'true'])\n"
    )
    with harness.Running([harness.PYTHON, "-c", script]) as run:
        assert run.wait() == 0
        assert run.err is not None
        assert run.err.text() == "True 0"
