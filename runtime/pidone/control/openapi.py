"""The OpenAPI 3.1 description of the API, served at /api/openapi.json; imported only when somebody asks."""

from collections.abc import Mapping
from typing import Any, Final

from pidone.control.views import STATES

_NULLABLE_INT: Final = {"type": ["integer", "null"]}
_NULLABLE_NUMBER: Final = {"type": ["number", "null"]}
_NULLABLE_STRING: Final = {"type": ["string", "null"]}
_STRING: Final = {"type": "string"}
_BOOL: Final = {"type": "boolean"}
_INT: Final = {"type": "integer"}


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS: Final[Mapping[str, Any]] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": _STRING, "known": {"type": "array", "items": _STRING}},
    },
    "Instance": _object(
        index=_INT,
        id=_INT,
        state={"enum": [str(state) for state in STATES]},
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
        last_exit={
            "type": ["object", "null"],
            "properties": {"code": _NULLABLE_INT, "signal": _NULLABLE_INT},
        },
        gave_up=_BOOL,
    ),
    "App": _object(
        name=_STRING,
        namespace=_STRING,
        state={"enum": [str(state) for state in STATES]},
        ready=_BOOL,
        wanted=_BOOL,
        exec_mode={"enum": ["fork", "cluster"]},
        script=_STRING,
        cwd=_STRING,
        autorestart=_BOOL,
        essential=_BOOL,
        watch=_BOOL,
        depends_on=_array(_object(app=_STRING, condition=_STRING)),
        listen=_array(_STRING),
        restarts=_INT,
        scale=_INT,
        leaving=_INT,
        reload={
            "type": ["object", "null"],
            "properties": {"state": {"enum": ["running", "done", "failed"]}, "message": _STRING},
        },
        instances=_array(_ref("Instance")),
    ),
    "Apps": _object(apps=_array(_ref("App"))),
    "Details": _object(
        name=_STRING,
        namespace=_STRING,
        command={**_array(_STRING), "type": ["array", "null"], "description": "On the unix socket only."},
        rights={"type": "object", "description": "As configured; null is as the runtime has it."},
        memory=_object(
            limit_bytes=_NULLABLE_INT,
            soft_limit_bytes=_NULLABLE_INT,
            soft_action=_STRING,
            scope={"enum": ["tree", "process"]},
            interval_s={"type": "number"},
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
        instances=_array(
            _object(
                index=_INT,
                pid=_NULLABLE_INT,
                reason=_NULLABLE_STRING,
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
        uptime_s={"type": "number"},
        phase=_STRING,
        ready=_BOOL,
        draining=_BOOL,
        source={"type": ["string", "null"]},
        cpus=_INT,
        apps=_array(_STRING),
        orphans_reaped=_INT,
        shutdown_delay_s={"type": "number"},
        may_act=_BOOL,
        start={
            "description": "How it was started; on the unix socket only.",
            "oneOf": [{"type": "null"}, _object(name=_STRING, words=_INT, cwd=_STRING)],
        },
    ),
}

_TARGET: Final = {
    "name": "target",
    "in": "path",
    "required": True,
    "description": "An app, `app:index`, `namespace/app`, PM2's id, a namespace, or `all`.",
    "schema": {"type": "string", "minLength": 1},
}


def _query(name: str, description: str, schema: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_LINES: Final = _query("lines", "How many of the last ones.", {"type": "integer", "minimum": 0})
_APP: Final = _query("app", "Only this app.", _STRING)
_FOLLOW: Final = _query("follow", "Go on with what comes, as a stream.", {"enum": ["0", "1"]})
_BODIES: Final[Mapping[str, Any]] = {
    "scale": _object(
        instances={
            "oneOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^([+-]?\d{1,4}|max)$"},
            ]
        }
    ),
    "signal": _object(signal={"type": ["string", "integer"]}),
    "send": {"oneOf": [_object(line=_STRING), _object(message={})]},
    "trigger": {
        "type": "object",
        "required": ["action"],
        "properties": {"action": {"type": "string", "minLength": 1, "maxLength": 200}, "parameter": {}},
    },
}
_VERBS: Final = {
    "start": "Start what does not run.",
    "stop": "Stop it; the runtime stays.",
    "restart": "End it and start it afresh, all instances at once.",
    "reload": "Replace its instances one by one, each new one ready before its old one leaves.",
    "reset": "Count restarts anew.",
    "delete": "Stop it and forget it.",
    "flush": "Forget the records that are kept of it.",
    "scale": "Change the number of instances.",
    "signal": "Send a signal to the main processes.",
    "send": "Write a line to stdin, or send an IPC message.",
    "trigger": "Run an action of the app and collect the replies.",
}
_OTHER_REPLIES: Final = {
    "send": _object(reached=_INT),
    "trigger": _object(replies=_array({"type": "object"})),
}


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pidone",
            "version": version,
            "description": "Full control on the unix socket; on TCP reading only, and acting with the token.",
        },
        "paths": {
            "/livez": {"get": _text("The runtime's loop turns.")},
            "/readyz": {
                "get": _text(
                    "Every app that must be ready is, and no stop was asked for.",
                    _query("verbose", "Say which app.", _STRING),
                )
            },
            "/startupz": {"get": _text("Everything has been ready at least once.")},
            "/metrics": {"get": _content("OpenMetrics.", "application/openmetrics-text")},
            "/": {"get": _content("The dashboard.", "text/html")},
            "/api": {"get": _get("The runtime itself.", _ref("Overview"))},
            "/api/openapi.json": {"get": _get("This.", {"type": "object"})},
            "/api/apps": {"get": _get("Every app.", _ref("Apps"))},
            "/api/apps/{target}": {
                "parameters": [_TARGET],
                "get": {
                    **_get("Everything about a target, and what happened to it.", _ref("Described"), 404),
                    "parameters": [
                        _query("pss", "Measure PSS as well; on the unix socket only.", {"enum": ["0", "1"]})
                    ],
                },
                "delete": _action(_VERBS["delete"], _ref("Apps")),
            },
            "/api/apps/{target}/env": {
                "parameters": [_TARGET],
                "get": _get("Its variables, masked; on the unix socket only.", {"type": "object"}, 403, 404),
            },
            **{
                f"/api/apps/{{target}}/{verb}": {
                    "parameters": [_TARGET],
                    "post": _action(text, _OTHER_REPLIES.get(verb, _ref("Apps")), _BODIES.get(verb)),
                }
                for verb, text in _VERBS.items()
            },
            "/api/events": {"get": _stream("Events of the runtime.", _LINES, _APP)},
            "/api/logs": {
                "get": {
                    "summary": "The last records, and those to come.",
                    "parameters": [
                        _LINES,
                        _APP,
                        _FOLLOW,
                        _query("err", "Only errors.", {"enum": ["0", "1"]}),
                        _query("since", "A duration such as `10m`, or a time.", _STRING),
                    ],
                    "responses": {
                        "200": {
                            "description": "As JSON, or as a stream with `follow=1`.",
                            "content": {
                                "application/json": {"schema": _object(records=_array(_STRING))},
                                "text/event-stream": {},
                            },
                        },
                        **_errors(400, 404),
                    },
                }
            },
            "/api/logs/reopen": {"post": _action("Open the log files anew.", _ref("Overview"))},
            "/api/drain": {"post": _action("Be ready no more; a stop will follow.", _ref("Overview"))},
        },
        "components": {
            "schemas": dict(_SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _errors(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(status): {"description": "Refused.", "content": content} for status in statuses}


def _get(summary: str, schema: object, *errors: int) -> dict[str, Any]:
    good = {"description": "Found.", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "responses": {"200": good, **_errors(*errors)}}


def _action(summary: str, schema: object, body: object = None) -> dict[str, Any]:
    good = {"description": "Begun.", "content": {"application/json": {"schema": schema}}}
    made: dict[str, Any] = {
        "summary": summary,
        "security": [{}, {"token": []}],
        "responses": {"200": good, **_errors(400, 403, 404, 409)},
    }
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def _text(summary: str, *parameters: object) -> dict[str, Any]:
    content = {"text/plain": {"schema": _STRING}}
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "Yes.", "content": content},
            "503": {"description": "No.", "content": content},
        },
    }


def _content(summary: str, content_type: str) -> dict[str, Any]:
    content = {content_type: {"schema": _STRING}}
    return {"summary": summary, "responses": {"200": {"description": "Now.", "content": content}}}


def _stream(summary: str, *parameters: object) -> dict[str, Any]:
    content: dict[str, Any] = {"text/event-stream": {}}
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "Until the client goes.", "content": content},
            **_errors(400),
        },
    }
