"""Why the container ended abnormally, where Kubernetes looks for it (`kubectl describe pod`)."""

import json
import os
from contextlib import suppress
from typing import Final

from pidone.ecosystem.programs.remote import mount_of
from pidone.ecosystem.spec import Seconds
from pidone.places import open_to_overwrite
from pidone.supervise.ending import Ending

PATH: Final = "/dev/termination-log"
"""Kubernetes' default `terminationMessagePath`; PIDONE_TERMINATION_LOG names another one."""
LIMIT: Final = 4096
"""Bytes that the kubelet reads."""
_PATIENCE_S: Final[Seconds] = 1.0
"""Where it is on a file system that may not answer: the end does not wait for it."""
_MOST_PER_CHARACTER: Final = 12
"""Bytes of a character in JSON: two escapes of surrogates."""


def leave_message(ending: Ending) -> None:
    """Write a short JSON object, if the file is there; nowhere but in Kubernetes is it."""
    path = os.environ.get("PIDONE_TERMINATION_LOG", PATH)
    # Not created: outside of Kubernetes there is no such file, and /dev is no place for one.
    text = _as_json(ending).encode()
    with suppress(OSError):
        if mount := mount_of(path):
            from pidone.init.aside import ASIDE  # noqa: PLC0415 (few file systems may hang)

            ASIDE.ask(mount, lambda: _write(path, text), patience=_PATIENCE_S)
        else:
            _write(path, text)


def _write(path: str, text: bytes) -> None:
    with open(open_to_overwrite(path), "wb") as file:
        file.write(text)


def _as_json(ending: Ending) -> str:
    """In ASCII; a message that is too long is cut, and the rest stays JSON."""
    known = {"reason": ending.reason, "code": int(ending.code), "app": ending.app}
    fields = {key: value for key, value in known.items() if value is not None}
    message = shown = ending.message[:LIMIT]
    while len(text := json.dumps({**fields, "message": shown})) > LIMIT and message:
        excess = len(text) - LIMIT
        message = message[: -max(excess // _MOST_PER_CHARACTER, 1)]
        shown = f"{message} ..."
    return text
