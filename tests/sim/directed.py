"""Histories that somebody has met: each was a failure once, and is played before those by chance."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sim.programs import MIB
from sim.setups import BROKEN, FAT, JOB, SLOW, Setup, port_of
from sim.steps import Step

from pidone.ecosystem.spec import (
    AppSpec,
    Dependency,
    Ecosystem,
    ExecMode,
    Hook,
    Listen,
    Readiness,
    RuntimeSpec,
)

History: TypeAlias = tuple[Setup, tuple[Step, ...]]

_SHARED: Final[Mapping[str, Any]] = {"exec_mode": ExecMode.CLUSTER, "ready": Readiness(ipc=True)}
_PORT: Final = (Listen(name="http", port=80),)


def _app(name: str, *, program: str = "/bin/app", version: str = "v0", **keys: Any) -> AppSpec:
    return AppSpec(name=name, argv=(program, version), args=(version,), cwd=f"/{name}", **keys)


def _needs(*names: str) -> tuple[Dependency, ...]:
    return tuple(Dependency(app=name) for name in names)


def _history(
    *steps: tuple[Any, ...],
    files: list[list[AppSpec]],
    probe: int = 3,
    delay: float = 0.0,
    trouble: float = 0.0,
) -> History:
    """`probe` says what is tried at rest: 0 a reload, 1 a leak, 2 a changed file, 3 nothing but time.

    `delay` is `shutdown_delay`. With `trouble`, `probe` is a seed as well, by which programs live.
    """
    runtime = RuntimeSpec(shutdown_delay=delay)
    versions = tuple(Ecosystem(apps=tuple(apps), cpus=2, runtime=runtime) for apps in files)
    setup = Setup(seed=probe, trouble=trouble, versions=versions)
    return setup, tuple(Step(after, what, args) for after, what, *rest in steps for args in (tuple(rest),))


def directed() -> dict[str, History]:
    """All of them, by what they are about."""
    db, api = _app("db"), _app("api", listen=_PORT, depends_on=_needs("db"))
    swapped = [
        _app("web"),
        _app("api", program=BROKEN, version="v1", listen=_PORT, depends_on=_needs("web")),
    ]
    three = _app("api", instances=3, **_SHARED)
    changed = _app("api", version="v1", instances=3, **_SHARED)
    limited = _app("api", program=FAT, ready=Readiness(ipc=True), max_memory_restart=100 * MIB)
    slow_end: Mapping[str, Any] = {"drain_timeout": 20.0, "kill_timeout": 3.0}
    drained = _app("api", instances=2, depends_on=_needs("db"), **slow_end, **_SHARED)
    hooked = _app("api", program=SLOW, listen=_PORT, hooks={"pre_start": Hook(command=("/bin/pre_start",))})
    shared, broken = _app("db", **_SHARED), (BROKEN, "v1")
    own_start = _app("db", autostart=False)
    own_port = [_app("db", instances=2, kill_timeout=2.0), _app("web", depends_on=_needs("db"))]
    given = [own_port[0].but(listen=(Listen(name="http", port=port_of("db")),)), own_port[1]]
    called = [given[0].but(name="db2"), _app("web", depends_on=_needs("db2"))]
    return {
        "a file drops a dependency and its dependent fails to change": _history(
            (2.0, "file", 1),
            (5.0, "stop_whole"),
            files=[[db, api], [_app("api", program=BROKEN, version="v1", listen=_PORT)]],
        ),
        "two apps swap their depends_on and one fails to change": _history(
            (2.0, "file", 1),
            (5.0, "stop_whole"),
            files=[[_app("web", depends_on=_needs("api")), _app("api", listen=_PORT)], swapped],
        ),
        "the last instance is stopped by its number": _history(
            (2.0, "verb", "stop", "api:0"), (5.0, "verb", "start", "api:0"), files=[[_app("api")]]
        ),
        "a reload of one slot, a changed file, and that slot scaled away": _history(
            (2.0, "verb", "reload", "api:2"),
            (0.1, "file", 1),
            (0.1, "verb", "scale", "api", 1),
            (0.5, "verb", "reload", "api"),
            files=[[three], [changed]],
            probe=0,
        ),
        "stopped, and reloaded while it stops": _history(
            (2.0, "verb", "stop", "api"),
            (0.0, "verb", "reload", "api"),
            files=[[_app("api", watch=(".",), max_memory_restart=100 * MIB)]],
            probe=1,
        ),
        "given up for its size, and restarted": _history(
            (60.0, "verb", "restart", "api"),
            (5.0, "reset", "api"),
            files=[[limited, _app("db")]],
            probe=1,
        ),
        "a drain that takes longer than the stop, down a chain": _history(
            (2.0, "stubborn", "api"), (1.0, "stop_whole"), files=[[db, drained]]
        ),
        "a cluster that listens later than listen_timeout": _history(
            (10.0, "reset", "api"), files=[[_app("api", program=SLOW, **_SHARED)]], probe=0
        ),
        "two ask for an action at once": _history(
            (2.0, "trigger", "api", "slow", "fast"), (20.0, "reset", "api"), files=[[_app("api", **_SHARED)]]
        ),
        "another main process, while the old one lives": _history(
            (2.0, "hand_over", "api"),
            (1.0, "reset", "api"),
            files=[[_app("api", ready=Readiness(notify=True))]],
        ),
        "stopped, and changed in the file while it stops": _history(
            (2.0, "verb", "stop", "db"),
            (0.0, "file", 1),
            files=[[_app("db")], [_app("db", version="v1")]],
        ),
        "started by a person, and changed in the file": _history(
            (2.0, "verb", "start", "db"),
            (2.0, "file", 1),
            files=[[own_start, _app("web")], [own_start.but(argv=("/bin/app", "v1")), _app("web")]],
        ),
        "scaled down and up again before the old one has gone": _history(
            (2.0, "verb", "scale", "db", 1),
            (0.0, "verb", "scale", "db", 3),
            files=[[_app("db", instances=3)]],
        ),
        "deleted, and named again by the file before it has gone": _history(
            (2.0, "verb", "delete", "db"), (0.0, "file", 0), files=[[_app("db"), _app("web")]]
        ),
        "too old for its time, while everything stops": _history(
            (2.0, "stubborn", "api"),
            (1.0, "stop_whole"),
            files=[[_app("db", max_age=5.0), _app("api", depends_on=_needs("db"))]],
        ),
        "a slot is replaced while a hook runs before its start": _history(
            (0.02, "verb", "reload", "api:1"),
            (5.0, "reset", "api"),
            files=[[hooked.but(listen=(), instances=2)]],
            probe=0,
        ),
        "a slot is scaled away that an exchange was told to leave stopped": _history(
            (1.0, "verb", "scale", "web", 4),
            (0.0, "file", 1),
            (0.1, "verb", "stop", "web:2"),
            files=[[_app("web")], [_app("web", version="v1")]],
        ),
        "all that an exchange is scaled down to was stopped, and the file is read again": _history(
            (3.0, "verb", "stop", "web:0"),
            (1.0, "stubborn", "web"),
            (0.0, "file", 1),
            (1.0, "verb", "scale", "all", 1),
            (0.0, "file", 1),
            files=[
                [_app("web", instances=3, kill_timeout=8.0)],
                [_app("web", version="v1", instances=3, kill_timeout=8.0)],
            ],
        ),
        "a slot is asked for that was scaled away in the same turn": _history(
            (0.1, "verb", "scale", "api", 1),
            (0.0, "verb", "reload", "api:2"),
            (0.0, "file", 0),
            files=[[_app("api", instances=3, autostart=False), _app("web")]],
        ),
        "everything stops while a successor is all there is of a slot": _history(
            (0.1, "verb", "restart", "api:0"),
            (0.0, "verb", "start", "web:2"),
            (0.0, "verb", "reload", "api"),
            (0.1, "stop_whole"),
            files=[[hooked, _app("web", instances=3, depends_on=_needs("api"))]],
        ),
        "files cannot be watched when that begins": _history(
            (2.0, "break_next", "spawn", 2),
            (0.0, "verb", "start", "db"),
            files=[[_app("db", watch=(".",), autostart=False), _app("web")]],
            probe=2,
        ),
        "the last app is deleted, and the end of its hook is heard late": _history(
            (5.0, "verb", "delete", "db"),
            (0.1, "hold", 1.0),
            files=[[_app("db", hooks={"post_stop": Hook(command=("/bin/post_stop",))})]],
        ),
        "one slot is stopped, and the other waits for what gave up": _history(
            (2.0, "file", 1),
            (0.0, "verb", "stop", "api"),
            (0.0, "verb", "reload", "api:0"),
            files=[
                [_app("db"), _app("api", instances=2)],
                [
                    _app("db", program=BROKEN, version="v2"),
                    _app("api", instances=2, depends_on=_needs("db")),
                ],
            ],
        ),
        "called otherwise after a change that failed, and that file once more": _history(
            (2.0, "file", 1),
            (2.0, "file", 2),
            (1.0, "file", 2),
            files=[
                [shared],
                [shared.but(argv=broken, args=broken[1:])],
                [shared.but(name="web", argv=broken, args=broken[1:])],
            ],
        ),
        "stopped, called otherwise, and as before, while it still ends": _history(
            (2.0, "verb", "stop", "db"),
            (0.0, "file", 1),
            (0.0, "file", 0),
            files=[[shared], [shared.but(name="web")]],
        ),
        "called otherwise, and it ends while everything is about to stop": _history(
            (2.0, "file", 1),
            (0.3, "crash", "db", 0, 1),
            (0.0, "stop_whole"),
            files=[[shared.but(restart_delay=1.0)], [shared.but(name="web", restart_delay=1.0)]],
            delay=4.0,
        ),
        "one asks for more time at the stop, and another waits for its end": _history(
            (2.0, "stubborn", "db"),
            (0.0, "stubborn", "web"),
            (0.0, "stop_whole"),
            (1.0, "extend", "db"),
            files=[[_app("web"), _app("db", kill_timeout=2.0, depends_on=_needs("web"))]],
        ),
        "a port of its own comes into the file, and a reload before the old ones have gone": _history(
            (2.0, "stubborn", "db"),
            (0.0, "file", 1),
            (0.5, "verb", "reload", "db"),
            (0.5, "verb", "reload", "db:1"),
            files=[own_port, given],
            probe=0,
        ),
        "a port of its own comes into the file, and a stop and a start before that is bound": _history(
            (2.0, "stubborn", "db"),
            (0.0, "file", 1),
            (0.5, "verb", "stop", "db"),
            (0.5, "verb", "start", "db"),
            (5.0, "verb", "stop", "db:0"),
            files=[own_port, given],
        ),
        "a port of its own comes into the file, goes and comes again while the old ones end": _history(
            (2.0, "stubborn", "db"),
            (0.0, "file", 1),
            (0.5, "file", 0),
            (0.2, "file", 1),
            (0.1, "file", 1),
            files=[own_port, given],
            probe=0,
        ),
        "a port of its own comes into the file, and goes again when that was bound": _history(
            (2.0, "file", 1),
            (0.1, "verb", "scale", "db", 3),
            (5.0, "file", 0),
            (0.1, "file", 1),
            files=[own_port, given],
            probe=0,
        ),
        "a port of its own comes into the file, and it cannot be bound at first": _history(
            (2.0, "file", 1),
            (0.05, "break_next", "bind", 2),
            (5.0, "reset", "db"),
            files=[own_port, given],
            probe=0,
        ),
        "a port of its own comes into the file, and everything stops before that is bound": _history(
            (2.0, "stubborn", "db"),
            (0.0, "file", 1),
            (0.5, "stop_whole"),
            (0.2, "verb", "reload", "db"),
            files=[own_port, given],
        ),
        "a port of its own comes into the file under another name, and that file once more": _history(
            (2.0, "stubborn", "db"),
            (0.0, "file", 1),
            (0.5, "verb", "reload", "db2"),
            (0.5, "file", 0),
            (0.2, "file", 1),
            files=[own_port, called],
            probe=0,
        ),
        "a main process that was named ends unseen, after a look at everybody in the same turn": _history(
            (0.3, "crash", "web", 0, 1),
            (0.0, "verb", "reload", "all"),
            (0.0, "stall", 0.5),
            files=[[_app("db", instances=3), _app("web", program=JOB, kill_timeout=0.5)]],
            probe=7577,
            trouble=1.0,
        ),
    }
