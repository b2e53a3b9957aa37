"""What each key becomes, and the table of them."""

import signal
from typing import Any

import pytest
from ecosystem.documents import app, document, options, read, refused, wrong

from pidone.ecosystem.document import Document, KeyPath
from pidone.ecosystem.keys import APP_KEYS, RUNTIME_KEYS
from pidone.ecosystem.load import resolve
from pidone.ecosystem.spec import (
    AppSpec,
    Balance,
    Condition,
    Dependency,
    ExecMode,
    Hook,
    Listen,
    MemoryShare,
    Probe,
    Readiness,
    RuntimeSpec,
)
from pidone.errors import ConfigError

_MADE_OF_OTHERS = {"argv", "dates_output", "remote", "shared_name", "templates"}


def test_every_field_has_its_key() -> None:
    """The table covers the specs: no field without a key, no runtime key without a field."""
    assert {*AppSpec.field_names()} - _MADE_OF_OTHERS <= {*APP_KEYS}
    assert {*RuntimeSpec.field_names()} == {*RUNTIME_KEYS}


def test_defaults_are_pm2s_where_it_has_the_key() -> None:
    """An app that says nothing gets the specs' defaults."""
    spec = app()
    plain = AppSpec(name="true", argv=("/bin/true",), script="/bin/true", merge_logs=True)
    assert spec.but(env={}) == plain


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"maxRestarts": 3}, "max_restarts", 3),
        ({"max_restarts": 0}, "max_restarts", 0),
        ({"kill_timeout": 0}, "kill_timeout", 0.0),
        ({"kill_timeout": "5s"}, "kill_timeout", 5.0),
        ({"min_uptime": "60s"}, "min_uptime", 60.0),
        ({"merge_logs": False}, "merge_logs", False),
        ({"combine_logs": "true", "instances": 2}, "merge_logs", True),
        ({"log_date_format": False}, "log_date_format", None),
        ({"time": "true"}, "log_date_format", "YYYY-MM-DDTHH:mm:ss"),
        ({"autorestart": "false"}, "autorestart", False),
        ({"stop_exit_codes": 0}, "stop_exit_codes", (0,)),
        ({"stop_exit_codes": ["0", 143]}, "stop_exit_codes", (0, 143)),
        ({"max_memory_restart": "1GB"}, "max_memory_restart", 2**30),
        ({"max_memory_restart": "80%/n"}, "max_memory_restart", MemoryShare(fraction=0.8, per_instance=True)),
        ({"max_memory_restart": 0}, "max_memory_restart", None),
        ({"cron": "0 3 * * *"}, "cron_restart", "0 3 * * *"),
        ({"instances": "4,"}, "instances", 4),
        ({"name": 42}, "name", "42"),
        ({"name": "a", "name_prefix": "x"}, "name", "x:a"),
        ({"namespace": "main-staging"}, "namespace", "main-staging"),
        ({"filter_env": True}, "filter_env", True),
        ({"filter_env": ["SECRET"]}, "filter_env", ("SECRET",)),
        ({"stop_signal": "INT"}, "kill_signal", 2),
        ({"wait_ready": True}, "ready", Readiness(ipc=True)),
        ({"ready": "notify"}, "ready", Readiness(notify=True)),
        ({"ready": "fd:3"}, "ready", Readiness(fd=3)),
        ({"ready": "log:listening on .*"}, "ready", Readiness(log="listening on .*")),
        ({"ready": "http:/health"}, "ready", Readiness(probe=Probe(http="/health"))),
        ({"ready": "http:3000/health"}, "ready", Readiness(probe=Probe(http="http://127.0.0.1:3000/health"))),
        ({"ready": "http://db:80/"}, "ready", Readiness(probe=Probe(http="http://db:80/"))),
        ({"ready": "tcp:3000"}, "ready", Readiness(probe=Probe(tcp="3000"))),
        ({"ready": "exec:pg_isready -q"}, "ready", Readiness(probe=Probe(exec=("pg_isready", "-q")))),
        (
            {"ready": {"tcp": "db:1", "interval": "2s"}},
            "ready",
            Readiness(probe=Probe(tcp="db:1", interval=2.0)),
        ),
        ({"share": "python"}, "ready", Readiness(listen=True)),
        ({"health": {"http": "/h", "grace": 3000}}, "health", Probe(http="/h", grace=3.0)),
        ({"depends_on": "db"}, "depends_on", None),
        ({"umask": "027"}, "umask", 0o27),
        ({"nice": -5}, "nice", -5),
        (
            {"limits": {"nofile": 65536, "core": "0:unlimited"}},
            "limits",
            {"nofile": (65536, 65536), "core": (0, -1)},
        ),
        ({"cpu_affinity": "0-2,5"}, "cpu_affinity", (0, 1, 2, 5)),
        ({"cpu_affinity": "spread"}, "cpu_affinity", "spread"),
        ({"watch": True}, "watch", (".",)),
        ({"watch": "true"}, "watch", (".",)),
        ({"watch": ["src"]}, "watch", ("src",)),
        (
            {"hooks": {"pre_start": "make x", "on_exit": {"command": ["a b"], "timeout": "1s"}}},
            "hooks",
            {"pre_start": Hook(command=("make", "x")), "on_exit": Hook(command=("a b",), timeout=1.0)},
        ),
        (
            {"hooks": {"pre_stop": "sleep 1; echo $PIDONE_HOOK"}},
            "hooks",
            {"pre_stop": Hook(command=("/bin/sh", "-c", "sleep 1; echo $PIDONE_HOOK"))},
        ),
        ({"schedule": "0 3 * * *"}, "autorestart", False),
        ({"out_file": "NULL"}, "out_file", None),
        ({"out": "logs/o.log"}, "out_file", "/logs/o.log"),
        ({"error": "/dev/stderr"}, "error_file", "/dev/stderr"),
        ({"log_retain": "30d"}, "log_retain", "30d"),
        ({"retain": 5}, "log_retain", "5"),
        ({"rate_limit": "100/s"}, "rate_limit", 100),
        ({"multiline": True}, "multiline", "auto"),
        ({"balance": "source"}, "balance", Balance.SOURCE),
        ({"interpreter": "none", "script": "/bin/true"}, "interpreter", "none"),
    ],
)
def test_values(keys: dict[str, Any], field: str, value: Any) -> None:
    """One key, one field, in PM2's spellings and ours; 0 and false mean what they say."""
    if "depends_on" in keys:
        spec = read({"script": "/bin/true", **keys}, {"name": "db", "script": "/bin/db"}).apps[0]
        value = (Dependency(app="db", condition=Condition.READY),)
    else:
        spec = app("json", **keys)
    assert getattr(spec, field) == value


