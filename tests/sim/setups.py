"""Ecosystems by chance, and the versions of their file."""

from random import Random
from typing import Any, Final

from sim.programs import MIB

from pidone.ecosystem.spec import (
    AppSpec,
    Condition,
    Dependency,
    Ecosystem,
    ExecMode,
    Hook,
    Listen,
    OnReadyTimeout,
    Overlap,
    Readiness,
    RuntimeSpec,
)
from pidone.record import Record

NAMES: Final = ("db", "api", "web", "job")
AGAIN: Final = "2"
"""The end of the other name that an app may have."""
BROKEN: Final = "/bin/broken"
"""A program that ends with 1 as soon as it starts."""
FAT: Final = "/bin/fat"
"""A program that does not fit its memory limit."""
JOB: Final = "/bin/job"
"""A program that ends when its work is done."""
SLOW: Final = "/bin/slow"
"""A program that says that it is ready, but later than `listen_timeout`."""
SLOW_READY: Final = 4.0
"""Seconds; longer than the default `listen_timeout`."""


class Setup(Record, kw_only=True):
    """What a world begins with."""

    seed: int
    trouble: float
    """How much goes wrong, from 0 to 1."""
    versions: tuple[Ecosystem, ...]
    """Of the file; the first is there at the start."""


def setup_of(seed: int, random: Random) -> Setup:
    """The setup of a seed."""
    runtime = RuntimeSpec(
        shutdown_delay=random.choice((0.0, 0.0, 0.0, 2.0)),
        shutdown_timeout=random.choice((None, None, None, None, 5.0)),
        auto_exit=random.random() < 0.8,
        hooks=_hooks(random, ("pre_start", "post_start", "pre_stop", "post_stop", "on_exit"), 0.04),
    )
    count = random.choice((1, 1, 2, 2, 3, 4))
    apps = [_app(name, random) for name in NAMES[:count]]
    apps = _connected(apps, random)
    versions = [apps]
    for number in range(1, random.choice((2, 2, 3, 4))):
        versions.append(_changed(versions[-1], number, random))
    return Setup(
        seed=seed,
        trouble=random.choice((0.0, 0.3, 0.6, 1.0)),
        versions=tuple(Ecosystem(apps=tuple(apps), runtime=runtime, cpus=2) for apps in versions),
    )


def _app(name: str, random: Random) -> AppSpec:
    keys: dict[str, Any] = {}
    kind = random.choice(("fork", "fork", "cluster", "cluster", "listen", "job", "schedule"))
    program = JOB if kind in ("job", "schedule") else SLOW if random.random() < 0.1 else "/bin/app"
    if kind == "cluster":
        keys |= {"exec_mode": ExecMode.CLUSTER, "ready": Readiness(ipc=True)}
    elif kind == "listen":
        keys |= {"listen": _port(name), "ready": Readiness(ipc=random.random() < 0.5)}
    elif kind in ("job", "schedule"):
        keys |= {"autorestart": False}
        if kind == "schedule":
            keys |= {"schedule": "* * * * * */20", "overlap": random.choice(tuple(Overlap))}
            keys |= {"timezone": "UTC"}
    if kind != "schedule":
        keys["instances"] = random.choice((1, 1, 2, 3))
    if kind in ("fork", "cluster", "listen"):
        keys |= _features(random)
    keys |= {
        "kill_timeout": random.choice((0.5, 2.0, 8.0)),
        "drain_timeout": random.choice((None, None, 1.0, 20.0)),
        "settle_time": random.choice((0.0, 0.5)),
        "max_surge": random.choice((1, 1, 1, 2, 0)),
        "ready_delay": random.choice((0.0, 0.5, 1.0)),
        "restart_delay": random.choice((0.0, 0.0, 0.1, 2.0)),
        "exp_backoff_restart_delay": random.choice((0.0, 0.0, 0.1)),
        "max_restarts": random.choice((1, 3, 16)),
        "restart_window": random.choice((None, None, 10.0)),
        "min_uptime": random.choice((0.2, 1.0)),
        "stop_exit_codes": random.choice(((), (), (7,))),
        "autostart": random.random() < 0.93,
        "essential": random.random() < 0.04,
        "shutdown_with_message": random.random() < 0.15,
        "on_ready_timeout": random.choice(
            (OnReadyTimeout.ONLINE, OnReadyTimeout.ONLINE, OnReadyTimeout.FAIL)
        ),
        "hooks": _hooks(
            random, ("pre_start", "post_start", "pre_stop", "post_stop", "on_exit", "on_give_up"), 0.05
        ),
    }
    if program == SLOW:
        keys["on_ready_timeout"] = OnReadyTimeout.ONLINE
        keys["ready"] = Readiness(ipc=True)
    return AppSpec(name=name, argv=(program, "v0"), args=("v0",), cwd=f"/{name}", **keys)


