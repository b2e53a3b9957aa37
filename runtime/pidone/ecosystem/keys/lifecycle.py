"""From the start of a process to its end: readiness, restarts, stop and replacement."""

from typing import Final

from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.spec import KillMode, OnReadyTimeout, OnWaitTimeout
from pidone.ecosystem.values import kinds, network, tables

START: Final = KeyGroup(
    "When it starts",
    (
        Key("autostart", kinds.BOOL, "Start with the runtime."),
        Key(
            "depends_on",
            tables.DEPENDS_ON,
            'Apps that come first: names, or `{db = "ready"}` with `started`, `ready` or `completed`.',
            ours=True,
            default="none",
        ),
        Key(
            "wait_for",
            network.SERVICES,
            "Outside services that must answer before it starts: `tcp://db:5432`, "
            "`http://search:9200/_health`, `https://...`, `unix:///run/x.sock`, `file:///shared/ready`.",
            ours=True,
            default="none",
        ),
        Key(
            "wait_for_timeout",
            kinds.DURATION,
            "How long they may take, from when everything in `depends_on` is there; 0 is for ever.",
            ours=True,
        ),
        Key("wait_for_interval", network.WAIT_INTERVAL, "Time between two looks.", ours=True),
        Key(
            "on_wait_timeout",
            kinds.choice("fail", "start", enum=OnWaitTimeout),
            "What follows when they took too long: the app is given up, or starts nevertheless.",
            ours=True,
        ),
        Key(
            "wait_ready",
            kinds.BOOL,
            "PM2's way of `ready = \"ipc\"`: wait for `process.send('ready')`.",
            default="false",
        ),
        Key(
            "ready",
            network.READY,
            "How an instance tells that it can work: `notify`, `ipc`, `listen`, `log:REGEX`, `http:/path`, "
            "`tcp:PORT`, `exec:COMMAND`, `fd:N`, `none`, or a table.",
            ours=True,
            default="`listen` in clusters and where `PORT` is known, else still alive after `ready_delay`",
        ),
        Key(
            "ready_delay",
            kinds.DURATION,
            "Without a report, an instance is ready when it has lived this long.",
            ours=True,
        ),
        Key(
            "listen_timeout",
            kinds.DURATION,
            "Longest wait for readiness; time in the queue of a processor does not count.",
        ),
        Key(
            "reload_timeout",
            kinds.DURATION,
            "Longest wait for the readiness of a replacement: its predecessor serves meanwhile. Counts as "
            "`listen_timeout` does.",
            ours=True,
        ),
        Key(
            "on_ready_timeout",
            kinds.choice("online", "fail", enum=OnReadyTimeout),
            "Whether an instance that never reported counts as online (as in PM2) or has failed.",
            ours=True,
        ),
        Key(
            "health",
            network.HEALTH,
            "Probe that watches an online instance and replaces it after `failures` in a row.",
            ours=True,
            default="none",
        ),
    ),
)

KEPT_UP: Final = KeyGroup(
    "How it is kept up",
    (
        Key("autorestart", kinds.BOOL, "Start again when it ends."),
        Key("max_restarts", kinds.integer(0, 2**31), "Unstable ends in a row after which it is given up."),
        Key("min_uptime", kinds.DURATION, "An end before this is unstable."),
        Key(
            "restart_window",
            kinds.DURATION,
            "Turns `max_restarts` into restarts within this time.",
            ours=True,
            default="none",
        ),
        Key("restart_delay", kinds.DURATION, "Wait before each restart."),
        Key(
            "exp_backoff_restart_delay",
            kinds.DURATION,
            "First wait of a back-off that grows by half each time.",
        ),
        Key("max_restart_delay", kinds.DURATION, "Longest wait of the back-off.", ours=True),
        Key("stop_exit_codes", tables.EXIT_CODES, "Exit codes after which it is not started again."),
        Key("success_exit_codes", tables.EXIT_CODES, "Exit codes that mean a job is completed.", ours=True),
        Key(
            "essential",
            kinds.BOOL,
            "When it ends for good the container ends, with its exit code.",
            ours=True,
        ),
    ),
)

STOP: Final = KeyGroup(
    "How it is stopped and replaced",
    (
        Key(
            "kill_signal",
            kinds.SIGNAL,
            "Signal that asks it to stop.",
            ("stop_signal",),
            ours=True,
            default="`SIGTERM`, or what a [known program](docker.md#stopsignal) wants; `SIGINT` under the "
            "name pm2-runtime",
        ),
        Key(
            "kill_timeout",
            kinds.DURATION,
            "How long it may take to stop before SIGKILL.",
            default="`8s`; `1600ms` under the name pm2-runtime",
        ),
        Key(
            "die_with_runtime",
            kinds.BOOL,
            "Whether it is stopped, as `kill_mode` says, when a runtime that is not process 1 was killed.",
            ours=True,
        ),
        Key(
            "kill_mode",
            kinds.choice("mixed", "tree", "process", enum=KillMode),
            "Who gets `kill_signal`: `mixed` the main process, and SIGTERM what it leaves behind; `tree` "
            "its descendants too, children first; `process` the main process alone, descendants live on.",
            ours=True,
            default="`mixed`; `tree` under the name pm2-runtime",
        ),
        Key("treekill", kinds.BOOL, 'PM2\'s: false is `kill_mode = "process"`.', default="true"),
        Key("shutdown_with_message", kinds.BOOL, 'Ask by the IPC message `"shutdown"` instead of a signal.'),
        Key(
            "drain_timeout",
            kinds.DURATION,
            "Longest drain before the stop. Unset, drain and stop share `kill_timeout`.",
            ours=True,
            default="3/4 of `kill_timeout`",
        ),
        Key(
            "hang_timeout",
            kinds.DURATION,
            "A worker that makes no progress for so long is replaced, start before stop; 0 is never.",
            ours=True,
            default="`30s` for Node and Python servers in a cluster",
        ),
        Key(
            "max_surge", kinds.integer(1, 1000), "How many instances a reload replaces at a time.", ours=True
        ),
        Key(
            "settle_time",
            kinds.DURATION,
            "How long a new process serves beside the old one before that one leaves: it gets warm, and one "
            "that dies by then calls the reload off.",
            ours=True,
        ),
    ),
)
