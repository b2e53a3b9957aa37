"""The same small case under PM2's own runtime and under ours by that name: what the user sees is the same.

Skipped, with a reason, where npm cannot provide pm2.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import npm
import pytest
from harness import PIDONE, Lines, Running, alive, children, eventually

SHOW = """console.log('SEEN ' + JSON.stringify({
  argv: process.argv.slice(2), ...Object.fromEntries((process.env.SHOW || '').split(',').filter(Boolean)
    .map((name) => [name, process.env[name] ?? null])) }));
setInterval(() => {}, 1000);
"""


@pytest.fixture(scope="module")
def peer() -> str:
    """PM2's own runtime."""
    if shutil.which("node") is None:
        pytest.skip("no node to run pm2 with")
    return str(npm.modules("pm2-7", "pm2@7") / ".bin" / "pm2-runtime")


@pytest.fixture
def ours(tmp_path: Path) -> str:
    """Ours by that name."""
    link = tmp_path / "bin" / "pm2-runtime"
    link.parent.mkdir()
    for name in ("pm2-runtime", "pm2"):
        link.with_name(name).symlink_to(PIDONE)
    return str(link)


class Seen:
    """What a run shows: its lines, and how it ends."""

    def __init__(self, command: list[str], folder: Path, home: Path, **env: str) -> None:
        self.folder = folder
        self.command = command
        self.file = home / "out"
        self._beside = Path(command[0]).with_name("pm2")
        self._env = {**_environ(), "PM2_HOME": str(home), "PIDONE_SOCKET": str(home / "s"), **env}
        home.mkdir()
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self, mark: str = "SEEN ") -> list[str]:
        """What apps said so far."""
        return [line.partition(mark)[2] for line in self.file.read_text().splitlines() if mark in line]

    def wait_for(self, count: int) -> list[str]:
        """So many lines."""
        eventually(lambda: len(self.lines()) >= count, f"{count} lines", 30)
        return self.lines()

    def pm2(self, *words: str, **env: str) -> str:
        """`pm2 WORDS...` beside it; what that says. It has to exit 0."""
        command = [str(self._beside), *words]
        done = subprocess.run(
            command,
            env={**self._env, "NO_COLOR": "1", **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def beside(self, *words: str) -> Running:
        """The same, while it goes on."""
        command = [str(self._beside), *words]
        return Running(command, env={**self._env, "NO_COLOR": "1"}, cwd=self.folder)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - began

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.stop()


def _environ() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TERM")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture
def both(peer: str, ours: str, tmp_path: Path) -> Iterator[Any]:
    """Runs a command line under either."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "show.js").write_text(SHOW)
    runs: list[Seen] = []
    before = children(os.getpid())

    def run(*words: str, count: int = 1, under: str = "", **env: str) -> tuple[list[Any], list[Any]]:
        for number, program in enumerate((peer, ours)):
            home = tmp_path / f"home{len(runs)}{number}"
            runs.append(Seen([program, *words], folder / under, home, **env))
        theirs, own = ([_value(line) for line in each.wait_for(count)] for each in runs[-2:])
        return theirs, own

    run.folder = folder  # type: ignore[attr-defined]  # for tests that write more into it
    run.runs = runs  # type: ignore[attr-defined]  # and those that do something to them
    yield run
    for each in runs:
        each.end()
        if each.command[0] == peer:
            _bury_orphans({*before, *(other.process.pid for other in runs)})


def _bury_orphans(known: set[int]) -> None:
    """PM2 may end before its apps have; as a subreaper we get those."""
    for pid in children(os.getpid()):
        if pid not in known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def ecosystem(folder: Path, *apps: dict[str, Any]) -> str:
    """A file of PM2's."""
    text = ",\n".join(json.dumps({"name": "a", "script": "show.js", **app}) for app in apps)
    (folder / "ecosystem.config.js").write_text(f"module.exports = {{apps: [{text}]}}")
    return "ecosystem.config.js"


CASES: dict[str, dict[str, Any]] = {
    "quotes inside arguments": {"args": "--d=\"e f\" 'it''s' \"a b\" -x"},
    "arguments as a list": {"args": ["a b", "--x=1"]},
    "null in env": {"env": {"SHOW": "N,E,F", "N": None, "E": "", "F": False}},
    "objects in env": {"env": {"SHOW": "O", "O": {"a": 1}}},
    "numbers in env": {"env": {"SHOW": "A,B", "A": 1.5, "B": 1e21}},
    "tolerated: max_memory_restart": {"max_memory_restart": ""},
    "tolerated: exec_mode": {"exec_mode": ""},
    "tolerated: group": {"group": "no-such-group-here"},
    "tolerated: ready": {"ready": True},
    "tolerated: pre_start": {"pre_start": [{"cmd": "x"}]},
    "tolerated: depends_on": {"depends_on": ["nobody"]},
    "own keys do nothing": {"pre_start": "touch touched; false", "env": {"SHOW": "HOME"}},
    "a set that is a text": {"env_x": "text"},
    "env_file as an object": {"env_file": {"A": "1"}, "env": {"SHOW": "A"}},
    "port": {"port": 3000, "env": {"SHOW": "PORT"}},
    "tolerated: instance_var": {"instance_var": "", "env": {"SHOW": "NODE_APP_INSTANCE"}},
    "tolerated: increment_var": {"increment_var": "", "env": {"SHOW": "PORT", "PORT": "3"}},
    "null among arguments": {"args": ["a", 1, True, None]},
    "tolerated: log_type": {"log_type": "pretty"},
    "a set of all that is empty": {"out_file": None, "cwd": "", "args": None, "env": {"SHOW": "HOME"}},
    "instance_var": {"instance_var": "ID", "env": {"SHOW": "ID"}},
}


@pytest.mark.parametrize("case", CASES)
def test_an_app_sees_the_same(case: str, both: Any) -> None:
    """Arguments and variables, whatever the file writes them as."""
    theirs, own = both(ecosystem(both.folder, CASES[case]))
    assert own == theirs
    assert not (both.folder / "touched").exists()


UNQUOTED = """
apps:
  - name: a
    script: show.js
    env: &all
      SHOW: A,B,C,D,E,F,G,H,I,J,K,L,M,N,O
      A: 2024-01-02
      B: 2024-02-31 24:00:00 +1:30
      C: 12:30:00
      D: 1_000
      E: 0o17
      F: yes
      G: ~
      H: 1e3
      I: .inf
      J: -.NaN
      K: 1e400
      L: [2024-01-02, .nan]
      M: 1e21
      N: 0755
      O: !!str 2024-01-02
    env_production:
      <<: *all
      A: 2024-01-02
      N: ~
"""


@pytest.mark.parametrize("words", [(), ("--env", "production")])
def test_what_yaml_says_without_quotes(words: tuple[str, ...], both: Any) -> None:
    """Dates, sexagesimal and octal numbers, words for booleans, and numbers without an end."""
    (both.folder / "pm2.yml").write_text(UNQUOTED)
    theirs, own = both("pm2.yml", *words)
    for each in (*theirs, *own):  # what is an object has a text in `env` alone there, which is intended
        each.pop("L", None) if words else None
    assert own == theirs


@pytest.mark.parametrize("words", [(), ("--env", "production")])
def test_variables_that_are_no_text(words: tuple[str, ...], both: Any) -> None:
    """Numbers that are none, dates, and what is null in a set."""
    (both.folder / "e.config.js").write_text("""
      const odd = {A: NaN, B: 1 / 0, C: new Date(0), D: undefined, E: -0};
      module.exports = {apps: [{name: 'a', script: 'show.js', env: {SHOW: 'A,B,C,D,E,F', F: 'x', ...odd},
        env_production: {...odd, F: null}}]}""")
    theirs, own = both("e.config.js", *words)
    assert own == theirs


def test_a_text_for_bash(both: Any) -> None:
    """`source`, `[[ ]]`; and `args` beside it, which nobody sees."""
    (both.folder / "env.sh").write_text("X=y\n")
    script = "source ./env.sh && [[ $X = y ]] && node show.js $X"
    theirs, own = both(ecosystem(both.folder, {"script": script, "args": "no"}))
    assert own == theirs == [{"argv": ["y"]}]


def test_two_apps_of_one_name_run(both: Any) -> None:
    """PM2's own example has it."""
    theirs, own = both(ecosystem(both.folder, {"args": "1"}, {"args": "2"}), count=2)
    key = json.dumps
    assert sorted(own, key=key) == sorted(theirs, key=key) == [{"argv": ["1"]}, {"argv": ["2"]}]


DEPLOYED = {
    "apps": [
        {
            "name": "a",
            "script": "show.js",
            "instances": 2,
            "exec_mode": "fork",
            "increment_var": "N",
            "env": {"SHOW": "A,B,C,N", "A": 1, "B": 1, "N": 5},
            "env_production": {"A": 2},
        },
        {"name": "b", "script": "show.js", "increment_var": "N", "env": {"SHOW": "N", "N": "x"}},
    ],
    "deploy": {"production": {"host": "h", "env": {"A": 3, "B": 3, "C": 3, "N": 50}}},
}


def test_the_environment_of_a_deployment(both: Any) -> None:
    """`deploy.NAME.env` counts for `--env NAME`, over `env`; `increment_var` counts from it, or from 0."""
    (both.folder / "ecosystem.config.js").write_text(f"module.exports = {json.dumps(DEPLOYED)}")
    theirs, own = both("ecosystem.config.js", "--env", "production", count=3)
    assert sorted(own, key=json.dumps) == sorted(theirs, key=json.dumps)


def _listed(run: Seen, *keys: str) -> list[tuple[Any, ...]]:
    """What `pm2 jlist` tells of each process."""
    listed = json.loads(run.pm2("jlist").splitlines()[-1])
    return [tuple({**each, **each["pm2_env"]}.get(key) for key in keys) for each in listed]


def test_a_name_means_all_apps_that_have_it(both: Any) -> None:
    """`restart`, `scale`, `delete`, `logs`; an id means one of them. Lists tell arguments and files."""
    files = {"out_file": "o.log", "error_file": "e.log"}
    first = {"args": ["1", "x y"], "node_args": "--no-warnings", "env": {"SHOW": "name,pm_id"}, **files}
    both(ecosystem(both.folder, first, {"args": "2", "env": {"SHOW": "name,pm_id"}}, {"name": "b"}), count=3)
    found = []
    for run in both.runs:
        seen: list[Any] = [sorted(run.lines())]
        launch = (
            "args",
            "node_args",
            "pm_out_log_path",
            "pm_err_log_path",
            "exec_interpreter",
            "pm_exec_path",
        )
        seen += [*zip(launch, _listed(run, *launch)[0], strict=True)]
        state = ("pm_id", "name", "status", "restart_time")
        for verb in ("restart a", "restart 1", "scale a 3", "stop 1", "delete a"):
            run.pm2(*verb.split())
            seen.append((verb, sorted(_listed(run, *state))))
        found.append(seen)
    assert found[1] == found[0]


def _says(lines: Lines, pattern: str) -> bool:
    return re.search(pattern, lines.text()) is not None


def test_the_short_list_and_lines(both: Any) -> None:
    """`ls -m`, and `logs` with the options that choose lines and their shape."""
    (both.folder / "say.js").write_text(
        "let n = 0; setInterval(() => { console.log(`SEEN ${n}`); console.error(`bad ${n++}`); }, 200);"
    )
    both(ecosystem(both.folder, {"script": "say.js"}, {"name": "b"}), count=5)
    for run in both.runs:
        short = run.pm2("ls", "-m")
        assert [line for line in short.splitlines() if line.startswith("+---")] == ["+--- a", "+--- b"]
        names = [line.partition(" : ")[0] for line in short.split("\n\n")[0].splitlines()[1:]]
        assert (names[0], names[-1], len(names)) == ("namespace", "PID file", 12)
        told = run.pm2("logs", "a", "--nostream", "--lines", "2", "--err")
        assert re.findall(r"^0\|a {8}\| (\w+)", told, re.MULTILINE) == ["bad", "bad"]
        told = run.pm2("logs", "a", "--nostream", "--lines", "3", "--out", "--raw")
        assert re.findall(r"^(\w+) \d+$", told, re.MULTILINE) == ["SEEN"] * 3
        followed = {
            "--json": r'"message":"SEEN \d+","timestamp":"[^"]+Z","type":"out","process_id":0,"app_name":"a"',
            "--format": r"timestamp=\S+[+-]\d{4} app=a id=0 type=out message=SEEN \d+",
            "--timestamp": r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d 0\|a +\| SEEN \d+",
        }
        for option, pattern in followed.items():
            with run.beside("logs", "a", option) as logs:
                assert logs.out is not None
                eventually(partial(_says, logs.out, pattern), pattern, 60)


def test_python_prints_at_once(both: Any) -> None:
    """Although nobody has set PYTHONUNBUFFERED."""
    if shutil.which("python") is None:
        pytest.skip("no python for pm2 to find")
    (both.folder / "main.py").write_text("import time\nprint('SEEN now')\ntime.sleep(600)\n")
    theirs, own = both("main.py")
    assert own == theirs == ["now"]


def test_a_script_with_options_for_files(both: Any) -> None:
    """`--only` beside a script means nothing."""
    theirs, own = both("show.js", "--only", "APP", "--", "x")
    assert own == theirs == [{"argv": ["x"]}]


def test_only_the_chosen_app_is_looked_at(both: Any) -> None:
    """One file for many images."""
    other = {"name": "b", "script": "show.js", "cwd": str(both.folder), "args": "b"}
    file = ecosystem(both.folder, {"args": "a"}, other)
    theirs, own = both(file, "--only", "b")
    assert own == theirs == [{"argv": ["b"]}]


GRACEFUL = """process.on('SIGINT', () => setTimeout(bye, 300));
function bye() { console.log('SEEN bye'); process.exit(0); }
console.log('SEEN up');
setInterval(() => {}, 1000);
"""


@pytest.mark.parametrize(
    "words", [("npm", "--", "start"), ("start.sh",), ("e.json",)], ids=lambda words: words[0]
)
def test_everybody_behind_a_shell_is_asked_to_stop(words: tuple[str, ...], both: Any) -> None:
    """PM2 signals the whole tree (`treekill`): the handler of the app behind the shell runs."""
    (both.folder / "graceful.js").write_text(GRACEFUL)
    scripts = {"prestart": "echo first", "start": "node graceful.js"}
    (both.folder / "package.json").write_text(
        json.dumps({"name": "a", "version": "1.0.0", "scripts": scripts})
    )
    (both.folder / "start.sh").write_text("#!/bin/sh\necho first\nnode graceful.js\necho last\n")
    (both.folder / "start.sh").chmod(0o755)
    command = {"apps": [{"name": "a", "script": "echo first && node graceful.js"}]}
    (both.folder / "e.json").write_text(json.dumps(command))
    theirs, own = both(*words)
    assert own == theirs == ["up"]
    for run in both.runs:
        code, took = run.stop()
        assert (code, run.lines()) == (0, ["up", "bye"]), run.file.read_text()
        assert took < 10


PACKAGE = {
    "name": "w",
    "version": "2.0.0",
    "config": {"port": 8080, "debug": True, "none": None, "list": ["x"]},
    "engines": {"node": ">=18"},
    "bin": {"tool_x": "./x.js"},
    "scripts": {"start": "node ../show.js", "dev": "hoisted x"},
}
GIVEN = (
    *("COLOR", "EDITOR", "PNPM_SCRIPT_SRC_DIR", "npm_config_cache", "npm_config_init_module"),
    *("npm_config_noproxy", "npm_config_userconfig", "npm_package_scripts_start"),
    *("INIT_CWD", "NODE", "NODE_OPTIONS", "npm_command", "npm_config_foo", "npm_config_local_prefix"),
    *("npm_config_user_agent", "npm_execpath", "npm_lifecycle_event", "npm_lifecycle_script"),
    *("npm_node_execpath", "npm_package_bin_tool_x", "npm_package_config_debug", "npm_package_config_list_0"),
    *("npm_package_config_none", "npm_package_config_port", "npm_package_engines_node", "npm_package_json"),
    *("npm_package_name", "npm_package_version"),
)


NPMS_OWN = ("npm_package_bin_tool_x", "npm_package_json", "npm_package_config_none")


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (("npm", "--", "start"), ()),
        (("npm", "--", "run", "dev"), ()),
        (("pnpm", "--", "start"), NPMS_OWN),
        (("yarn", "--", "start"), NPMS_OWN),
    ],
    ids=str,
)
def test_what_a_runner_gives_its_scripts(
    words: tuple[str, ...], left_out: tuple[str, ...], both: Any
) -> None:
    """In a package of a workspace whose root has settings and commands, without running the runner."""
    runners = npm.modules("runners", "yarn@1", "pnpm@9") / ".bin"
    package = both.folder / "w"
    package.mkdir()
    (package / "package.json").write_text(json.dumps(PACKAGE))
    (both.folder / "package.json").write_text('{"private": true, "workspaces": ["w"]}')
    (both.folder / "pnpm-workspace.yaml").write_text("packages: [w]")
    settings = "node-options=--max-old-space-size=222\nfoo=bar\n; comment\n//r.example/:_authToken=t\n"
    (both.folder / ".npmrc").write_text(settings)
    bins = both.folder / "node_modules" / ".bin"
    bins.mkdir(parents=True)
    (bins / "hoisted").write_text(f"#!/usr/bin/env node\n{SHOW}")
    (bins / "hoisted").chmod(0o755)
    shown = [name for name in GIVEN if name not in left_out]
    theirs, own = both(*words, under="w", SHOW=",".join(shown), PATH=f"{runners}:{os.environ['PATH']}")
    differ = {name: (theirs[0][name], own[0][name]) for name in theirs[0] if own[0][name] != theirs[0][name]}
    assert not differ
    assert "directly" in both.runs[1].file.read_text()