@pytest.mark.parametrize(
    ("written", "socket"),
    [
        (3000, Listen(name="3000", port=3000)),
        ("3000", Listen(name="3000", port=3000)),
        (":3000", Listen(name="3000", port=3000)),
        ("*:3000", Listen(name="3000", port=3000)),
        ("127.0.0.1:3000", Listen(name="3000", host="127.0.0.1", port=3000)),
        ("[::]:80", Listen(name="80", host="::", port=80)),
        ("3000/udp", Listen(name="3000-udp", kind="udp", port=3000)),
        ("unix:/run/x.sock", Listen(name="x", kind="unix", host="/run/x.sock")),
        ({"port": 80, "name": "web", "backlog": 10}, Listen(name="web", port=80, backlog=10)),
        ({"path": "/run/y", "name": "y2"}, Listen(name="y2", kind="unix", host="/run/y")),
    ],
)
def test_sockets(written: Any, socket: Listen) -> None:
    """One socket alone or in a list, as text, number or table."""
    assert app(listen=written).listen == (socket,)
    assert app(listen=[written]).listen == (socket,)


@pytest.mark.parametrize(
    "written",
    [
        "x",
        70000,
        "::1:80",
        "a b:80",
        True,
        {"host": "x"},
        "unix:",
        {"port": 1, "nmae": "x"},
        "80/sctp",
        "unix:" + "x" * 200,
    ],
)
def test_sockets_that_are_none(written: Any) -> None:
    """Refused when the file is read, not when the port is opened."""
    assert wrong(listen=written)[0].startswith('ecosystem.toml: app "api": listen')


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        ({}, ExecMode.FORK),
        ({"instances": 2}, ExecMode.CLUSTER),
        ({"instances": 1}, ExecMode.CLUSTER),
        ({"instances": 2, "exec_mode": "fork"}, ExecMode.FORK),
        ({"instances": 2, "interpreter": "python3"}, ExecMode.FORK),
        ({"exec_mode": "cluster_mode"}, ExecMode.CLUSTER),
    ],
)
def test_exec_mode(keys: dict[str, Any], mode: ExecMode) -> None:
    """PM2's rule: `instances` make a Node app a cluster, which is ready when it listens."""
    spec = app("json", **{"script": "x.js", **keys})
    assert spec.exec_mode is mode
    assert spec.ready.listen == (mode is ExecMode.CLUSTER)