def port_of(name: str) -> int:
    """Which port an app has, whatever it is called."""
    return 8000 + NAMES.index(name.removesuffix(AGAIN))


def _port(name: str) -> tuple[Listen, ...]:
    return (Listen(name="http", port=port_of(name)),)


def _other_port(app: AppSpec) -> AppSpec:
    """The same with a port in the file instead of one that it binds itself, or the other way round."""
    return app if app.exec_mode is ExecMode.CLUSTER else app.but(listen=() if app.listen else _port(app.name))


def _features(random: Random) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if random.random() < 0.15:
        keys["max_memory_restart"] = 100 * MIB
    if random.random() < 0.08:
        keys["max_age"] = random.choice((5.0, 20.0))
    if random.random() < 0.06:
        keys |= {"cron_restart": "*/15 * * * * *", "timezone": "UTC"}
    if random.random() < 0.1:
        keys["watch"] = (".",)
    return keys


def _hooks(random: Random, points: tuple[str, ...], chance: float) -> dict[str, Hook]:
    return {
        point: Hook(command=(f"/bin/{point}",), timeout=random.choice((0.5, 3.0)))
        for point in points
        if random.random() < chance
    }


def _connected(apps: list[AppSpec], random: Random) -> list[AppSpec]:
    """Later ones depend on earlier ones, in an order by chance: no circle."""
    order = list(apps)
    random.shuffle(order)
    depends: dict[str, tuple[Dependency, ...]] = {}
    for position, app in enumerate(order):
        before = [other for other in order[:position] if random.random() < 0.4]
        depends[app.name] = tuple(
            Dependency(app=other.name, condition=_condition(other, random)) for other in before
        )
    return [app.but(depends_on=depends[app.name]) for app in apps]


def _condition(app: AppSpec, random: Random) -> Condition:
    if not app.autorestart and app.schedule is None:
        return random.choice((Condition.COMPLETED, Condition.STARTED))
    return random.choice((Condition.READY, Condition.READY, Condition.STARTED))


_CHANGES: Final = (
    *("args", "args", "broken", "back", "remove", "add", "rename"),
    *("count", "order", "keys", "port"),
)


def _changed(apps: list[AppSpec], number: int, random: Random) -> list[AppSpec]:
    """The next version of the file."""
    changed = list(apps)
    for _ in range(random.choice((1, 1, 2, 3))):
        what = random.choice(_CHANGES)
        index = random.randrange(len(changed))
        app = changed[index]
        if what in ("args", "broken"):
            program = BROKEN if what == "broken" else app.argv[0]
            changed[index] = app.but(argv=(program, f"v{number}"), args=(f"v{number}",))
        elif what == "back":
            first = app.argv[0] if app.argv[0] != BROKEN else "/bin/app" if app.autorestart else JOB
            changed[index] = app.but(argv=(first, "v0"), args=("v0",))
        elif what == "remove" and len(changed) > 1:
            del changed[index]
            changed = [_without(other, app.name) for other in changed]
        elif what == "add" and len(changed) < len(NAMES):
            present = {other.name.removesuffix(AGAIN) for other in changed}
            name = next(name for name in NAMES if name not in present)
            changed.append(_app(name, random))
        elif what == "count" and app.schedule is None:
            changed[index] = app.but(instances=random.choice((1, 2, 3)))
        elif what == "rename":
            changed = _renamed(changed, app.name)
        elif what == "order":
            changed = _connected(changed, random)
        elif what in ("keys", "port") and app.autorestart:
            changed[index] = app.but(**_features(random)) if what == "keys" else _other_port(app)
    return changed


def _renamed(apps: list[AppSpec], old: str) -> list[AppSpec]:
    new = old.removesuffix(AGAIN) if old.endswith(AGAIN) else old + AGAIN
    found = []
    for app in apps:
        needs = tuple(each.but(app=new) if each.app == old else each for each in app.depends_on)
        found.append(app.but(name=new if app.name == old else app.name, depends_on=needs))
    return found


def _without(app: AppSpec, gone: str) -> AppSpec:
    left = tuple(dependency for dependency in app.depends_on if dependency.app != gone)
    return app if len(left) == len(app.depends_on) else app.but(depends_on=left)
