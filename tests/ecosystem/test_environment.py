"""The variables an app gets."""

import os
from pathlib import Path
from typing import Any

import pytest
from ecosystem.documents import ENVIRON, app, options, read, refused, wrong

from pidone.contracts import InstanceId
from pidone.ecosystem.document import NODE_PATH
from pidone.ecosystem.load import load
from pidone.ecosystem.references import expand
from pidone.ecosystem.spec import AppSpec
from pidone.supervise.process.environment import Environment


def env_of(
    *,
    language: str = "toml",
    top: dict[str, Any] | None = None,
    change: dict[str, Any] | None = None,
    **keys: Any,
) -> dict[str, str]:
    """What is laid over the runtime's environment."""
    ecosystem = read({"script": "/bin/true", **keys}, language=language, top=top, **(change or {}))
    return dict(ecosystem.apps[0].env)


def test_values_become_the_text_that_node_would_make() -> None:
    """Numbers and booleans as JavaScript prints them, objects as JSON, null not at all."""
    env = {"A": 3000, "B": 1.5, "C": True, "D": None, "E": {"x": [1]}, "F": 2.0, "G": "", "H": "yes"}
    assert env_of(env=env) == {
        "A": "3000",
        "B": "1.5",
        "C": "true",
        "E": '{"x":[1]}',
        "F": "2",
        "G": "",
        "H": "yes",
    }


def test_the_order_is_pm2s() -> None:
    """env_file < env < port < deploy.<env>.env < env_<name>."""
    keys: dict[str, Any] = {
        "env": {"A": "env", "B": "env", "PORT": "1"},
        "env_production": {"B": "set", "D": "set"},
        "port": 8080,
    }
    top: dict[str, Any] = {"deploy": {"production": {"env": {"A": "deploy", "C": "deploy", "D": "deploy"}}}}
    production: dict[str, Any] = {"env_name": "production"}
    assert env_of(top=top, change=production, **keys) == {
        "A": "deploy",
        "B": "set",
        "C": "deploy",
        "D": "set",
        "PORT": "8080",
    }
    assert env_of(top=top, **keys) == {"A": "env", "B": "env", "PORT": "8080"}
    keys["env_production"]["PORT"] = "80"
    assert env_of(change=production, **keys)["PORT"] == "80"


def test_an_unknown_set_is_a_warning_with_the_nearest_name() -> None:
    """PM2 starts silently with the wrong environment."""
    warnings = read({"script": "/bin/true", "env_production": {}}, env_name="producton").warnings
    assert warnings == (
        'ecosystem.toml: --env producton: no app has env_producton; did you mean "production"?',
    )


def test_one_app_with_the_set_is_enough() -> None:
    """Not every app needs every set."""
    assert read({"script": "/bin/a", "env_x": {}}, {"script": "/bin/b"}, env_name="x").warnings == ()


JAVASCRIPT = """
process.env.FROM_DOTENV = "file";
process.env.BOTH = "file";
delete process.env.DROPPED;
module.exports = { apps: [{
  name: "node", script: "/bin/true", interpreter: process.execPath, env: { BOTH: "app" },
  args: process.argv.slice(2),
}] };
"""


def javascript(folder: Path, **changes: Any) -> AppSpec:
    """The app of that file."""
    (folder / "ecosystem.config.js").write_text(JAVASCRIPT)
    environ = {"PATH": str(folder), "DROPPED": "1", "KEPT": "1"}
    return load(Path("ecosystem.config.js"), options(cwd=folder, environ=environ, **changes)).apps[0]