def test_unknown_keys() -> None:
    """Errors with a hint in TOML, warnings in PM2's formats; PM2 drops them silently."""
    assert wrong(instance=2) == [
        'ecosystem.toml: app "api": instance: unknown key; did you mean "instances"?'
    ]
    warnings = read({"script": "/bin/true", "name": "api", "restartDelai": 5}, language="json").warnings
    assert warnings == (
        'ecosystem.json: app "api": restartDelai: unknown key; did you mean "restart_delay"?',
    )


def test_keys_without_meaning_are_named_once() -> None:
    """vizion, pmx and their like are no reason to refuse a file."""
    ecosystem = read(
        {"script": "/bin/a", "vizion": False, "windowsHide": True}, {"script": "/bin/b", "vizion": True}
    )
    assert ecosystem.notices == (
        "ecosystem.toml: these keys mean nothing in a container and are ignored: vizion, windowsHide",
    )
    assert ecosystem.warnings == ()


def test_two_spellings_of_one_key() -> None:
    """The canonical one counts, whatever the order, and it is said."""
    for keys in ({"out": "/a", "out_file": "/b"}, {"out_file": "/b", "out": "/a"}):
        ecosystem = read({"script": "/bin/a", **keys}, language="json")
        assert ecosystem.apps[0].out_file == "/b"
        assert "the same key" in ecosystem.warnings[0]


def test_null_is_not_there() -> None:
    """An undefined process.env.X leaves the default."""
    spec = app("javascript", max_restarts=None, name=None, env=None, env_x=None, ready=None)
    assert (spec.max_restarts, spec.name) == (16, "true")


def test_all_errors_are_reported_at_once_with_their_lines() -> None:
    """FILE:LINE: app: key = value: what would be right, one line each."""
    lines = {(0, "instances"): 4, (1, "kill_timeout"): 9, (1, "health", "interval"): 12}

    def line_of(path: KeyPath) -> int | None:
        return lines.get(path)

    bad = Document(
        apps=(
            {"name": "api", "script": "/bin/a", "instances": "many"},
            {
                "name": "web",
                "script": "/bin/b",
                "kill_timeout": "soon",
                "health": {"http": "/", "interval": "x", "intervall": 1},
            },
        ),
        top={"runtime": {"log_level": "loud"}},
        source=document().source,
        language="toml",
        line_of=line_of,
    )
    with pytest.raises(ConfigError) as caught:
        resolve(bad, options())
    duration = 'expected a duration such as "5s", "1h30m", "500ms", or milliseconds as a number'
    levels = '"debug" or "info" or "warning" or "error" or "quiet"'
    assert str(caught.value).split("\n") == [
        'ecosystem.toml:4: app "api": instances = "many": expected a number or "max"',
        f'ecosystem.toml:9: app "web": kill_timeout = "soon": {duration}',
        f'ecosystem.toml:12: app "web": health.interval = "x": {duration}',
        'ecosystem.toml: app "web": health.intervall = 1: unknown key; did you mean "interval"?',
        f'ecosystem.toml: runtime: log_level = "loud": expected {levels}',
    ]


