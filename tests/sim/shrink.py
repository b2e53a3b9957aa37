"""Makes a failing history small: fewer steps, apps and keys, while the same kind of failure stays."""

from collections.abc import Iterator
from typing import Final

from sim.history import Result, play
from sim.setups import Setup
from sim.steps import Step

from pidone.ecosystem.spec import AppSpec, Ecosystem, RuntimeSpec

_KEPT: Final = ("name", "argv", "args", "cwd")
MOST_TRIES: Final = 600


def shrink(setup: Setup, steps: tuple[Step, ...]) -> tuple[Setup, tuple[Step, ...], Result]:
    """The smallest history that was found to fail in the same way."""
    best = (setup, steps, play(setup, steps))
    wanted = _kind(best[2])
    tries = 0
    found = True
    while found and tries < MOST_TRIES:
        found = False
        for candidate in _smaller(best[0], best[1]):
            tries += 1
            result = play(*candidate)
            if _kind(result) == wanted:
                best, found = (*candidate, result), True
                break
            if tries >= MOST_TRIES:
                break
    return best


def _kind(result: Result) -> tuple[str, str]:
    if not result.violations:
        return ("", "")
    first = result.violations[0]
    return (first.what, first.text.strip().rpartition("\n")[2][:20] if first.what == "raised" else "")


def _smaller(setup: Setup, steps: tuple[Step, ...]) -> Iterator[tuple[Setup, tuple[Step, ...]]]:
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield setup, (*steps[:start], *steps[start + size :])
        size //= 2
    for number in range(len(setup.versions) - 1, 0, -1):
        versions = (*setup.versions[:number], *setup.versions[number + 1 :])
        yield setup.but(versions=versions), _renumbered(steps, number)
    for simpler in (*_fewer_apps(setup), *_fewer_keys(setup)):
        yield simpler, steps
    for position, step in enumerate(steps):
        if step.after:
            yield setup, (*steps[:position], step.but(after=0.0), *steps[position + 1 :])


def _fewer_apps(setup: Setup) -> Iterator[Setup]:
    for name in _names(setup):
        without = tuple(_without(version, name) for version in setup.versions)
        if all(version.apps for version in without):
            yield setup.but(versions=without)


def _fewer_keys(setup: Setup) -> Iterator[Setup]:
    if setup.trouble:
        yield setup.but(trouble=0.0)
    for key, value in RuntimeSpec().as_dict().items():
        if any(getattr(version.runtime, key) != value for version in setup.versions):
            runtime = setup.versions[0].runtime.but(**{key: value})
            yield setup.but(versions=tuple(version.but(runtime=runtime) for version in setup.versions))
    for name in _names(setup):
        for key, value in AppSpec(name="", argv=()).as_dict().items():
            changed = tuple(_with(version, name, key, value) for version in setup.versions)
            is_changed = any(one is not other for one, other in zip(changed, setup.versions, strict=True))
            if key not in _KEPT and is_changed:
                yield setup.but(versions=changed)


def _names(setup: Setup) -> list[str]:
    return sorted({app.name for version in setup.versions for app in version.apps})


def _renumbered(steps: tuple[Step, ...], gone: int) -> tuple[Step, ...]:
    def one(step: Step) -> Step:
        number = step.args[0] if step.what == "file" else 0
        if not isinstance(number, int) or number < gone or step.what != "file":
            return step
        return step.but(args=(number - 1,))

    return tuple(one(step) for step in steps)


def _without(version: Ecosystem, name: str) -> Ecosystem:
    return version.but(
        apps=tuple(
            app.but(depends_on=tuple(each for each in app.depends_on if each.app != name))
            for app in version.apps
            if app.name != name
        )
    )


def _with(version: Ecosystem, name: str, key: str, value: object) -> Ecosystem:
    if all(app.name != name or getattr(app, key) == value for app in version.apps):
        return version
    return version.but(
        apps=tuple(app.but(**{key: value}) if app.name == name else app for app in version.apps)
    )


def described(setup: Setup, steps: tuple[Step, ...]) -> str:
    """For people: what the history consists of."""
    lines = [f"seed {setup.seed}, trouble {setup.trouble:g}"]
    plain = AppSpec(name="", argv=()).as_dict()
    for number, version in enumerate(setup.versions):
        runtime = {
            key: value
            for key, value in version.runtime.as_dict().items()
            if value != getattr(RuntimeSpec(), key)
        }
        lines.append(f"file {number}:" + (f" runtime {runtime}" if runtime else ""))
        for app in version.apps:
            keys = {
                key: value
                for key, value in app.as_dict().items()
                if key not in ("name", "args", "cwd") and value != plain[key]
            }
            lines.append(f"  {app.name}: " + ", ".join(f"{key}={value!s}" for key, value in keys.items()))
    return "\n".join([*lines, *(f"  {step}" for step in steps)])