def test_stdin_stays_open(both: Any) -> None:
    """Tools that end with their standard input (esbuild --watch, react-scripts) go on."""
    (both.folder / "reads.js").write_text(
        "process.stdin.on('data', (data) => console.log('SEEN ' + String(data).trim()));"
        "process.stdin.on('end', () => { console.log('SEEN end'); process.exit(3); });"
        "setTimeout(() => console.log('SEEN still here'), 700);"
    )
    theirs, own = both("reads.js")
    assert own == theirs == ["still here"]


def test_treekill_false_spares_children(both: Any) -> None:
    """A detached child lives over a restart, which is what the key is for; it ends with the container."""
    (both.folder / "parent.js").write_text(
        "const child = require('child_process').spawn('sleep', ['1007'], {detached: true, stdio: 'ignore'});"
        "child.unref(); console.log('SEEN ' + child.pid); setInterval(() => {}, 1000);"
    )
    file = ecosystem(both.folder, {"script": "parent.js", "treekill": False})
    theirs, own = both(file)
    for run, pids in zip(both.runs, (theirs, own), strict=True):
        run.pm2("restart", "all")
        first, _second = run.wait_for(2)
        assert int(first) == pids[0]
        assert alive(int(first))
    for run in both.runs:
        run.stop()
    for pid in map(int, both.runs[0].lines()):  # theirs live on: containers end them
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not any(alive(int(pid)) for pid in both.runs[1].lines())


