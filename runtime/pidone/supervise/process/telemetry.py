"""Who an instance is for OpenTelemetry (`otel = true`): each app a service, each slot an instance of it.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has the variables,
https://opentelemetry.io/docs/specs/otel/resource/sdk/ the escapes of their values.
"""

from collections.abc import Mapping
from typing import Final

from pidone.contracts import InstanceId

NAME: Final = "OTEL_SERVICE_NAME"
ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
_SERVICE: Final = "service.name"
_INSTANCE: Final = "service.instance.id"
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@")


def identity(env: Mapping[str, str], who: InstanceId, host: str) -> dict[str, str]:
    """The variables that are to be laid over `env`: what somebody has said there is left as it is.

    An instance is HOST:APP:INDEX. It keeps that name over restarts, so that its series go on, and `host` (the
    container's name, which engines make unique) tells it from its like in other containers.
    """
    given = env.get(ATTRIBUTES, "").strip().strip(",")
    known = {pair.partition("=")[0].strip() for pair in given.split(",")}
    laid = {}
    if not env.get(NAME) and _SERVICE not in known:
        laid[NAME] = who.app
    if _INSTANCE not in known:
        app = who.app if who.namespace == "default" else f"{who.namespace}/{who.app}"
        pair = f"{_INSTANCE}={_escaped(f'{host}:{app}:{who.index}')}"
        laid[ATTRIBUTES] = f"{given},{pair}" if given else pair
    return laid


def _escaped(text: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())
