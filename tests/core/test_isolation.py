"""What an image sets for its apps' Python reaches those and nothing of ours, however we were installed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import PIDONE, PYTHON, Running, eventually

ROOT = Path(__file__).parents[2]
MODULES = (
    *(
        "json",
        "types",
        "typing",
        "enum",
        "re",
        "asyncio",
        "signal",
        "socket",
        "logging",
        "selectors",
        "pickle",
    ),
    *("h11", "orjson", "typer", "click", "cronsim", "yaml", "runtime", "encodings", "zoneinfo", "http"),
    *("sitecustomize", "usercustomize", "importlib", "collections", "contextlib", "functools", "abc", "os"),
)
"""What an app's folder may hold, half of it by accident."""
ECOSYSTEM = """
[[apps]]
name = "a"
script = "/bin/sh"
args = ["-c", "env | grep ^PYTHON; echo said; exec sleep 1000"]
watch = ["watched"]
post_start = "true"
ready = {exec = ["true"]}
"""
NAMES = ("pidone", "pm2-runtime", "pm2", "tini", "dumb-init")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an app in which every module shouts when it is imported."""
    folder = tmp_path_factory.mktemp("app")
    for name in MODULES:
        mark = f"open({str(folder / 'entered')!r}, 'a').write({name!r} + ' ')"
        trap = f"{mark}; raise SystemExit('trap: {name}')\n"
        if name in ("h11", "runtime", "encodings", "asyncio"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(trap)
        else:
            (folder / f"{name}.py").write_text(trap)
    (folder / "ecosystem.toml").write_text(ECOSYSTEM)
    (folder / "watched").mkdir()
    return folder


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pidone's wheel, as pip installs it; dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("pidone-*.whl")
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = str(folder / "venv/bin/python")
    subprocess.run(
        [*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True
    )
    packages = folder / "venv/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "pidone" not in entry.name and not entry.name.endswith(".pth") and entry.name != "__pycache__":
            (packages / entry.name).symlink_to(entry)
    return folder / "venv"


@pytest.fixture(scope="module", params=["wheel", "editable"])
def scripts(request: pytest.FixtureRequest) -> Path:
    """The folder of commands of either installation."""
    if request.param == "wheel":
        venv: Path = request.getfixturevalue("venv")
        return venv / "bin"
    return Path(PIDONE).parent


def surroundings(app: Path) -> dict[str, str]:
    """Everything that Python reads from the environment, set as badly as can be."""
    return {
        "PYTHONPATH": str(app),
        "PYTHONHOME": str(app),
        "PYTHONPLATLIBDIR": "nowhere",
        "PYTHONSTARTUP": str(app / "json.py"),
        "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2",
        "PYTHONDEVMODE": "1",
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONTRACEMALLOC": "10",
        "PYTHONIOENCODING": "ascii",
        "PYTHONPYCACHEPREFIX": "/nowhere",
        "PYTHONUSERBASE": str(app),
    }


FIRST = ("types", "contextlib", "functools", "collections", "re", "enum", "os", "abc", "importlib")
"""What `python -m` itself imports, from the folder that it is started in."""
MILD = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG")
"""Where the interpreter is somebody else's to start, what keeps it from starting is not ours to cure."""