def test_a_message_shows_no_secret_and_stays_one_line() -> None:
    """Values of variables are masked, passwords in URLs too; nothing can forge a line."""
    lines = wrong(
        env=["hunter2"], interpreter=["x"], instances="a\nb\x1b[31m", kill_timeout="redis://u:hunter2@h"
    )
    assert "hunter2" not in "".join(lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"memory_soft_limit": "2G", "max_memory_restart": "1G"},
            "memory_soft_limit (2G) is above max_memory_restart (1G)",
        ),
        (
            {"memory_soft_limit": "90%", "max_memory_restart": "80%"},
            "memory_soft_limit (90%) is above max_memory_restart (80%)",
        ),
        ({"limits": {"nofile": "2:1"}}, "a soft limit that is not above the hard one"),
        ({"limits": {"files": 1}}, "unknown limit"),
        ({"health": {"interval": 5000}}, "exactly one of http, tcp, exec"),
        ({"ready": "soon"}, '"notify"'),
        ({"ready": "log:("}, "regular expression"),
        ({"umask": "9"}, "octal"),
        ({"share": "ruby"}, '"python"'),
        ({"hooks": {"before": "x"}}, "unknown key"),
        ({"name": "a\nb"}, "printable"),
        ({"exec_mode": "thread"}, '"fork" or "cluster"'),
        ({"log_file": True}, "no default folder"),
        ({"port": 99999}, "65535"),
        ({"overlap": "both"}, '"skip"'),
        ({"schedule": "99 99 * * *"}, "no cron expression"),
        ({"cron_restart": "0 0 31 2 *"}, "no cron expression"),
        ({"schedule": "0 3 * * *", "timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"max_age": "3s"}, "longer than listen_timeout"),
    ],
)
def test_nonsense_is_refused(keys: dict[str, Any], message: str) -> None:
    """Each with what would be right."""
    (line,) = wrong(**keys)
    assert message in line


def test_a_small_bare_duration_is_a_warning() -> None:
    """It is read as PM2 reads it."""
    ecosystem = read({"script": "/bin/a", "name": "api", "kill_timeout": 30}, language="json")
    assert ecosystem.apps[0].kill_timeout == 0.03
    assert 'app "api": kill_timeout = 30: a bare number is milliseconds' in ecosystem.warnings[0]


def test_smoke_checks_and_alerts() -> None:
    """Top-level lists, checked like everything else."""
    ecosystem = read(
        {"script": "/bin/a"},
        top={
            "smoke": ["http:3000/health", {"exec": "true", "name": "ok"}],
            "alerts": [{"restarts_per_hour": 10, "exec": "mail x"}],
        },
    )
    assert [check.name for check in ecosystem.smoke] == ["http http://127.0.0.1:3000/health", "ok"]
    assert ecosystem.alerts[0].restarts_per_hour == 10
    lines = refused({"script": "/bin/a"}, top={"smoke": [{"name": "x"}], "alerts": [{"exec": "x"}]})
    assert "smoke[0]" in lines[0]
    assert "alerts[0]" in lines[1]


def test_keys_beside_the_apps() -> None:
    """A restart_delay beside the apps has no effect; that is an error in TOML and a warning elsewhere."""
    assert "belongs into an app" in refused({"script": "/bin/a"}, top={"restart_delay": 5})[0]
    ecosystem = read({"script": "/bin/a"}, language="json", top={"restart_delay": 5, "aps": []})
    assert "belongs into an app" in ecosystem.warnings[0]
    assert "unknown key" in ecosystem.warnings[1]


def test_hooks_may_stand_beside_hooks() -> None:
    """Bare, or in the table, or both; the bare one counts."""
    found = app(pre_start="./migrate --all", hooks={"pre_start": "no", "on_exit": ["./tell", "a b"]}).hooks
    assert {name: hook.command for name, hook in found.items()} == {
        "pre_start": ("./migrate", "--all"),
        "on_exit": ("./tell", "a b"),
    }
    (line,) = wrong(post_stop={"command": "x", "timeuot": "1s"})
    assert "post_stop.timeuot" in line


def test_real_time_signals_are_signals() -> None:
    """By name, by number, and on the runtime's own table."""
    low = signal.SIGRTMIN.value
    assert app(kill_signal="SIGRTMIN+3").kill_signal == low + 3
    assert app(kill_signal=low + 1).kill_signal == low + 1
    runtime = read({"script": "/bin/true"}, top={"runtime": {"signals": {"RTMIN+1": "term"}}}).runtime
    assert runtime.signals == {"SIGRTMIN+1": "SIGTERM"}
    (line,) = wrong(kill_signal="SIGTREM")
    assert "did you mean SIGTERM?" in line


def test_a_long_value_is_quoted_with_its_end() -> None:
    """The end of a path says most."""
    path = "/opt/" + "long/" * 30 + "missing.js"
    (line,) = refused({"script": path}, must_exist=True)
    assert f'"{path}"' in line
    (line,) = refused({"script": "/opt/" + "long/" * 300 + "missing.js"}, must_exist=True)
    assert "long/missing.js" in line
    assert len(line) < 1000
