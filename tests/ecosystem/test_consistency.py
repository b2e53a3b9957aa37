"""What can only be wrong between apps."""

from typing import Any

import pytest
from ecosystem.documents import read, refused

from pidone.ecosystem.spec import Dependency


def sample(name: str, **keys: Any) -> dict[str, Any]:
    """An app that needs no program."""
    return {"name": name, "script": "/bin/true", **keys}


def test_a_name_used_twice() -> None:
    """Names are unique within a namespace."""
    lines = refused(sample("a"), sample("b"), sample("a"))
    assert lines == ['ecosystem.toml: app "a": the name is used twice (app #1 has it too)']
    assert len(read(sample("a"), sample("a", namespace="other")).apps) == 2


def test_an_unknown_dependency() -> None:
    """With the nearest name."""
    (line,) = refused(sample("api", depends_on=["dbb"]), sample("db"))
    assert line == 'ecosystem.toml: app "api": depends_on = "dbb": there is no such app; did you mean "db"?'


@pytest.mark.parametrize(
    ("apps", "circle"),
    [
        ({"a": ["a"]}, "a -> a"),
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a"),
    ],
)
def test_a_circle_is_shown(apps: dict[str, list[str]], circle: str) -> None:
    """The way round, from the first app that is met."""
    (line,) = refused(*(sample(name, depends_on=on) for name, on in apps.items()))
    assert line.endswith(f"depends_on goes in a circle: {circle}")


def test_a_diamond_is_no_circle() -> None:
    """Two ways to the same app are fine, also in an ecosystem of hundreds."""
    read(
        sample("a", depends_on=["b", "c"]),
        sample("b", depends_on=["d"]),
        sample("c", depends_on=["d"]),
        sample("d"),
    )
    read(*(sample(f"a{n}", depends_on=[f"a{n + 1}"] if n < 999 else []) for n in range(1000)))


def test_waiting_for_what_never_completes() -> None:
    """`completed` of an app that always restarts is a warning."""
    ecosystem = read(sample("api", depends_on={"migrate": "completed"}), sample("migrate"))
    assert "restarts for ever" in ecosystem.warnings[0]
    assert not read(sample("api", depends_on={"m": "completed"}), sample("m", autorestart=False)).warnings


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (3000, 3000, True),
        (3000, "127.0.0.1:3000", True),
        ("127.0.0.1:3000", "127.0.0.2:3000", False),
        ("[::]:3000", "0.0.0.0:3000", False),
        ("[::]:3000", "[::1]:3000", True),
        (3000, "3000/udp", False),
        (0, 0, False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
    ],
)
def test_a_port_claimed_twice(one: Any, other: Any, collide: bool) -> None:  # noqa: FBT001
    """Found before anything is opened."""
    apps = sample("a", listen=one), sample("b", listen=other)
    if collide:
        (line,) = refused(*apps)
        assert 'app "b": listen = ' in line
        assert 'claimed by app "a" too' in line
    else:
        read(*apps)


def test_a_part_of_the_apps() -> None:
    """--only keeps what it names; a dependency it leaves out is not waited for, which is said."""
    ecosystem = read(sample("a", depends_on=["b", "c"]), sample("b"), sample("c"), only=("c", "a"))
    assert [app.name for app in ecosystem.apps] == ["a", "c"]
    assert ecosystem.apps[0].depends_on == (Dependency(app="c"),)
    assert "depends on b, which --only leaves out" in ecosystem.warnings[0]
    assert refused(sample("api"), only=("apo",)) == [
        'ecosystem.toml: --only "apo": there is no such app; did you mean "api"?'
    ]


def test_nothing_to_run() -> None:
    """An ecosystem without apps cannot be used."""
    assert refused() == ["ecosystem.toml: there is no app to run"]


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ({"termination_grace": "30s"}, ""),
        ({"termination_grace": "12s"}, ""),
        ({"termination_grace": "11s"}, "a stop may take 11s and 1s to clear up, but the container is killed"),
        ({"termination_grace": "12s", "shutdown_delay": "1s"}, "a stop may take 12s"),
        ({"termination_grace": "6s", "shutdown_timeout": "5s"}, ""),
        ({"termination_grace": "5s", "shutdown_timeout": "5s"}, "a stop may take 5s"),
        ({"shutdown_timeout": "5s", "shutdown_delay": "4s"}, ""),
        ({"shutdown_timeout": "5s", "shutdown_delay": "5s"}, "shutdown_timeout = 5s is over before the apps"),
        (
            {"termination_grace": "14s", "hooks": {"pre_stop": {"command": "true", "timeout": "3s"}}},
            "may take 16s",
        ),
    ],
)
def test_a_stop_that_is_cut_short(runtime: dict[str, Any], said: str) -> None:
    """By the runtime, whose time is up before the apps are told, or by the engine, which waits no longer."""
    warnings = read(sample("a", kill_timeout="10s"), sample("b"), top={"runtime": runtime}).warnings
    assert [said in warning for warning in warnings] == [True] * bool(said)


def test_the_defaults_fit_docker() -> None:
    """Eight seconds for each app, the whole a second later, and ten until Docker kills."""
    assert not read(sample("a"), top={"runtime": {"termination_grace": "10s"}}).warnings


def test_the_grace_may_come_from_the_environment() -> None:
    """Beside the number it repeats, in the manifest; what the file says has precedence."""
    environ = {"PATH": "/bin", "PIDONE_TERMINATION_GRACE": "5s"}
    assert read(sample("a"), environ=environ).runtime.termination_grace == 5.0
    written = {"runtime": {"termination_grace": "40s"}}
    assert read(sample("a"), environ=environ, top=written).runtime.termination_grace == 40.0
    (line,) = refused(sample("a"), environ={**environ, "PIDONE_TERMINATION_GRACE": "soon"})
    assert 'runtime: PIDONE_TERMINATION_GRACE = "soon": expected' in line


def test_fields_of_the_whole_are_fields_of_every_app() -> None:
    """`log_fields` in [runtime] lie under those of an app."""
    whole = {"runtime": {"log_fields": {"pod": "p1", "node": "n1"}}}
    one, other = read(sample("a", log_fields={"node": "mine"}), sample("b"), top=whole).apps
    assert one.log_fields == {"pod": "p1", "node": "mine"}
    assert other.log_fields == {"pod": "p1", "node": "n1"}