def ask(argv: list[str], app: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command in the app's folder and with its variables."""
    return subprocess.run(
        argv, cwd=app, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def link(scripts: Path, name: str, folder: Path) -> str:
    """The command under another name, from anywhere."""
    path = folder / name
    path.symlink_to(scripts / "pidone")
    return str(path)


def entered(app: Path) -> str:
    """Which traps were stepped on."""
    marks = app / "entered"
    found = marks.read_text() if marks.exists() else ""
    marks.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_by_every_name(hostile: Path, venv: Path, tmp_path: Path, name: str) -> None:
    """A command runs, and what it runs has all of it."""
    scripts = venv / "bin"
    env = surroundings(hostile)
    words = {
        "pidone": [["exec", "--"], ["exec", "-g", "--"]],
        "tini": [["-s", "--"], ["-sg", "--"]],
        "dumb-init": [["--"], ["-c", "--"]],
    }.get(name)
    command = link(scripts, name, tmp_path)
    for start in words or ():
        done = ask([command, *start, "env"], hostile, env)
        assert (done.returncode, done.stderr) == (0, "")
        assert set(done.stdout.splitlines()) >= {f"{key}={value}" for key, value in env.items()}
    if name not in ("tini", "dumb-init"):
        done = ask([command, "--version"], hostile, env)
        assert (done.returncode, done.stderr) == (0, "")
    assert entered(hostile) == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "ecosystem.toml"], 0),
        (["convert", "ecosystem.toml"], 0),
        (["schema"], 0),
        (["ls"], 69),
        (["--help"], 0),
        (["ls", "--help"], 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_commands_without_a_runtime(hostile: Path, venv: Path, words: list[str], code: int) -> None:
    """Each with another part of the library and of our dependencies; they say the same as without it."""
    argv = [str(venv / "bin" / "pidone"), *words]
    nowhere = {"PIDONE_SOCKET": "/nowhere/socket"}
    plain = ask(argv, hostile, nowhere)
    done = ask(argv, hostile, {**surroundings(hostile), **nowhere})
    assert entered(hostile) == ""
    assert (done.returncode, done.stdout, done.stderr) == (code, plain.stdout, plain.stderr)


def run_whole(argv: list[str], app: Path, env: Mapping[str, str], tmp_path: Path) -> None:
    """A runtime with hooks, probes, a watcher and a client, from its start to its end."""
    socket = tmp_path / "socket"
    with Running([*argv, "--socket", str(socket), "ecosystem.toml"], cwd=app, env=env) as run:
        run.expect(message="said")
        has_said = {record["message"] for record in run.records if record.get("stream") == "stdout"}
        assert has_said >= {f"{key}={value}" for key, value in env.items()}
        run.expect(event="instance.online")  # what `health` asks for
        listed = eventually(lambda: ask([*argv, "jlist", "--socket", str(socket)], app, env).stdout, "jlist")
        assert [each["name"] for each in json.loads(listed)] == ["a"]
        assert ask([*argv, "health", "--socket", str(socket)], app, env).returncode == 0

        def change() -> bool:
            (app / "watched/file").write_text(str(time.monotonic()))  # until somebody watches
            return bool(run.find(event="app.files_changed"))

        eventually(change, "the change to be seen", every=0.2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.err is not None
        assert run.err.text() == ""
    assert entered(app) == ""


def test_a_whole_runtime(hostile: Path, scripts: Path, tmp_path: Path) -> None:
    """With its loader, hooks, probes and watcher, and the commands that talk to it."""
    run_whole([str(scripts / "pidone")], hostile, surroundings(hostile), tmp_path)


@pytest.mark.parametrize("form", ["direct", "script", "module"])
def test_where_another_starts_the_interpreter(venv: Path, hostile: Path, tmp_path: Path, form: str) -> None:
    """`python -m pidone`, the command where there is no shell, and one's file given to the interpreter."""
    argv = {
        "direct": [str(venv / "bin/pidone-direct")],
        "script": [str(venv / "bin/python"), str(venv / "bin/pidone-direct")],
        "module": [str(venv / "bin/python"), "-m", "pidone"],
    }[form]
    env = {key: value for key, value in surroundings(hostile).items() if key in MILD}
    plain = tmp_path / "plain"
    shutil.copytree(hostile, plain)
    for name in FIRST:
        (plain / f"{name}.py").unlink()
    for name in ("sitecustomize", "usercustomize"):
        (plain / f"{name}.py").write_text("import sys; sys.modules['json'] = None")
    shutil.rmtree(plain / "encodings")
    env["PYTHONPATH"] = str(plain)
    run_whole(argv, plain, env, tmp_path)


def test_without_any_of_it_one_interpreter_is_started(venv: Path, tmp_path: Path) -> None:
    """The usual case: nothing is set, and `python -m pidone` is what runs."""
    counted = tmp_path / "starts"
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "counting.pth").write_text(
        f"import os; os.write(os.open({str(counted)!r}, 1025 | os.O_CREAT), b'x')\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def starts(*argv: str) -> str:
        counted.unlink(missing_ok=True)
        subprocess.run([str(venv / argv[0]), *argv[1:]], env=env, check=True, capture_output=True)
        return counted.read_text() if counted.exists() else ""

    once = starts("bin/python", "-c", "pass")
    assert once
    assert starts("bin/python", "-m", "pidone", "--version") == once
    assert starts("bin/pidone-direct", "--version") == once
    assert starts("bin/pidone", "--version") == ""
    (packages / "counting.pth").unlink()


def test_a_copy_runs_beside_the_command_and_says_what_to_do_elsewhere(venv: Path, tmp_path: Path) -> None:
    """`cp pidone other` in its folder works; in another folder it cannot know where it is from."""
    beside, elsewhere = venv / "bin/other", tmp_path / "other"
    try:
        shutil.copy(venv / "bin/pidone", beside)
        done = subprocess.run([beside, "--version"], capture_output=True, text=True, check=True)
    finally:
        beside.unlink()
    assert done.stdout.startswith("pidone ")
    shutil.copy(venv / "bin/pidone", elsewhere)
    done = subprocess.run([elsewhere, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert f"{elsewhere} is a copy" in done.stderr
    assert "ln -s" in done.stderr


def test_variables_with_other_names_pass(scripts: Path) -> None:
    """A shell in between would lose those whose names are not its own kind."""
    env = {b"PATH": os.environb[b"PATH"], b"discovery.type": b"single-node", b"A-B": b"\xff"}
    for words in (["exec"], ["exec", "-g"]):
        argv = [str(scripts / "pidone"), *words, "cat", "/proc/self/environ"]
        done = subprocess.run(argv, env=env, capture_output=True, check=True)
        assert done.stdout == b"".join(b"%b=%b\0" % item for item in env.items())


def test_an_apps_python_has_it_all(scripts: Path, tmp_path: Path) -> None:
    """Its path, its customisation and its options are the app's."""
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.customised = True\n")
    (tmp_path / "json.py").write_text("mine = True\n")
    (tmp_path / "app.py").write_text(
        "import json, sys; print(json.mine, customised, sys.flags.optimize, sys.warnoptions)\n"
    )
    env = {"PYTHONPATH": str(tmp_path), "PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "default"}
    argv = [str(scripts / "pidone"), "--socket", "none", "--no-autorestart", "--", PYTHON, "app.py"]
    with Running(argv, cwd=tmp_path, env=env) as run:
        assert run.expect(stream="stdout")["message"] == "True True 1 ['default']"
