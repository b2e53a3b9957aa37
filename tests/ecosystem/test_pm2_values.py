"""Files that PM2 starts start here: its meaning of a value, and a word about what it ignores."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import ENVIRON, document, options, read, refused

from pidone.ecosystem.load import examine, load, resolve
from pidone.ecosystem.output.convert import OutputFile, convert
from pidone.ecosystem.pm2 import split
from pidone.ecosystem.spec import ExecMode
from pidone.errors import ConfigError
from pidone.logs.files.logfiles import path_of

PM2: dict[str, Any] = {"personality": "pm2-runtime"}


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"max_memory_restart": ""}, "max_memory_restart", None),
        ({"exec_mode": ""}, "exec_mode", ExecMode.FORK),
        ({"instances": ""}, "instances", 0),
        ({"instance_var": ""}, "instance_var", "NODE_APP_INSTANCE"),
        ({"instances": "auto"}, "instances", 0),
        ({"log_file": True}, "log_file", None),
        ({"log_type": "pretty"}, "log_type", None),
        ({"kill_timeout": ""}, "kill_timeout", 8.0),
        ({"ready": True}, "ready", None),
        ({"group": "web-no-such"}, "gid", None),
        ({"pre_start": [{"cmd": "x"}]}, "hooks", {}),
        ({"depends_on": ["nobody"]}, "depends_on", ()),
    ],
)
def test_what_pm2_tolerates(keys: dict[str, Any], field: str, value: Any) -> None:
    """A warning, and PM2's meaning; in TOML it stays an error."""
    app = {"script": "/bin/true", "name": "a", **keys}
    found = read(app, language="javascript")
    assert value is None or getattr(found.apps[0], field) == value
    assert any(next(iter(keys)) in warning for warning in found.warnings), found.warnings
    assert refused(app, language="toml")


