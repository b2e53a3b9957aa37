"""The same small case under PM2's own runtime and under ours by that name: what an app gets is the same.

Skipped, with a reason, where npm cannot provide pm2.
"""

import json
import os
import shutil
from typing import Any

import npm
import pytest
from cli.beside_pm2 import SHOW, Both, ecosystem

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
AT_ONCE = 5
"""PM2 takes longer to start than its apps."""


@pytest.mark.parametrize("first", range(0, len(CASES), AT_ONCE), ids=[*CASES][::AT_ONCE])
def test_an_app_sees_the_same(first: int, both: Both) -> None:
    """Arguments and variables, whatever the file writes them as; some cases a file, each an app."""
    (both.folder / "named.js").write_text(SHOW.replace("argv:", "case: process.env.name, argv:"))
    cases = [
        {"name": name, "script": "named.js", **CASES[name]} for name in [*CASES][first : first + AT_ONCE]
    ]
    theirs, own = (
        {seen["case"]: seen for seen in all_seen}
        for all_seen in both(ecosystem(both.folder, *cases), count=len(cases))
    )
    assert own == theirs
    assert own.keys() == {case["name"] for case in cases}
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
def test_what_yaml_says_without_quotes(words: tuple[str, ...], both: Both) -> None:
    """Dates, sexagesimal and octal numbers, words for booleans, and numbers without an end."""
    (both.folder / "pm2.yml").write_text(UNQUOTED)
    theirs, own = both("pm2.yml", *words)
    for each in (*theirs, *own):  # what is an object has a text in `env` alone there, which is intended
        each.pop("L", None) if words else None
    assert own == theirs


@pytest.mark.parametrize("words", [(), ("--env", "production")])
def test_variables_that_are_no_text(words: tuple[str, ...], both: Both) -> None:
    """Numbers that are none, dates, and what is null in a set."""
    (both.folder / "e.config.js").write_text("""
      const odd = {A: NaN, B: 1 / 0, C: new Date(0), D: undefined, E: -0};
      module.exports = {apps: [{name: 'a', script: 'show.js', env: {SHOW: 'A,B,C,D,E,F', F: 'x', ...odd},
        env_production: {...odd, F: null}}]}""")
    theirs, own = both("e.config.js", *words)
    assert own == theirs


def test_a_text_for_bash(both: Both) -> None:
    """`source`, `[[ ]]`; and `args` beside it, which nobody sees."""
    (both.folder / "env.sh").write_text("X=y\n")
    script = "source ./env.sh && [[ $X = y ]] && node show.js $X"
    theirs, own = both(ecosystem(both.folder, {"script": script, "args": "no"}))
    assert own == theirs == [{"argv": ["y"]}]


def test_two_apps_of_one_name_run(both: Both) -> None:
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


def test_the_environment_of_a_deployment(both: Both) -> None:
    """`deploy.NAME.env` counts for `--env NAME`, over `env`; `increment_var` counts from it, or from 0."""
    (both.folder / "ecosystem.config.js").write_text(f"module.exports = {json.dumps(DEPLOYED)}")
    theirs, own = both("ecosystem.config.js", "--env", "production", count=3)
    assert sorted(own, key=json.dumps) == sorted(theirs, key=json.dumps)


def test_python_prints_at_once(both: Both) -> None:
    """Although nobody has set PYTHONUNBUFFERED."""
    if shutil.which("python") is None:
        pytest.skip("no python for pm2 to find")
    (both.folder / "main.py").write_text("import time\nprint('SEEN now')\ntime.sleep(600)\n")
    theirs, own = both("main.py")
    assert own == theirs == ["now"]


def test_a_script_with_options_for_files(both: Both) -> None:
    """`--only` beside a script means nothing."""
    theirs, own = both("show.js", "--only", "APP", "--", "x")
    assert own == theirs == [{"argv": ["x"]}]


def test_only_the_chosen_app_is_looked_at(both: Both) -> None:
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
def test_everybody_behind_a_shell_is_asked_to_stop(words: tuple[str, ...], both: Both) -> None:
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
    words: tuple[str, ...], left_out: tuple[str, ...], both: Both
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


def test_stdin_stays_open(both: Both) -> None:
    """Tools that end with their standard input (esbuild --watch, react-scripts) go on."""
    (both.folder / "reads.js").write_text(
        "process.stdin.on('data', (data) => console.log('SEEN ' + String(data).trim()));"
        "process.stdin.on('end', () => { console.log('SEEN end'); process.exit(3); });"
        "setTimeout(() => console.log('SEEN still here'), 700);"
    )
    theirs, own = both("reads.js")
    assert own == theirs == ["still here"]
