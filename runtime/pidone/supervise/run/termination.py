"""Why the container ended abnormally, where Kubernetes looks for it (`kubectl describe pod`)."""

import json
import os
from contextlib import suppress
from typing import Final

from pidone.places import open_to_overwrite
from pidone.supervise.ending import Ending

PATH: Final = "/dev/termination-log"
"""Kubernetes' default `terminationMessagePath`; PIDONE_TERMINATION_LOG names another one."""
LIMIT: Final = 4096
"""Bytes that the kubelet reads."""
_MOST_PER_CHARACTER: Final = 12
"""Bytes of a character in JSON: two escapes of surrogates."""


def leave_message(ending: Ending) -> None:
    """Write a short JSON object, if the file is there; nowhere but in Kubernetes is it."""
    path = os.environ.get("PIDONE_TERMINATION_LOG", PATH)
    # Not created: outside of Kubernetes there is no such file, and /dev is no place for one.
    with suppress(OSError), open(open_to_overwrite(path), "wb") as file:
        file.write(_as_json(ending).encode())


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