def test_sets_that_are_texts() -> None:
    """`env_x: 'text'` is no environment."""
    found = read({"script": "/bin/true", "env_x": "text"}, language="json")
    assert "env_x: ignored" in found.warnings[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('--d="e f" x', ['--d="e f"', "x"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("'it''s'", ["it", "s"]),
        ("--a=1  --b", ["--a=1", "--b"]),
        ("", []),
    ],
)
def test_texts_are_split_as_by_pm2(text: str, words: list[str]) -> None:
    """Quotes inside a word stay; TOML honours them."""
    assert split(text) == words
    assert read({"script": "/bin/true", "args": text}, language="json").apps[0].args == tuple(words)


def test_a_text_of_patterns_is_split_in_pm2s_files() -> None:
    """`ignore_watch: 'a b'`."""
    assert read({"script": "x", "ignore_watch": "a b"}, language="json").apps[0].ignore_watch == ("a", "b")
    assert read({"script": "x", "ignore_watch": "a b"}).apps[0].ignore_watch == ("a b",)


def test_own_keys_mean_nothing_under_pm2s_name() -> None:
    """They are named once; as `pidone FILE` they count, and in TOML always."""
    app = {"script": "/bin/true", "pre_start": "npm run build", "depends_on": ["x"], "kill_timeout": 5000}
    found = read(app, language="javascript", **PM2)
    assert (found.apps[0].hooks, found.apps[0].kill_timeout) == ({}, 5.0)
    (notice,) = [line for line in found.notices if "PM2 does not know" in line]
    assert "pre_start, depends_on" in notice
    assert read({"script": "/bin/true", "pre_start": "x"}, language="javascript").apps[0].hooks
    assert read({"script": "/bin/true", "pre_start": "x"}, **PM2).apps[0].hooks


@pytest.mark.parametrize(
    "keys",
    [
        {"cron_restart": None, "cron": "0 0 * * *"},
        {"cron": "0 0 * * *", "cron_restart": ""},
        {"cronRestart": "", "cron_restart": "0 0 * * *"},
    ],
)
def test_an_empty_spelling_of_a_key_does_not_count(keys: dict[str, Any]) -> None:
    """What a file leaves empty under one name it may say under another one."""
    found = read({"script": "/bin/true", **keys}, language="javascript")
    assert found.apps[0].cron_restart is not None
    assert found.warnings == ()
    both = {"script": "/bin/true", "cron": "0 0 * * *", "cron_restart": "0 1 * * *"}
    assert "is the same key" in read(both, language="javascript").warnings[0]


@pytest.mark.parametrize("turned", [False, True])
def test_the_spelling_that_pm2_takes_first(turned: bool) -> None:  # noqa: FBT001  # a parameter
    """`node_args` beside `interpreter_args`, `exec_interpreter` beside `interpreter`, in any order."""
    keys: list[tuple[str, Any]] = [
        *(("interpreter_args", "--b"), ("node_args", "--a")),
        *(("interpreter", "none"), ("exec_interpreter", "/bin/cat")),
    ]
    app = {"script": "/bin/true", **dict(reversed(keys) if turned else keys)}
    found = read(app, language="json")
    assert found.apps[0].argv == ("/bin/cat", "--a", "/bin/true")
    assert "interpreter_args is the same key as node_args, which counts" in "".join(found.warnings)
    assert read(app).apps[0].argv == ("/bin/true",), "in TOML the name that the reference has"


def test_own_tables_mean_nothing_under_pm2s_name(tmp_path: Path) -> None:
    """Whatever stands beside the apps under one of our words is somebody else's."""
    file = tmp_path / "ecosystem.json"
    foreign = {"include": ["x"], "runtime": "nodejs18", "alerts": True, "smoke": 1}
    file.write_text(json.dumps({"apps": [{"script": "/bin/true"}], **foreign}))
    found = load(file, options(**PM2))
    assert found.runtime.pm2_rpc
    (notice,) = [line for line in found.notices if "PM2 does not know" in line]
    assert "runtime, smoke, alerts, include" in notice
    with pytest.raises(ConfigError, match="no such file"):
        load(file, options())
    toml = tmp_path / "own.toml"
    toml.write_text('[runtime]\nlog_format = "json"\n[apps.a]\nscript = "/bin/true"\n')
    assert load(toml, options(**PM2)).runtime.log_format == "json"


def test_two_apps_of_one_name_run_in_pm2s_files() -> None:
    """Told apart by a number."""
    apps = ({"script": "/bin/true", "name": "a"}, {"script": "/bin/false", "name": "a"})
    found = read(*apps, language="json")
    assert [app.name for app in found.apps] == ["a", "a-2"]
    assert "this one alone is a-2" in found.warnings[0]
    assert "the name is used twice" in refused(*apps)[0]


def test_only_the_chosen_apps_are_checked() -> None:
    """One file for many images: what another app needs need not be here."""
    apps = ({"script": "/bin/true", "name": "a"}, {"script": "no-such-program", "name": "b", "nonsense": 1})
    how = options(must_exist=True, only=("a",))
    found = resolve(document(*apps, language="json"), how)
    assert [app.name for app in found.apps] == ["a"]
    assert (found.warnings, found.notices) == ((), ())
    prefixed = {"script": "/bin/true", "name_prefix": "x", "name": "${WHO:-a}"}
    assert read(prefixed, *apps, only=("x:a",)).apps[0].name == "x:a"


def test_time_lays_its_format_over_another() -> None:
    """As under PM2; in TOML the format counts."""
    keys = {"script": "/bin/true", "time": True, "log_date_format": "YYYY"}
    assert read(keys, language="json").apps[0].log_date_format == "YYYY-MM-DDTHH:mm:ss"
    assert read(keys).apps[0].log_date_format == "YYYY"


def test_the_back_off_counts_alone() -> None:
    """`restart_delay` beside it: not at all in PM2's files, with a warning in TOML."""
    keys = {"script": "/bin/true", "restart_delay": 900000, "exp_backoff_restart_delay": 100}
    assert read(keys, language="json").apps[0].restart_delay == 0.0
    found = read(keys)
    assert found.apps[0].restart_delay == 900.0
    assert "restart_delay comes on top" in found.warnings[0]


def test_words_may_be_any_plain_values() -> None:
    """As Node hands them on."""
    (app,) = read({"script": "a.js", "args": [5, True, "x"], "node_args": ["-w"]}, language="json").apps
    assert (app.args, app.interpreter_args) == (("5", "true", "x"), ("-w",))
    found = read({"script": "a.js", "args": ["a", None]}, language="javascript")
    assert found.apps[0].args == ("a", "null")
    assert "args[1] = null" in found.warnings[0]


def test_files_of_unmerged_logs_have_pm2s_id() -> None:
    """Only `.log` files do, in place of a number that stands there."""
    keys = {"script": "a.js", "instances": 1, "cwd": "/", "out_file": "a.log"}
    (app,) = read(keys, language="json").apps
    named = {"a.log": "a-4.log", "b-7.log": "b-4.log", "c.txt": "c.txt", "logs/d-x.log": "logs/d-x-4.log"}
    assert {name: str(path_of(name, app, 0, 4)) for name in named} == {
        name: f"/{path}" for name, path in named.items()
    }
    assert path_of("a.log", app.but(merge_logs=True), 0, 4) == Path("/a.log")


def test_merge_logs_is_for_one_fork() -> None:
    """A cluster's files have indices even without `instances`."""
    assert read({"script": "a.js"}).apps[0].merge_logs
    assert not read({"script": "a.js", "exec_mode": "cluster"}).apps[0].merge_logs


def test_the_home_of_log_files() -> None:
    """The app's HOME, else ours, else the passwd entry's."""
    keys = {"script": "/bin/true", "out_file": "~/logs/o.log"}
    assert read({**keys, "env": {"HOME": "/h"}}).apps[0].out_file == "/h/logs/o.log"
    assert read(keys).apps[0].out_file == f"{ENVIRON['HOME']}/logs/o.log"
    from_passwd = read(keys, environ={"PATH": "/bin"}).apps[0].out_file
    assert from_passwd == f"{pwd.getpwuid(os.geteuid()).pw_dir}/logs/o.log"


def test_a_check_tells_all_it_can() -> None:
    """The apps beside the errors; misspelt keys although a script is missing; sets that nothing asks for."""
    app = {
        "script": "dist/not-built.js",
        "name": "a",
        "instnaces": 2,
        "env_production": {"A": 1},
        "kill_timeout": 5000,
    }
    examined = examine(document(app, language="javascript"), options(must_exist=True, hints=True))
    (error,) = examined.errors
    assert "not found in /" in error
    assert examined.ecosystem.apps[0].kill_timeout == 5.0
    assert any('did you mean "instances"' in line for line in examined.ecosystem.warnings)
    assert any("env_production: only used if --env names it" in line for line in examined.ecosystem.notices)


@pytest.mark.parametrize(
    ("key", "meant"),
    [("cluster", "exec_mode"), ("workers", "instances"), ("environment", "env"), ("directory", "cwd")],
)
def test_what_others_call_a_key(key: str, meant: str) -> None:
    """The message says what it is called here."""
    (line,) = refused({"script": "/bin/true", key: True})
    assert f"{key}: unknown key; it is called {meant} here" in line


def test_an_env_file_that_may_be_missing(tmp_path: Path) -> None:
    """In TOML if it says so; in PM2's files always, before and after a conversion."""
    how: dict[str, Any] = {"cwd": tmp_path, "must_exist": True}
    (tmp_path / "there").write_text("A=1\n")
    files = ["there", {"path": "missing", "required": False}]
    new = document({"script": "/bin/true", "env_file": files}, source=f"{tmp_path}/e.toml")
    found = resolve(new, options(**how))
    assert "missing" in found.warnings[0]
    old = document({"script": "/bin/true", "env_file": "missing"}, language="json")
    assert "missing" in resolve(old, options(**how)).warnings[0]
    converted = convert(old, options(**how), OutputFile(tmp_path, has_references=True)).tables
    assert converted.apps[0]["env_file"] == [{"path": "missing", "required": False}]
    with pytest.raises(ConfigError, match="missing"):
        resolve(document({"script": "/bin/true", "env_file": "missing"}), options(**how))


def test_what_a_pm2_file_means_without_saying_it_is_written_into_toml() -> None:
    """Names of two apps, of their logs, and where counting begins."""
    apps: list[dict[str, Any]] = [
        {"name": "a", "script": "/bin/true", "instances": 2, "out_file": "o.log", "increment_var": "N"},
        {"name": "a", "script": "/bin/true", "increment_var": "N", "env": {"N": "x", "M": 1}},
        {"name": "b", "script": "/bin/true", "increment_var": "N", "env": {"N": 7}},
    ]
    old = document(*apps, language="json")
    tables = convert(old, options(), OutputFile(Path("/"), has_references=True)).tables
    before, after = resolve(old, options()).apps, resolve(document(*tables.apps), options()).apps
    for one, other in zip(before, after, strict=True):
        assert one.but(shared_name="") == other


def test_dropped_arguments_of_an_interpreter() -> None:
    """Where no interpreter runs the script."""
    found = read({"script": "/bin/true", "interpreter": "none", "interpreter_args": "-x"})
    assert "interpreter_args: dropped" in found.warnings[0]


def test_an_environment_called_file_has_no_form_in_toml() -> None:
    """There `env_file` names files: the variables are left out, and the new file says so."""
    original = document({"name": "app", "script": "x", "env_file": {"A": "1"}}, language="javascript")
    converted = convert(original, options(), OutputFile(Path("/"), has_references=True)).tables
    assert "env_file" not in converted.apps[0]
    assert any("env_file" in remark and "--env file" in remark for remark in converted.remarks)
    kept = convert(original, options(), OutputFile(Path("/"), has_references=False)).tables
    assert kept.apps[0]["env_file"] == {"A": "1"}