@pytest.mark.parametrize("verb", ["restart", "startOrReload", "start"])
def test_a_file_is_read_again_on_request(verb: str, both: Any) -> None:
    """Its new variables count, `--env` too, for new apps the caller's; what it does not name stays."""
    shown = {"SHOW": "A,B,C"}
    both(ecosystem(both.folder, {"env": {**shown, "A": "1"}}, {"name": "b", "env": shown}), count=2)
    changed = {"env": {**shown, "A": "2"}, "env_prod": {"B": "3"}}
    file = ecosystem(both.folder, changed, {"name": "c", "env": shown})
    found = []
    for run in both.runs:
        said = run.pm2(verb, file, "--env", "prod", C="4")
        assert "Applications c not running, starting..." in said
        lines = run.wait_for(4)
        assert len(lines) == 4
        new = [json.loads(line) for line in lines[2:]]
        found.append(sorted(new, key=json.dumps))
        names = [app["name"] for app in json.loads(run.pm2("jlist"))]
        assert sorted(names) == ["a", "b", "c"]
    assert found[1] == found[0]
    assert {"A": "2", "B": "3", "C": None, "argv": []} in found[1]


def test_restarts_are_counted_alike(both: Any) -> None:
    """Of what runs, also for another FILE; the start of what is stopped is none. `start NAME` restarts."""
    apps = [{"name": name} for name in ("runs", "rests", "other")]
    both(file := ecosystem(both.folder, *apps), count=3)
    ecosystem(both.folder, {**apps[0], "args": "changed"}, *apps[1:])
    counted = []
    for run in both.runs:
        run.pm2("start", file, "--only", "runs")
        run.pm2("start", "runs")
        run.pm2("stop", "rests")
        run.pm2("restart", "rests")
        run.pm2("stop", "rests")
        run.pm2("start", "rests")
        counted.append(sorted(_listed(run, "name", "restart_time", "pm_id")))
    assert counted[1] == counted[0] == [("other", 0, 2), ("rests", 0, 1), ("runs", 2, 0)]


