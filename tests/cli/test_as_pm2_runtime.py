"""Called by the name of pm2-runtime, from outside."""

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import PIDONE, Running, eventually

from pidone import __version__

Start = Callable[..., Running]

TRAP = "trap 'echo got INT; exit' INT; trap 'echo got TERM; exit' TERM; echo up; while :; do sleep 0.02; done"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts pidone through a symlink in a folder of its own."""
    link = tmp_path / "pm2-runtime"
    link.symlink_to(PIDONE)

    def run(*words: str, **how: Any) -> Running:
        return Running([str(link), *words], cwd=tmp_path, **how)

    return run


def write(folder: Path, *apps: Mapping[str, object]) -> str:
    """An ecosystem in JSON."""
    (folder / "ecosystem.json").write_text(json.dumps({"apps": apps}))
    return "ecosystem.json"


def app(text: str, **keys: object) -> dict[str, object]:
    """An app that runs a shell script."""
    return {"name": "app", "script": "/bin/sh", "args": ["-c", text], "autorestart": False, **keys}


def told(run: Running) -> tuple[int, list[str], list[str]]:
    """Exit code and the lines of both streams."""
    with run:
        code = run.wait()
        assert run.out is not None
        assert run.err is not None
        return code, [*run.out], [*run.err]


def test_without_arguments_it_helps_with_code_1(start: Start) -> None:
    """As the peer does; asked for, help and version are code 0."""
    code, out, _ = told(start())
    assert (code, out[0].split()[:2]) == (1, ["usage:", "pm2-runtime"])
    assert told(start("--help"))[:2] == (0, out)
    assert told(start("-V")) == (0, [__version__], [])
    assert told(start("--version")) == (0, [__version__], [])


def test_pm2_docker_is_another_name_for_it(tmp_path: Path) -> None:
    """With the same lines and the same code."""
    link = tmp_path / "pm2-docker"
    link.symlink_to(PIDONE)
    code, out, err = told(Running([str(link), write(tmp_path, app("echo out; echo err >&2"))], cwd=tmp_path))
    assert (code, "out" in out, "err" in err) == (0, True, True)


def test_lines_are_raw_unless_asked_otherwise(start: Start, tmp_path: Path) -> None:
    """Lines as they are, stderr to stderr; --json, --format and --formatted are the peer's records."""
    file = write(tmp_path, app("echo out; echo err >&2"))
    _, out, err = told(start(file))
    assert "out" in out
    assert "err" in err
    _, out, _ = told(start("start", file, "--json"))
    records = [json.loads(line) for line in out]
    lines = [
        (r["type"], r["message"], r["app_name"], r["process_id"])
        for r in records
        if r["type"] in ("out", "err")
    ]
    assert sorted(lines) == [("err", "err", "app", 0), ("out", "out", "app", 0)]
    assert any(
        line.endswith("app=app id=0 type=out message=out") for line in told(start(file, "--format"))[1]
    )
    assert "0|app  | out" in told(start("--formatted", file))[1]


def test_apps_get_sigint(start: Start, tmp_path: Path) -> None:
    """The peer's stop signal, whatever signal we get."""
    with start(write(tmp_path, app(TRAP, autorestart=True, kill_timeout=20_000))) as run:
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.out is not None
        assert "got INT" in run.out.text()


def test_the_peers_variables_count(start: Start, tmp_path: Path) -> None:
    """PM2_KILL_SIGNAL and PM2_KILL_TIMEOUT; the time is over soon, so something is killed."""
    with start(write(tmp_path, app(TRAP, kill_timeout=20_000)), env={"PM2_KILL_SIGNAL": "SIGTERM"}) as run:
        run.expect_line("up")
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        assert run.out is not None
        assert "got TERM" in run.out.text()
    deaf = app("trap '' INT; echo up; while :; do sleep 0.02; done")
    with start(write(tmp_path, deaf), env={"PM2_KILL_TIMEOUT": "50"}) as run:
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 124


def test_instances_and_name_also_with_a_file(start: Start, tmp_path: Path) -> None:
    """Which the peer ignores."""
    show = "echo $NODE_APP_INSTANCE of $name"
    _, out, _ = told(start("-i", "2", "--name", "other", write(tmp_path, app(show))))
    assert {"0 of other", "1 of other"} <= set(out)
    two = write(tmp_path, app(show, name="a"), app(show, name="b"))
    _, out, err = told(start("--name=other", two))
    assert {"0 of a", "0 of b"} <= set(out)
    assert any("--name is ignored" in line for line in err)


def test_a_script_with_arguments(start: Start, tmp_path: Path) -> None:
    """What follows -- is the app's; ours is not."""
    script = tmp_path / "hello.sh"
    script.write_text('echo "hello $*"\n')
    script.chmod(0o755)
    code, out, err = told(start("hello.sh", "--no-autorestart", "--trace", "--", "--json", "x y"))
    assert code == 0
    assert "hello --json x y" in out
    assert any("--trace" in line for line in err)


def test_delay_is_in_seconds_and_can_be_stopped(start: Start, tmp_path: Path) -> None:
    """Nothing starts before, and a stop meanwhile is a stop."""
    with start("--delay", "3600", write(tmp_path, app("echo up"))) as run:
        eventually(lambda: run.err and "runtime.start" in run.err.text())
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.out is not None
        assert "up" not in [*run.out]
    assert "up" in told(start("--delay", "0.05", write(tmp_path, app("echo up"))))[1]
    assert "up" in told(start("--delay", "", write(tmp_path, app("echo up"))))[1], (
        "a variable that is not set"
    )


def test_env_and_only(start: Start, tmp_path: Path) -> None:
    """env_NAME over env; other apps stay out."""
    show = app("echo $WHO", name="a", env={"WHO": "dev"}, env_production={"WHO": "prod"})
    file = write(tmp_path, show, app("echo no", name="b"))
    _, out, _ = told(start(file, "--env", "production", "--only", "a"))
    assert "prod" in out
    assert "no" not in out


def test_a_file_says_once_what_it_has_to_say(start: Start, tmp_path: Path) -> None:
    """What a JavaScript file prints, notices and warnings are events of the start; argv is as typed."""
    (tmp_path / "ecosystem.config.js").write_text(
        """console.log("hello from", process.argv[4]);
        module.exports = {apps: [{name: "a", script: "/bin/true", autorestart: false, pmx: false, nope: 1}]};
        """
    )
    code, _, err = told(start("start", "ecosystem.config.js", "--env=x"))
    assert code == 0
    for text in ("config.notice ecosystem.config.js: it prints: hello from --env=x", "ignored: pmx", "nope"):
        assert len([line for line in err if text in line]) == 1


def test_reading_again_says_only_what_is_new(start: Start, tmp_path: Path) -> None:
    """What the command line and the file were warned of at the start is known."""
    service = app("exec sleep 60", name="a", nope=1)
    file = write(tmp_path, service)
    with start("--trace", file) as running:
        assert running.err is not None
        eventually(lambda: "instance.online" in running.err.text(), "the app")  # type: ignore[union-attr]
        write(tmp_path, service, app("exec sleep 60", name="b", nopes=1))
        running.signal(signal.SIGHUP)
        eventually(lambda: "nopes" in running.err.text(), "the new warning")  # type: ignore[union-attr]
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        for text in ("--trace means nothing", "nope: unknown key", "nopes: unknown key"):
            assert running.err.text().count(text) == 1
