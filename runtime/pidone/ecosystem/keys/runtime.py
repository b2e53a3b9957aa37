"""The keys of the `[runtime]` table."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.spec import OnWaitTimeout
from pidone.ecosystem.values import kinds, network, tables

RUNTIME_GROUP: Final = KeyGroup(
    "The runtime itself",
    (
        Key(
            "shutdown_timeout",
            kinds.DURATION,
            "The whole stop, all apps, `shutdown_delay` included.",
            default="the longest `kill_timeout` and one second",
        ),
        Key(
            "shutdown_delay", kinds.DURATION, "After SIGTERM keep serving this long before the apps are told."
        ),
        Key(
            "unready_on_stop",
            kinds.BOOL,
            "`/readyz` fails from SIGTERM on; `false`: only when `shutdown_delay` is over.",
        ),
        Key(
            "termination_grace",
            kinds.DURATION,
            "How long the engine waits between SIGTERM and SIGKILL (Kubernetes: "
            "`terminationGracePeriodSeconds` less preStop): a warning tells if a stop may take longer.",
            default="`PIDONE_TERMINATION_GRACE`",
        ),
        Key("start_delay", kinds.DURATION, "Wait before the apps start."),
        Key(
            "wait_for",
            network.SERVICES,
            "Outside services that every app waits for: `tcp://db:5432`, `http://search:9200/_health`, "
            "`https://...`, `unix:///run/x.sock`, `file:///shared/ready`.",
            default="none",
        ),
        Key("wait_for_timeout", kinds.DURATION, "How long they may take before an app; 0 is for ever."),
        Key("wait_for_interval", network.WAIT_INTERVAL, "Time between two looks."),
        Key(
            "on_wait_timeout",
            kinds.choice("fail", "start", enum=OnWaitTimeout),
            "What follows when they took too long: apps are given up, or start nevertheless.",
        ),
        Key("auto_exit", kinds.BOOL, "Exit when nothing is left to run."),
        Key(
            "signals",
            tables.SIGNALS,
            "What a signal does: `stop`, `reload`, `forward`, `reopen` (the log files), `ignore`, or "
            "another signal's name to forward.",
            default="none",
        ),
        Key(
            "log_format",
            kinds.choice(
                "auto", "json", "text", "raw", "logfmt", "ecs", "gcp", "pm2", "pm2-format", "pm2-formatted"
            ),
            "How records look; `auto` is text on a terminal, else json.",
        ),
        Key(
            "log_level",
            kinds.choice("debug", "info", "warning", "error", "quiet"),
            "Lowest level of the runtime's own events.",
        ),
        Key(
            "admin",
            network.ADDRESS,
            "`HOST:PORT` of the read-only HTTP side: probes, metrics, dashboard.",
            default="off",
        ),
        Key(
            "admin_token_file",
            kinds.STRING,
            "File with the token that lets the HTTP side act.",
            default="none",
        ),
        Key(
            "socket",
            kinds.STRING,
            "Path of the control socket, or `@NAME` of one without a file; `none` for none.",
            default="the first writable place, else `@NAME`",
        ),
        Key(
            "pm2_rpc",
            kinds.BOOL,
            "Answer PM2's own client (`require('pm2')`, npm's `pm2`) at its sockets in `$PM2_HOME`.",
            default="false; true under the name pm2-runtime",
        ),
        Key(
            "memory_guard",
            kinds.LIMIT,
            "Container-wide use above which the largest instance is replaced.",
            default="off",
        ),
        Key(
            "watch_config",
            kinds.BOOL,
            "Apply the file again when it, or what it includes, changes, as SIGHUP does; also a ConfigMap.",
        ),
        Key(
            "log_fields",
            tables.FIELDS,
            "Fields added to each record of every app, and to the runtime's own.",
            default="none",
        ),
        Key("hooks", tables.HOOKS, "As of an app, for the whole.", default="none"),
    ),
)

_PATHS: Final = ("socket", "admin_token_file")


def paths_in(runtime: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths in a `[runtime]` table, with their keys; neither `none` nor a socket's `@NAME` is one."""
    for key in _PATHS:
        value = runtime.get(key, "none")
        if isinstance(value, str) and value != "none" and not (key == "socket" and value.startswith("@")):
            yield key, value
