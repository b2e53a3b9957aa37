"""Laying a file, or variables, over what runs: `reload FILE`, `restart APP --update-env`."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.control.http.messages import Answer, Refusal, Request, Response, as_json
from pidone.control.http.router import Access, Route
from pidone.control.operations import Operations
from pidone.control.targets import Target
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.errors import ListenError
from pidone.record import EMPTY
from pidone.supervise.run.reread import FileRequest
from pidone.supervise.run.session import Parts

UNUSABLE: Final = 422
"""Status: the file is wrong, and nothing was changed."""
_LAYS: Final = ("start", "restart", "reload")
_VERBS: Final = (*_LAYS, "stop", "delete")


class Applying:
    """Answers POST /api/apply."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        """Act by `operations` on who has not changed."""
        self._parts = parts
        self._does = operations

    def routes(self) -> list[Route]:
        """The one."""
        summary = "Lay a file, or variables, over what runs."
        return [Route("POST", "/api/apply", Access.LOCAL, self.apply, summary, "Applied", "Apply")]

    def apply(self, request: Request) -> Answer:
        """`{"verb": "reload", "file": "x.toml", "cwd": "/app", ...}`, or `"target"` in place of the file.

        Apps that differ from what runs get their new spec, new ones are started, and the verb is done to the
        others; `stop` and `delete` change no spec. Apps that the file does not name stay as they are. The
        caller's `environ` counts while the file is read and for new apps; with `update_env`, for all of its.
        """
        document = request.document()
        verb = document.get("verb")
        if verb not in _VERBS:
            raise Refusal(400, f"verb: expected one of {', '.join(_VERBS)}")
        environ = _texts(document.get("environ") or {})
        if (target := document.get("target")) is not None:
            targets = self._does.targets(_text(target, "target"))
            apps = list(dict.fromkeys(each.app for each in targets))
            specs = [_inheriting(app.wanted.aim, environ) for app in apps]
            return self._laid(request, verb, specs, ())
        only = document.get("only") or []
        if not isinstance(only, list):
            raise Refusal(400, "only: expected a list of names")
        env_name = document.get("env_name")
        asked = FileRequest(
            file=_text(document.get("file"), "file"),
            cwd=_text(document.get("cwd"), "cwd"),
            env_name=None if env_name is None else _text(env_name, "env_name"),
            only=tuple(_text(name, "only") for name in only),
            environ=environ,
        )
        return self._read_and_lay(request, verb, asked, updates_env=document.get("update_env") is True)

    async def _read_and_lay(
        self, request: Request, verb: str, asked: FileRequest, *, updates_env: bool
    ) -> Response:
        reading: asyncio.Future[Ecosystem | str] = asyncio.get_running_loop().create_future()

        def arrived(outcome: Ecosystem | str) -> None:
            if not reading.done():  # the client may have gone
                reading.set_result(outcome)

        self._parts.read_file(asked, arrived, arrived)
        found = await reading
        if isinstance(found, str):
            raise Refusal(UNUSABLE, found)
        present = self._parts.supervisor.apps
        specs = [
            _inheriting(spec, asked.environ, spec.env) if updates_env or spec.key() not in present else spec
            for spec in found.apps
        ]
        return self._laid(request, verb, specs, (*found.warnings, *found.notices))

    def _laid(self, request: Request, verb: str, specs: Sequence[AppSpec], notes: Sequence[str]) -> Response:
        self._does.check_running()
        supervisor = self._parts.supervisor
        names = ", ".join(spec.name for spec in specs) or None
        self._parts.ledger.asked(f"apply {verb}", request.peer, app=names)
        present = [spec.key() for spec in specs if spec.key() in supervisor.apps]
        if verb in _LAYS:
            try:
                added, changed = supervisor.lay_over(specs, at_once=verb != "reload")
            except ListenError as error:
                raise Refusal(409, str(error)) from None
        else:
            added, changed = [], []
        same = [key for key in present if key not in added and key not in changed]
        self._do(verb, [Target(supervisor.apps[key]) for key in same])
        supervisor.reconcile()  # what this request wished for begins before it is answered
        how = dict.fromkeys(added, "added") | dict.fromkeys(changed, "changed") | dict.fromkeys(same, "same")
        shown: list[dict[str, Any]] = [
            {"namespace": namespace, "name": name, "how": word} for (namespace, name), word in how.items()
        ]
        return as_json({"apps": shown, "notes": list(notes)})

    def _do(self, verb: str, targets: Sequence[Target]) -> None:
        does = self._does
        verbs = {
            "start": does.start,
            "restart": does.restart,
            "reload": does.reload,
            "stop": does.stop,
            "delete": does.delete,
        }
        verbs[verb](targets)


def _inheriting(spec: AppSpec, environ: Mapping[str, str], over: Mapping[str, str] = EMPTY) -> AppSpec:
    """The same app with the caller's variables laid over its own, and `over` over those."""
    old = {**os.environ, **spec.env}
    new = {name: value for name, value in {**environ, **over}.items() if old.get(name) != value}
    return spec.but(env={**spec.env, **new}) if new else spec


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise Refusal(400, f"{key}: expected a text")
    return value


def _texts(value: object) -> Mapping[str, str]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return value
    raise Refusal(400, "environ: expected an object of texts")
