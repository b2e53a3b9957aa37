"""The OpenAPI 3.1 description of the API: made from the routes, served at /api/openapi.json.

Imported only when somebody asks.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pidone.control.answers.views import WORDS
from pidone.control.history.marks import KINDS
from pidone.control.http.messages import EVENTS, JSON, TEXT
from pidone.control.http.router import Access, Route

_NULLABLE_INT: Final = {"type": ["integer", "null"]}
_NULLABLE_NUMBER: Final = {"type": ["number", "null"]}
_NULLABLE_STRING: Final = {"type": ["string", "null"]}
_STRING: Final = {"type": "string"}
_BOOL: Final = {"type": "boolean"}
_INT: Final = {"type": "integer"}
_NUMBER: Final[Mapping[str, Any]] = {"type": "number"}


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(description: str, schema: object) -> dict[str, Any]:
    return {"description": description, "oneOf": [{"type": "null"}, schema]}


def _optional(required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": [required], "properties": properties}


_WHY: Final = {**_STRING, "description": "Why it is not as it is wanted, for people; empty if it is."}
_ADVICE: Final = {**_STRING, "description": "What to do about that; empty if nothing has to be done."}
_LOOK: Final = _or_null(
    "What the probe saw last; null: it has not looked.", _object(problem=_NULLABLE_STRING, failures=_INT)
)
_LINES: Final = {"cpu_percent": _array(_NULLABLE_NUMBER), "memory_bytes": _array(_NULLABLE_NUMBER)}

_SCHEMAS: Final[Mapping[str, Any]] = {
    "Error": _optional("error", error=_STRING, known=_array(_STRING)),
    "Instance": _object(
        index=_INT,
        id=_INT,
        state={"enum": list(WORDS)},
        ready=_BOOL,
        pid=_NULLABLE_INT,
        incarnation=_INT,
        restarts=_INT,
        unstable=_INT,
        uptime_s=_NULLABLE_NUMBER,
        cpu_percent=_NULLABLE_NUMBER,
        memory_bytes=_NULLABLE_INT,
        processes=_NULLABLE_INT,
        threads=_NULLABLE_INT,
        status_text=_STRING,
        actions={
            **_array(_STRING),
            "description": "What it has announced that it can be asked to do (`trigger`).",
        },
        last_exit={
            "type": ["object", "null"],
            "properties": {"code": _NULLABLE_INT, "signal": _NULLABLE_INT},
        },
        flapping=_STRING,
        gave_up=_BOOL,
        why=_WHY,
        advice=_ADVICE,
    ),
    "App": _object(
        name=_STRING,
        called={
            **_STRING,
            "description": "What a PM2 file calls it: several apps may have the same.",
        },
        namespace=_STRING,
        state={"enum": list(WORDS)},
        ready=_BOOL,
        wanted=_BOOL,
        exec_mode={"enum": ["fork", "cluster"]},
        script=_STRING,
        interpreter=_STRING,
        cwd=_STRING,
        autorestart=_BOOL,
        essential=_BOOL,
        watch=_BOOL,
        depends_on=_array(_object(app=_STRING, condition=_STRING)),
        listen=_array(_STRING),
        restarts=_INT,
        scale=_INT,
        leaving=_INT,
        refused={**_NULLABLE_STRING, "description": "Why a process of it may not be signalled."},
        overlaps=_BOOL,
        reload={
            "type": ["object", "null"],
            "properties": {
                "state": {"enum": ["running", "done", "failed"]},
                "message": _STRING,
                "down_s": {
                    "type": "number",
                    "description": "How long a slot was down, at most; 0 where old and new overlap.",
                },
                "cut": {
                    **_NULLABLE_INT,
                    "description": "Connections that were open when their processes ended; null: not known.",
                },
            },
        },
        why=_WHY,
        advice=_ADVICE,
        instances=_array(_ref("Instance")),
    ),
    "Apps": _object(apps=_array(_ref("App"))),
    "Details": _object(
        name=_STRING,
        namespace=_STRING,
        probes=_object(ready=_NULLABLE_STRING, health=_NULLABLE_STRING),
        command={**_array(_STRING), "type": ["array", "null"], "description": "On the unix socket only."},
        launch=_or_null(
            "What PM2's list tells of the command line and the log files; likewise.",
            _object(
                args=_array(_STRING),
                interpreter_args=_array(_STRING),
                files=_array(_object(out=_NULLABLE_STRING, error=_NULLABLE_STRING, log=_NULLABLE_STRING)),
            ),
        ),
        rights={"type": "object", "description": "As configured; null is as the runtime has it."},
        memory=_object(
            limit_bytes=_NULLABLE_INT,
            soft_limit_bytes=_NULLABLE_INT,
            soft_action=_STRING,
            scope={"enum": ["tree", "process"]},
            interval_s=_NUMBER,
            samples=_INT,
        ),
        times=_object(
            schedule=_NULLABLE_STRING,
            cron_restart=_NULLABLE_STRING,
            timezone=_NULLABLE_STRING,
            overlap=_NULLABLE_STRING,
            next_run={"type": ["string", "null"], "format": "date-time"},
            max_age_s=_NULLABLE_NUMBER,
        ),
        watch=_array(_STRING),
        hooks=_array(_STRING),
        preload=_NULLABLE_STRING,
        instances=_array(
            _object(
                index=_INT,
                pid=_NULLABLE_INT,
                reason=_NULLABLE_STRING,
                probes=_object(ready=_LOOK, health=_LOOK),
                zygote=_or_null(
                    "The process that it is forked from (`preload`).",
                    _object(
                        pid=_NULLABLE_INT,
                        state={"enum": ["importing", "ready", "refused", "gone"]},
                        reason=_NULLABLE_STRING,
                        import_s=_NUMBER,
                        forks=_INT,
                    ),
                ),
                rights={"type": ["object", "null"], "description": "As the kernel has it."},
                memory=_object(
                    main_rss_bytes=_NULLABLE_INT, tree_rss_bytes=_NULLABLE_INT, pss_bytes=_NULLABLE_INT
                ),
                age_left_s=_NULLABLE_NUMBER,
            )
        ),
    ),
    "Described": _object(
        apps=_array(_ref("App")), details=_array(_ref("Details")), events=_array({"type": "object"})
    ),
    "Overview": _object(
        version=_STRING,
        pid=_INT,
        uptime_s=_NUMBER,
        phase=_STRING,
        ready=_BOOL,
        draining=_BOOL,
        source=_NULLABLE_STRING,
        cpus=_INT,
        apps=_array(_STRING),
        warnings=_array(
            _object(timestamp=_STRING, event=_STRING, app=_NULLABLE_STRING, message=_STRING, advice=_STRING)
        ),
        orphans_reaped=_INT,
        shutdown_delay_s=_NUMBER,
        may_act=_BOOL,
        start=_or_null(
            "How it was started; on the unix socket only.", _object(name=_STRING, words=_INT, cwd=_STRING)
        ),
    ),
    "History": _object(
        step_s={**_NUMBER, "description": "What a point stands for: mean CPU, greatest memory."},
        until={**_NUMBER, "description": "When the last point ended, in seconds since 1970."},
        apps=_array(
            {
                **_object(name=_STRING, namespace=_STRING, **_LINES),
                "description": "All instances together; null is where no process was.",
            }
        ),
        container=_object(
            **_LINES,
            throttled_percent=_array(_NULLABLE_NUMBER),
            pressure=_object(
                cpu=_array(_NULLABLE_NUMBER), memory=_array(_NULLABLE_NUMBER), io=_array(_NULLABLE_NUMBER)
            ),
        ),
        marks=_array(
            _object(
                at=_NUMBER,
                kind={"enum": list(KINDS)},
                app=_NULLABLE_STRING,
                namespace=_NULLABLE_STRING,
                instance=_NULLABLE_INT,
                text=_STRING,
                count={**_INT, "description": "How often it happened within a minute."},
            )
        ),
        omitted={**_INT, "description": "Instances for which there was no room."},
    ),
    "Text": _STRING,
    "Object": {"type": "object"},
    "Records": _object(records=_array(_STRING)),
    "Reached": _object(reached=_INT),
    "Replies": _object(replies=_array({"type": "object"})),
    "Scale": _object(
        instances={
            "oneOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^([+-]?\d{1,4}|max)$"},
            ]
        }
    ),
    "Apply": _optional(
        "verb",
        verb={"enum": ["start", "restart", "reload", "stop", "delete"]},
        file={**_STRING, "description": "As typed in `cwd`; the runtime reads it."},
        cwd=_STRING,
        target={**_STRING, "description": "In place of the file: apps that get other variables."},
        env_name=_NULLABLE_STRING,
        only=_array(_STRING),
        environ={"type": "object", "additionalProperties": _STRING},
        update_env=_BOOL,
    ),
    "Applied": _object(
        apps=_array(_object(namespace=_STRING, name=_STRING, how={"enum": ["added", "changed", "same"]})),
        notes=_array(_STRING),
    ),
    "Signal": _object(signal={"type": ["string", "integer"]}),
    "Message": {"oneOf": [_object(line=_STRING), _object(message={})]},
    "Action": _optional("action", action={**_STRING, "minLength": 1, "maxLength": 200}, parameter={}),
}
"""What routes name as their `reply` and `body`."""

_TARGET: Final = {
    "name": "target",
    "in": "path",
    "required": True,
    "description": "An app, `app:index`, `namespace/app`, PM2's id, a namespace, or `all`.",
    "schema": {"type": "string", "minLength": 1},
}
_YES: Final = {"enum": ["0", "1"]}
_QUERIES: Final[Mapping[str, tuple[str, Any]]] = {
    "verbose": ("Say which app.", _STRING),
    "pss": ("Measure PSS as well; on the unix socket only.", _YES),
    "lines": ("How many of the last ones.", {"type": "integer", "minimum": 0}),
    "app": ("Only these targets, separated by commas.", _STRING),
    "follow": ("Go on with what comes, as a stream.", _YES),
    "err": ("Only errors.", _YES),
    "points": ("How many points at most.", {"type": "integer", "minimum": 1, "maximum": 360}),
    "since": ("A duration such as `10m`, or a time.", _STRING),
    "until": ("Likewise.", _STRING),
    "level": ("This level and above.", {"enum": ["trace", "debug", "info", "warning", "error", "fatal"]}),
    "events": ("0: without the runtime's own events.", _YES),
}


def document(version: str, routes: Iterable[Route]) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        item = paths.setdefault(route.path, {"parameters": [_TARGET]} if "{target}" in route.path else {})
        item[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pidone",
            "version": version,
            "description": "Full control on the unix socket; on TCP reading only, and acting with the token.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(_SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    content = {
        each.partition(";")[0]: {} if each == EVENTS else {"schema": _ref(route.reply)}
        for each in route.content
    }
    responses = {"200": {"description": "Done.", "content": content}}
    if route.content == (TEXT,):
        responses["503"] = {"description": "No.", "content": content}
    error = {"description": "Refused.", "content": {JSON: {"schema": _ref("Error")}}}
    made: dict[str, Any] = {
        "summary": route.summary,
        "parameters": [_query(name) for name in route.query],
        "responses": {**responses, **dict.fromkeys(_errors(route), error)},
    }
    if route.access is Access.ACT:
        made["security"] = [{}, {"token": []}]
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(route.body)}}}
    return made


def _errors(route: Route) -> Iterator[str]:
    """How it may be refused."""
    asks = {"lines", "points"} & set(route.query)
    if route.access is Access.ACT or route.body is not None or asks:
        yield "400"
    if route.access is not Access.READ:
        yield "403"
    is_about_apps = "{target}" in route.path or "app" in route.query or route.body is not None
    if route.access is Access.ACT or is_about_apps:
        yield "404"
    if route.access is Access.ACT or route.body is not None:
        yield "409"
    if route.body is not None:
        yield "413"
    yield "414"
    if route.reply == "Applied":
        yield "422"
    yield "431"


def _query(name: str) -> dict[str, Any]:
    description, schema = _QUERIES[name]
    return {"name": name, "in": "query", "description": description, "schema": schema}
