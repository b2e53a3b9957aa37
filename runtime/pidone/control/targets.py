"""What a person means by a target: an app, one instance of it, PM2's id, a namespace, or all."""

from collections.abc import Callable, Iterable

from pidone.control.http.messages import Refusal
from pidone.ecosystem.spec import AppSpec
from pidone.record import Record
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance

ALL = "all"


class Target(Record):
    """An app, or one of its instances."""

    app: App
    index: int | None = None

    @property
    def instances(self) -> list[Instance]:
        """The instances that are meant."""
        if self.index is None:
            return list(self.app.instances.values())
        instance = self.app.instances.get(self.index)  # it may have been scaled away meanwhile
        return [] if instance is None else [instance]


def resolve(text: str, apps: Iterable[App], pm_id: Callable[[AppSpec, int], int]) -> list[Target]:
    """Everything `text` means; a name comes first. Raises Refusal (404) with the known names.

    Never taken apart at a slash: a name may have one, as npm's `@scope/package`.
    """
    known = list(apps)
    found = (
        [Target(app) for app in known if text == _whole_name(app)]
        or [Target(app) for app in known if text in (app.name, app.spec.called)]
        or ([Target(app) for app in known] if text == ALL else [])
        or _by_index(text, known)
        or _by_id(text, known, pm_id)
        or [Target(app) for app in known if app.spec.namespace == text]
    )
    if not found and not (text == ALL and not known):
        names = sorted({app.name for app in known} | {app.spec.namespace for app in known} | {ALL})
        raise Refusal(404, f"there is no app {text!r}", known=names)
    return found


def _whole_name(app: App) -> str:
    """With its namespace a name means one app; alone also others that a PM2 file calls the same."""
    return f"{app.spec.namespace}/{app.name}"


def _by_index(text: str, apps: list[App]) -> list[Target]:
    name, colon, index = text.rpartition(":")
    if not colon or not _is_number(index):
        return []
    which = int(index)
    return [
        Target(app, which) for app in apps if name in (app.name, _whole_name(app)) and which in app.instances
    ]


def _by_id(text: str, apps: list[App], pm_id: Callable[[AppSpec, int], int]) -> list[Target]:
    if not _is_number(text):
        return []
    return [
        Target(app, index) for app in apps for index in app.instances if pm_id(app.spec, index) == int(text)
    ]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