def test_the_callers_variables_on_request(both: Any) -> None:
    """`--update-env` beside an app, and nothing without it."""
    both(ecosystem(both.folder, {"env": {"SHOW": "A", "A": "1"}}))
    found = []
    for run in both.runs:
        run.pm2("restart", "a", A="2")
        run.wait_for(2)
        run.pm2("restart", "a", "--update-env", A="3")
        found.append([json.loads(line)["A"] for line in run.wait_for(3)])
    assert found[1] == found[0] == ["1", "1", "3"]


def test_a_wrong_file_on_request(both: Any) -> None:
    """The command fails, and what runs stays."""
    both(ecosystem(both.folder, {}))
    (both.folder / "wrong.config.js").write_text("module.exports = {apps: [}")
    for run in both.runs:
        before = run.pm2("pid", "a")
        with pytest.raises(AssertionError, match=r"wrong\.config\.js"):
            run.pm2("reload", "wrong.config.js")
        assert run.pm2("pid", "a") == before


@pytest.mark.parametrize("option", ["--json", "--format", "--formatted"])
def test_a_record_names_its_process(option: str, both: Any) -> None:
    """By PM2's id, which goes over all apps."""
    (both.folder / "say.js").write_text("console.log('SEEN x'); setInterval(() => {}, 1000)")
    say = {"script": "say.js"}
    both(ecosystem(both.folder, say, {"name": "b", **say}), option, count=2)
    named = r'"process_id":(\d+),"app_name":"(.)"|app=(.) id=(\d+)|(\d+)\|(.) '
    found = [
        sorted("".join(sorted(filter(None, each))) for each in re.findall(named, run.file.read_text()))
        for run in both.runs
    ]
    assert found[1] == found[0] == ["0a", "1b"]