def test_what_a_file_does_to_its_process_env_its_apps_inherit(tmp_path: Path) -> None:
    """Set there: over what is inherited and under the app's own; deleted there: not inherited."""
    found = javascript(tmp_path)
    assert dict(found.env) == {"FROM_DOTENV": "file", "BOTH": "app"}
    assert found.unset_env == ("DROPPED",)
    made = Environment({"DROPPED": "1", "KEPT": "1"}).of(
        found, InstanceId(app="node", index=0, incarnation=1)
    )
    assert {name: made.get(name) for name in ("FROM_DOTENV", "BOTH", "DROPPED", "KEPT")} == {
        "FROM_DOTENV": "file",
        "BOTH": "app",
        "DROPPED": None,
        "KEPT": "1",
    }


@pytest.mark.skipif(Path(NODE_PATH).exists(), reason="Node is where the stand-in is")
def test_the_interpreter_a_file_believes_to_run_in_is_node(tmp_path: Path) -> None:
    """process.execPath is made up; the node found on PATH is meant."""
    node = tmp_path / "node"
    node.symlink_to("/bin/true")
    assert javascript(tmp_path, must_exist=True).argv[:2] == (str(node), "/bin/true")


def test_files_see_the_command_line(tmp_path: Path) -> None:
    """process.argv as under pm2-runtime."""
    argv = ("start", "ecosystem.config.js", "--env", "production")
    assert javascript(tmp_path, argv=argv).args == argv


def test_variables_can_be_kept_back_by_name() -> None:
    """unset_env takes exact names, filter_env parts of them."""
    kept_back = app(unset_env="DB", env={"DB": "own"})
    who = InstanceId(app="true", index=0, incarnation=1)
    assert Environment({"DB": "ours", "DB_HOST": "x"}).of(kept_back, who)["DB"] == "own"
    assert "DB" not in Environment({"DB": "ours", "DB_HOST": "x"}).of(app(unset_env=["DB"]), who)
    assert Environment({"DB": "ours", "DB_HOST": "x"}).of(app(unset_env=["DB"]), who)["DB_HOST"] == "x"


def test_text_may_be_an_environment() -> None:
    """PM2's schema allows text: a JSON object, or NAME=VALUE lines."""
    assert env_of(env='{"A": 1}') == {"A": "1"}
    assert env_of(env="A=1\nB='two'") == {"A": "1", "B": "two"}


@pytest.mark.parametrize(
    "env", [["A=1"], 5, True, {"": "x"}, {"A=B": "x"}, {"A": "x\0"}, "{nonsense", "no assignment"]
)
def test_what_is_no_environment_is_refused_without_showing_it(env: Any) -> None:
    """The message names the key; the value could be a secret."""
    (line,) = wrong(env=env)
    assert line.startswith('ecosystem.toml: app "api": env')
    assert "***" in line


def test_env_file_loads_dotenv_files(tmp_path: Path) -> None:
    """A popular mistake under PM2, which takes it for an environment called "file"."""
    (tmp_path / ".env").write_text("A=1\nB=${HOME}/${A}\nC=c\n")
    (tmp_path / "more.env").write_text("C=${A}more\n")
    change = {"must_exist": True, "cwd": tmp_path}
    env = env_of(language="json", env_file=[".env", "more.env"], env={"A": "env"}, change=change)
    assert env == {"A": "env", "B": "/home/app/1", "C": "1more"}
    assert env_of(language="json", env_file={"X": "1"}, change={"env_name": "file"}) == {"X": "1"}


def test_a_bad_env_file_is_an_error_that_shows_no_content(tmp_path: Path) -> None:
    """Missing and malformed files stop the start."""
    (tmp_path / "bad.env").write_text("hunter2\n")
    app = {"script": "/bin/true", "name": "api", "env_file": ["bad.env", "none.env"]}
    lines = refused(app, must_exist=True, cwd=tmp_path)
    assert [line.partition(": ")[2] for line in lines] == [
        'app "api": env_file = "bad.env": line 1: expected NAME=VALUE',
        'app "api": env_file = "none.env": cannot be read: No such file or directory',
    ]


