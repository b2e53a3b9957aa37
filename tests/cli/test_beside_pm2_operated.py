"""PM2's own runtime and ours by that name, operated with `pm2`: what the user sees is the same.

Skipped, with a reason, where npm cannot provide pm2.
"""

import json
import os
import re
import signal
from collections import Counter
from functools import partial
from typing import Any

import pytest
from cli.beside_pm2 import Both, Seen, ecosystem
from harness import Lines, alive, eventually


def _listed(run: Seen, *keys: str) -> list[tuple[Any, ...]]:
    """What `pm2 jlist` tells of each process."""
    listed = json.loads(run.pm2("jlist").splitlines()[-1])
    return [tuple({**each, **each["pm2_env"]}.get(key) for key in keys) for each in listed]


def test_a_name_means_all_apps_that_have_it(both: Both) -> None:
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


def test_the_short_list_and_lines(both: Both) -> None:
    """`ls -m`, and `logs` with the options that choose lines and their shape."""
    (both.folder / "say.js").write_text(
        "let n = 0; setInterval(() => { console.log(`SEEN ${n}`); console.error(`bad ${n++}`); }, 200);"
    )
    both(ecosystem(both.folder, {"script": "say.js"}, {"name": "b"}), count=5)
    for run in both.runs:
        short = run.pm2("ls", "-m")
        assert "+--- b" in run.pm2("--mini-list", "ls").splitlines()
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


def test_treekill_false_spares_children(both: Both) -> None:
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
def test_a_file_is_read_again_on_request(verb: str, both: Both) -> None:
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


def test_restarts_are_counted_alike(both: Both) -> None:
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


def test_the_callers_variables_on_request(both: Both) -> None:
    """`--update-env` beside an app, and nothing without it."""
    both(ecosystem(both.folder, {"env": {"SHOW": "A", "A": "1"}}))
    found = []
    for run in both.runs:
        run.pm2("restart", "a", A="2")
        run.wait_for(2)
        run.pm2("restart", "a", "--update-env", A="3")
        found.append([json.loads(line)["A"] for line in run.wait_for(3)])
    assert found[1] == found[0] == ["1", "1", "3"]


def test_options_and_arguments_are_no_targets(both: Both) -> None:
    """Values of options that say what an app is, and what follows `--`: of somebody else they are nothing."""
    both(ecosystem(both.folder, {}, {"name": "b"}), count=2)
    found = []
    for run in both.runs:
        run.pm2("restart", "a", "--max-memory-restart", "100M", "--kill-timeout", "5000", "--cwd", "/tmp")
        run.pm2("restart", "a", "--parallel", "1", "--log", "all", "--namespace", "b", "--ext", "b")
        run.pm2("restart", "a", "--", "--port", "b", "all")
        run.pm2("--no-color", "restart", "a", "-a", A="3")
        found.append(sorted(_listed(run, "name", "restart_time")))
    assert found[1] == found[0] == [("a", 4), ("b", 0)]


def test_one_of_several_processes_is_deleted(both: Both) -> None:
    """By its id; the last one takes the app with it."""
    both(ecosystem(both.folder, {"instances": 3}, {"name": "b"}), count=4)
    found = []
    for run in both.runs:
        run.pm2("delete", str(min(id_ for name, id_ in _listed(run, "name", "pm_id") if name == "a")))
        names = [Counter(_listed(run, "name"))]
        run.pm2("delete", str(min(id_ for name, id_ in _listed(run, "name", "pm_id") if name == "b")))
        found.append([*names, Counter(_listed(run, "name"))])
    assert found[1] == found[0] == [{("a",): 2, ("b",): 1}, {("a",): 2}]


def test_a_wrong_file_on_request(both: Both) -> None:
    """The command fails, and what runs stays."""
    both(ecosystem(both.folder, {}))
    (both.folder / "wrong.config.js").write_text("module.exports = {apps: [}")
    for run in both.runs:
        before = run.pm2("pid", "a")
        with pytest.raises(AssertionError, match=r"wrong\.config\.js"):
            run.pm2("reload", "wrong.config.js")
        assert run.pm2("pid", "a") == before


@pytest.mark.parametrize("option", ["--json", "--format", "--formatted"])
def test_a_record_names_its_process(option: str, both: Both) -> None:
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
_RECORD = r',"type":"out","process_id":\d,"app_name":"{0}"\}'


@pytest.mark.parametrize(
    ("words", "shapes"),
    [
        (
            (),
            [
                ({"time": True}, f"{_AT}: SEEN {{0}}"),
                ({"log_date_format": "[at] HH:mm Z"}, r"at \d\d:\d\d [+-]\d\d:\d\d: SEEN {0}"),
                ({"time": True, "log_date_format": "HH"}, f"{_AT}: SEEN {{0}}"),
                (
                    {"log_type": "json"},
                    rf'\{{"message":"SEEN {{0}}(\\n)?","timestamp":"{_AT}\.\d+Z"{_RECORD}',
                ),
                (
                    {"log_type": "json", "time": True},
                    rf'\{{"message":"SEEN {{0}}(\\n)?","timestamp":"{_AT}"{_RECORD}',
                ),
            ],
        ),
        (
            ("--json",),
            [({"time": True}, rf'\{{"message":"{_AT}: SEEN {{0}}","timestamp":"{_AT}\.\d+Z"{_RECORD}')],
        ),
        (
            ("--format",),
            [({"time": True}, rf"timestamp=\S+ app={{0}} id=0 type=out message={_AT}: SEEN {{0}}")],
        ),
    ],
    ids=["", "json", "format"],
)
def test_dates_in_the_output(
    words: tuple[str, ...], shapes: list[tuple[dict[str, Any], str]], both: Both
) -> None:
    """`time`, `log_date_format` and `log_type`: what `docker logs` shows."""
    (both.folder / "say.js").write_text(
        "console.log('SEEN ' + process.env.name); setInterval(() => {}, 1000)"
    )
    apps = [{"name": f"app{n}", "script": "say.js", **keys} for n, (keys, _) in enumerate(shapes)]
    both(ecosystem(both.folder, *apps), *words, count=len(apps))
    for run in both.runs:
        said = [line for line in run.file.read_text().splitlines() if "SEEN" in line]
        for app, (_, pattern) in zip(apps, shapes, strict=True):
            wanted = pattern.replace("{0}", app["name"])
            assert any(re.fullmatch(wanted, line) for line in said), (wanted, said)