_AT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_RECORD = r',"type":"out","process_id":0,"app_name":"a"\}'


@pytest.mark.parametrize(
    ("keys", "words", "pattern"),
    [
        ({"time": True}, (), f"{_AT}: SEEN x"),
        ({"log_date_format": "[at] HH:mm Z"}, (), r"at \d\d:\d\d [+-]\d\d:\d\d: SEEN x"),
        ({"time": True, "log_date_format": "HH"}, (), f"{_AT}: SEEN x"),
        ({"log_type": "json"}, (), rf'\{{"message":"SEEN x(\\n)?","timestamp":"{_AT}\.\d+Z"{_RECORD}'),
        (
            {"log_type": "json", "time": True},
            (),
            rf'\{{"message":"SEEN x(\\n)?","timestamp":"{_AT}"{_RECORD}',
        ),
        ({"time": True}, ("--json",), rf'\{{"message":"{_AT}: SEEN x","timestamp":"{_AT}\.\d+Z"{_RECORD}'),
        ({"time": True}, ("--format",), rf"timestamp=\S+ app=a id=0 type=out message={_AT}: SEEN x"),
    ],
)
def test_dates_in_the_output(keys: dict[str, Any], words: tuple[str, ...], pattern: str, both: Any) -> None:
    """`time`, `log_date_format` and `log_type`: what `docker logs` shows."""
    (both.folder / "say.js").write_text("console.log('SEEN x'); setInterval(() => {}, 1000)")
    both(ecosystem(both.folder, {"script": "say.js", **keys}), *words)
    for run in both.runs:
        said = next(line for line in run.file.read_text().splitlines() if "SEEN" in line)
        assert re.fullmatch(pattern, said), said