def test_a_missing_env_file_stops_no_file_that_pm2_starts(tmp_path: Path) -> None:
    """PM2 reads none of them, and images often come without; a malformed one is an error even so."""
    app = {"script": "/bin/true", "name": "api", "env_file": [".env"]}
    ecosystem = read(app, must_exist=True, cwd=tmp_path, language="json")
    message = 'ecosystem.json: app "api": env_file = ".env": cannot be read: No such file or directory'
    assert ecosystem.warnings == (message,)
    (tmp_path / ".env").mkdir()
    assert refused(app, must_exist=True, cwd=tmp_path, language="json")


class TestSecrets:
    """Docker's convention of NAME_FILE."""

    @pytest.fixture
    def change(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "password").write_text("hunter2\n")
        return {"must_exist": True, "environ": {**ENVIRON, "DB_PASSWORD_FILE": f"{tmp_path}/password"}}

    @pytest.mark.parametrize("wanted", [True, ["DB_PASSWORD"], "DB_PASSWORD", ["DB_PASSWORD_FILE"]])
    def test_the_file_becomes_the_variable(self, wanted: Any, change: dict[str, Any]) -> None:
        """Without its last newline, and remembered as secret."""
        spec = read({"script": "/bin/true", "secrets": wanted}, **change).apps[0]
        assert spec.env["DB_PASSWORD"] == "hunter2"
        assert spec.secrets == ("DB_PASSWORD",)
        assert "hunter2" not in repr(spec)

    def test_a_table_names_the_files(self, change: dict[str, Any], tmp_path: Path) -> None:
        """`secrets = {TOKEN = "/run/secrets/token"}`."""
        spec = read({"script": "/bin/true", "secrets": {"TOKEN": f"{tmp_path}/password"}}, **change).apps[0]
        assert spec.env == {"TOKEN": "hunter2"}

    def test_what_is_asked_for_must_be_there(self, change: dict[str, Any]) -> None:
        """A missing variable and a missing file are errors."""
        lines = refused(
            {"script": "/bin/true", "secrets": ["NOPE"]},
            {"script": "/bin/a", "secrets": {"B": "/nope"}},
            **change,
        )
        assert "secrets: NOPE is wanted, but NOPE_FILE is not set" in lines[0]
        assert "secrets: B cannot be read" in lines[1]

    def test_not_every_file_variable_is_a_secret(self, change: dict[str, Any], tmp_path: Path) -> None:
        """`secrets = true` leaves SSL_CERT_FILE alone, and files that do not exist."""
        environ = {
            **ENVIRON,
            "SSL_CERT_FILE": f"{tmp_path}/password",
            "X_FILE": "/nope",
            "Y_FILE": "relative",
        }
        spec = read({"script": "/bin/true", "secrets": True}, **{**change, "environ": environ}).apps[0]
        assert spec.env == {}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${NO:-d}", "d"),
        ("${EMPTY:-d}${EMPTY-d}", "d"),
        ("${NO:-${A}}", "1"),
        ("${NO:-a b:c}", "a b:c"),
        ("$${A}", "${A}"),
        ("$A $$ $1", "$A $$ $1"),
        ("${not a name}", "${not a name}"),
        ("${NO}", ""),
        ("${NO:-}", ""),
    ],
)
def test_references(text: str, result: str) -> None:
    """docker compose's forms; only `$${` needs an escape, so that a password's dollars stay."""
    assert expand({"k": [text]}, {"A": "1", "EMPTY": ""}, set()) == {"k": [result]}


def test_references_are_for_toml_and_yaml() -> None:
    """JavaScript can do it by itself; PM2's JSON means what it says. Unset ones are warned of."""
    for language, home in (
        ("toml", "/home/app"),
        ("yaml", "/home/app"),
        ("json", "${HOME}"),
        ("javascript", "${HOME}"),
    ):
        assert env_of(language=language, env={"H": "${HOME}"}) == {"H": home}
    (warning,) = read({"script": "/bin/true", "args": "${NOPE}"}).warnings
    assert "${NOPE} is not set" in warning
    assert 'app "api": args: ${NOPE} is not set: say why' in wrong(args="${NOPE:?say why}")[0]


def test_a_user_brings_home_and_names() -> None:
    """As PM2 sets HOME; what the app says itself counts more."""
    assert env_of(user="root") == {"HOME": "/root", "USER": "root", "LOGNAME": "root"}
    assert env_of(user="root", env={"HOME": "/x"})["HOME"] == "/x"
    assert env_of(uid=12345678) == {"HOME": "/"}


def test_users_and_groups() -> None:
    """By name or number; a random uid needs no entry anywhere."""
    assert (app(user="root").uid, app(user="root").gid) == (0, 0)
    assert (app(uid=12345678).uid, app(uid=12345678).gid) == (12345678, 12345678)
    assert (app(uid="12345678:77").uid, app(uid="12345678:77").gid) == (12345678, 77)
    assert app(user="root", gid=5).gid == 5
    assert app(groups=["root", 7]).groups == (0, 7)
    assert 'user = "nobody-here": no such user' in wrong(user="nobody-here")[0]
    assert "gid = -1" in wrong(gid=-1)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_only_root_can_run_apps_as_somebody_else() -> None:
    """Found when the file is read, not when the first process fails to start."""
    os.seteuid(65534)
    try:
        (line,) = refused({"script": "/bin/true", "user": "root"}, must_exist=True)
    finally:
        os.seteuid(0)
    assert "only root" in line


def test_pm2s_variables_count_under_its_name() -> None:
    """PM2_KILL_TIMEOUT and its like, below the keys of the file."""
    environ = {"PM2_KILL_TIMEOUT": "5000", "PM2_KILL_SIGNAL": "SIGTERM", "PM2_KILL_USE_MESSAGE": "1"}
    first, second = read(
        {"script": "/bin/a"},
        {"script": "/bin/b", "kill_timeout": 0},
        personality="pm2-runtime",
        environ=environ,
    ).apps
    assert (first.kill_timeout, first.kill_signal, first.shutdown_with_message) == (5.0, 15, True)
    assert second.kill_timeout == 0
    plain = read({"script": "/bin/a"}, personality="pm2-runtime", environ={}).apps[0]
    assert (plain.kill_timeout, plain.kill_signal) == (1.6, 2)
    assert options().personality == "pidone"
    assert (app().kill_timeout, app().kill_signal) == (8.0, 15)


def test_pm2s_variables_that_are_no_numbers_are_told() -> None:
    """With their name and value; PM2's default counts then."""
    environ = {"PM2_KILL_TIMEOUT": "abc", "PM2_GRACEFUL_LISTEN_TIMEOUT": "-1"}
    found = read({"script": "/bin/a"}, personality="pm2-runtime", environ=environ)
    assert (found.apps[0].kill_timeout, found.apps[0].listen_timeout) == (1.6, 3.0)
    assert [line.partition(": ")[2] for line in found.warnings] == [
        'PM2_KILL_TIMEOUT = "abc": expected milliseconds; 1600 counts',
        'PM2_GRACEFUL_LISTEN_TIMEOUT = "-1": expected milliseconds; 3000 counts',
    ]
    assert not read({"script": "/bin/a"}, environ=environ).warnings


def test_the_working_directory_is_the_apps() -> None:
    """A shell that has started us leaves its own in PWD."""
    started = Environment({"PWD": "/srv", "A": "1"})
    who = InstanceId("a", 0, 1)
    assert started.of(app(cwd="/tmp"), who)["PWD"] == "/tmp"
    assert started.of(app(cwd="/tmp", env={"PWD": "/own"}), who)["PWD"] == "/own"
    assert "PWD" not in started.of(app(unset_env=["PWD"]), who)
    assert "PWD" not in Environment({}).of(app(cwd="/tmp"), who), "nobody has had one"
