"""The catalogue of keys: every key with its kind, its aliases and what it does, by the question it answers.

A key's name is its canonical spelling. Where `AppSpec` or `RuntimeSpec` has such a field, the resolved
value goes there and the field's default is the key's.
"""

from typing import Final, NamedTuple

from runtime.ecosystem import fragments, kinds, probes, rights, tables, watching
from runtime.ecosystem.spec import Balance, ExecMode, MemoryScope, OnReadyTimeout, Overlap
from runtime.ecosystem.values import Kind


class Key(NamedTuple):
    """One key: how it is spelt, what it may hold, what it does."""

    name: str
    kind: Kind
    doc: str
    aliases: tuple[str, ...] = ()
    ours: bool = False
    """Not known to PM2."""
    default: str = ""
    """In words, where the field's default does not say it."""


class Group(NamedTuple):
    """Keys that answer one question, in the order of the reference page."""

    title: str
    keys: tuple[Key, ...]


ENV: Final = Kind(
    "table of variables",
    tables.parse_environment,
    fragments.VARIABLES,
)

APP_GROUPS: Final = (
    Group(
        "What runs",
        (
            Key(
                "script",
                kinds.STRING,
                "The program: a path (looked up in `cwd`, then in PATH), a command of PATH, or a "
                "shell command if it "
                "holds blanks. `npm start` and its like run the package.json script directly where "
                "that is simple.",
                ("exec", "cmd", "command"),
                default="required",
            ),
            Key("args", kinds.WORDS, "Its arguments. Text is split on blanks, quotes are honoured."),
            Key(
                "name",
                kinds.STRING,
                "How commands and logs call the app.",
                default="the script's name without extension",
            ),
            Key(
                "name_prefix",
                kinds.STRING,
                "Put before the name with a colon: `prefix:name`.",
                default="none",
            ),
            Key(
                "append_env_to_name",
                kinds.BOOL,
                "Append `-NAME` of `--env NAME` to the name.",
                default="false",
            ),
            Key("namespace", kinds.STRING, "Group that commands can address."),
            Key(
                "cwd",
                kinds.STRING,
                "Working directory. A relative one starts at the file's folder in TOML, at the "
                "runtime's working "
                "directory in the other formats (as PM2 does).",
                ("pm_cwd",),
                default="where a relative path would start",
            ),
            Key(
                "interpreter",
                kinds.OPTIONAL_STRING,
                "What runs the script; `none` runs it as it is.",
                ("exec_interpreter",),
                default="by shebang, then by extension",
            ),
            Key(
                "interpreter_args",
                kinds.WORDS,
                "Arguments of the interpreter, before the script.",
                ("node_args", "interpreterArgs"),
            ),
            Key(
                "exec_mode",
                kinds.choice(
                    "fork", "cluster", aliases={"fork_mode": "fork", "cluster_mode": "cluster"}, enum=ExecMode
                ),
                "`cluster` instances share their ports.",
                default="`cluster` for Node apps with `instances`, else `fork`",
            ),
            Key(
                "instances",
                kinds.INSTANCES,
                "How many equal processes. `max` or 0: as many as this container may use CPUs (quota, "
                "cpuset and "
                "affinity count); -1: one fewer.",
            ),
            Key("instance_var", kinds.STRING, "Variable that holds the index of the instance, from 0."),
            Key(
                "increment_var",
                kinds.OPTIONAL_STRING,
                "Variable whose value grows by one with each instance, e.g. `PORT`.",
            ),
            Key(
                "stdin",
                kinds.choice("null", "inherit", "pipe"),
                "Where standard input comes from.",
                ours=True,
            ),
        ),
    ),
    Group(
        "Environment",
        (
            Key("env", ENV, "Variables, laid over the runtime's own environment.", default="none"),
            Key(
                "env_file",
                kinds.NAMES,
                "dotenv files whose variables lie under `env` and over the runtime's environment.",
                ours=True,
                default="none",
            ),
            Key(
                "secrets",
                tables.SECRETS,
                "Docker-style secrets: names of variables to read from the file that `NAME_FILE` "
                "names, or a table "
                '`NAME = "/path"`; `true` reads every `*_FILE` variable.',
                ("env_from_files",),
                ours=True,
                default="none",
            ),
            Key(
                "filter_env",
                tables.FILTER,
                "`true`: nothing is inherited. A list: variables whose name contains one of these are "
                "not inherited.",
            ),
            Key(
                "unset_env", kinds.NAMES, "Variables that are not inherited, by their exact names.", ours=True
            ),
            Key("port", kinds.integer(0, 65535), "Sets `PORT`.", default="none"),
        ),
    ),
    Group(
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
                "wait_ready",
                kinds.BOOL,
                "PM2's way of `ready = \"ipc\"`: wait for `process.send('ready')`.",
                default="false",
            ),
            Key(
                "ready",
                probes.READY,
                "How an instance tells that it can work: `notify`, `ipc`, `listen`, `log:REGEX`, "
                "`http:/path`, "
                "`tcp:PORT`, `exec:COMMAND`, `fd:N`, `none`, or a table.",
                ours=True,
                default="`listen` for Node clusters, else still alive after `ready_delay`",
            ),
            Key(
                "ready_delay",
                kinds.DURATION,
                "Without a report, an instance is ready when it has lived this long.",
                ours=True,
            ),
            Key("listen_timeout", kinds.DURATION, "Longest wait for readiness."),
            Key(
                "on_ready_timeout",
                kinds.choice("online", "fail", enum=OnReadyTimeout),
                "Whether an instance that never reported counts as online (as in PM2) or has failed.",
                ours=True,
            ),
            Key(
                "health",
                probes.HEALTH,
                "Probe that watches an online instance and replaces it after `failures` in a row.",
                ours=True,
                default="none",
            ),
        ),
    ),
    Group(
        "How it is kept up",
        (
            Key("autorestart", kinds.BOOL, "Start again when it ends."),
            Key(
                "max_restarts", kinds.integer(0, 2**31), "Unstable ends in a row after which it is given up."
            ),
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
            Key(
                "success_exit_codes", tables.EXIT_CODES, "Exit codes that mean a job is completed.", ours=True
            ),
            Key(
                "essential",
                kinds.BOOL,
                "When it ends for good the container ends, with its exit code.",
                ours=True,
            ),
        ),
    ),
    Group(
        "How it is stopped and replaced",
        (
            Key(
                "kill_signal",
                kinds.SIGNAL,
                "Signal that asks it to stop.",
                ("stop_signal",),
                ours=True,
                default="`SIGTERM`; `SIGINT` under the name pm2-runtime",
            ),
            Key(
                "kill_timeout",
                kinds.DURATION,
                "How long it may take to stop before SIGKILL.",
                default="`8s`; `1600ms` under the name pm2-runtime",
            ),
            Key("treekill", kinds.BOOL, "SIGKILL what is left of its descendants too."),
            Key(
                "shutdown_with_message",
                kinds.BOOL,
                'Ask by the IPC message `"shutdown"` instead of a signal.',
            ),
            Key(
                "drain_timeout",
                kinds.DURATION,
                "Longest drain before the stop.",
                ours=True,
                default="`kill_timeout`",
            ),
            Key(
                "max_surge",
                kinds.integer(1, 1000),
                "How many instances a reload replaces at a time.",
                ours=True,
            ),
            Key(
                "settle_time",
                kinds.DURATION,
                "How long a new process serves beside the old one before that one leaves: it gets warm, "
                "and one that dies by then calls the reload off.",
                ours=True,
            ),
        ),
    ),
    Group(
        "Ports",
        (
            Key(
                "listen",
                probes.LISTEN,
                "Sockets the runtime opens once and hands to every instance: `3000`, "
                '`"127.0.0.1:3000"`, `"[::]:80"`, '
                '`"unix:/run/app.sock"`, `"3000/udp"`, or tables with `name`, `host`, `port`, `path`, '
                "`kind`, `backlog`.",
                ours=True,
                default="none",
            ),
            Key(
                "balance",
                kinds.choice("shared", "spread", "source", enum=Balance),
                "One socket for all instances, one for each, or one for each by client address.",
                ours=True,
            ),
            Key(
                "share",
                tables.SHARE,
                "`python`: an unmodified Python program binds the runtime's socket.",
                ours=True,
            ),
        ),
    ),
    Group(
        "Rights and limits",
        (
            Key(
                "uid",
                rights.USER,
                "User to run as: name, number, or `user:group`; sets HOME, USER and the groups.",
                ("user",),
                default="the runtime's",
            ),
            Key("gid", rights.GROUP, "Primary group, by name or number.", ("group",), default="the user's"),
            Key("groups", rights.GROUPS, "Supplementary groups.", ours=True, default="the user's"),
            Key("umask", rights.UMASK, 'File mode mask, octal text such as "027".', ours=True),
            Key("nice", kinds.integer(-20, 19), "Scheduling priority.", ours=True),
            Key(
                "limits",
                rights.LIMITS,
                'Resource limits: `{nofile = 65536, core = "0:unlimited"}` (soft and hard).',
                ours=True,
                default="the runtime's",
            ),
            Key(
                "no_new_privs", kinds.BOOL, "The process and its children can gain no privileges.", ours=True
            ),
            Key(
                "oom_score_adj",
                kinds.integer(-1000, 1000),
                "Who the kernel kills first when memory ends.",
                ours=True,
            ),
            Key(
                "cpu_affinity",
                rights.CPUS,
                'CPUs it may use: `"0-3,5"`, a list, or `spread` for a set of its own per instance.',
                ours=True,
            ),
        ),
    ),
    Group(
        "Memory and age",
        (
            Key(
                "max_memory_restart",
                kinds.LIMIT,
                'Above this an instance is replaced: `"500M"`, `"80%"` of the container, `"80%/n"` '
                "per instance.",
            ),
            Key(
                "memory_soft_limit", kinds.LIMIT, "Above this an instance is asked to free memory.", ours=True
            ),
            Key(
                "memory_soft_action",
                tables.SOFT_ACTION,
                'How it is asked: `message` (IPC `{"type": "gc"}`) or a signal.',
                ours=True,
            ),
            Key(
                "memory_soft_cooldown", kinds.DURATION, "Shortest time between two such requests.", ours=True
            ),
            Key(
                "memory_scope",
                kinds.choice("tree", "process", enum=MemoryScope),
                "Whether descendants count; `process` is PM2's way.",
                ours=True,
            ),
            Key("memory_interval", kinds.DURATION, "How often memory is measured.", ours=True),
            Key(
                "memory_samples",
                kinds.integer(1, 10_000),
                "Samples in a row above the limit before it acts.",
                ours=True,
            ),
            Key("max_age", kinds.DURATION, "Age at which an instance is replaced.", ours=True),
            Key("max_age_jitter", kinds.DURATION, "Random time added to `max_age`.", ours=True),
        ),
    ),
    Group(
        "Times, changes, hooks",
        (
            Key("cron_restart", kinds.CRON, "When to restart, as a cron expression.", ("cron",)),
            Key("schedule", kinds.CRON, "When to run a job.", ours=True),
            Key(
                "timezone",
                kinds.TIMEZONE,
                "Time zone of both, e.g. `Europe/Vienna`.",
                ours=True,
                default="the container's",
            ),
            Key(
                "overlap",
                kinds.choice("skip", "queue", "replace", enum=Overlap),
                "What a scheduled job does when its last run still goes on.",
                ours=True,
            ),
            Key(
                "watch",
                tables.WATCH,
                "Replace the instances when files change: `true`, a path or paths.",
                default="false",
            ),
            Key(
                "ignore_watch",
                watching.PATTERNS,
                "What does not count: a name (`logs`, `*.tmp`) at any depth, a path or glob from the app's "
                "folder (`public/**/*.css`), a regular expression (`re:\\.(log|pid)$`); `!` before one takes "
                "it back. Dot files, node_modules and caches never count, unless so exempted.",
                default="none",
            ),
            Key("watch_delay", kinds.DURATION, "Quiet time after a change before anything happens."),
            Key(
                "watch_depth",
                kinds.integer(0, 1000),
                "Folders below a watched one in which changes count.",
                ours=True,
                default="any depth",
            ),
            Key(
                "watch_polling",
                kinds.DURATION,
                "Look at the files this often, for mounts that tell of no changes.",
                ours=True,
                default="the kernel tells",
            ),
            Key(
                "watch_options",
                watching.WATCH_OPTIONS,
                "chokidar's: `ignored` (as `ignore_watch`), `depth`, `awaitWriteFinish`, `usePolling` with "
                "`interval` (for mounts that tell of no changes).",
                default="none",
            ),
            Key(
                "hooks",
                tables.HOOKS,
                "Commands at `pre_start`, `post_start`, `pre_stop`, `post_stop`, `on_exit`, "
                "`on_give_up`; text, list, "
                "or `{command = ..., timeout = ...}`.",
                ours=True,
                default="none",
            ),
            *(
                Key(name, tables.HOOK, f"Short for `{name}` in `hooks`.", ours=True, default="none")
                for name in tables.HOOK_NAMES
            ),
        ),
    ),
    Group(
        "Logs",
        (
            Key(
                "log_type",
                kinds.choice("json", "raw"),
                "PM2's `json` wraps each line as a record.",
                default="the runtime's format",
            ),
            Key(
                "out_file",
                tables.LOG_FILE,
                "File for stdout, beside the container's output; `NULL` is none.",
                ("out", "output", "out_log"),
            ),
            Key("error_file", tables.LOG_FILE, "File for stderr.", ("error", "err", "err_file", "err_log")),
            Key("log_file", tables.LOG_FILE, "File for both.", ("log",)),
            Key(
                "merge_logs",
                kinds.BOOL,
                "No index in the names of log files.",
                ("combine_logs",),
                default="true for one fork instance, else false",
            ),
            Key("log_date_format", kinds.OPTIONAL_STRING, "Date put before each line, in day.js's letters."),
            Key("time", kinds.BOOL, 'Short for `log_date_format = "YYYY-MM-DDTHH:mm:ss"`.', default="false"),
            Key("disable_logs", kinds.BOOL, "Drop the app's output."),
            Key(
                "log_max_size",
                kinds.OPTIONAL_SIZE,
                "Size at which a log file is rotated.",
                ("max_size",),
                ours=True,
            ),
            Key(
                "log_retain",
                tables.RETAIN,
                "Rotated files to keep: a count or an age such as `30d`.",
                ("retain",),
                ours=True,
            ),
            Key("log_compress", kinds.BOOL, "Compress rotated files.", ours=True),
            Key("log_fields", tables.FIELDS, "Fields added to each record.", ours=True, default="none"),
            Key(
                "multiline",
                tables.MULTILINE,
                "Join the lines of a traceback: `python`, `node`, `java`, `auto`, or a pattern of "
                "first lines.",
                ours=True,
            ),
            Key("max_line", kinds.SIZE, "Longest record; longer lines are split.", ours=True),
            Key("rate_limit", tables.RATE, "Lines a second; more are dropped and counted.", ours=True),
            Key(
                "overflow",
                kinds.choice("block", "drop"),
                "When stdout does not keep up: hold the writers back, or drop and count.",
                ours=True,
            ),
        ),
    ),
)

RUNTIME_GROUP: Final = Group(
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
        Key("auto_exit", kinds.BOOL, "Exit when nothing is left to run."),
        Key(
            "signals",
            tables.SIGNALS,
            "What a signal does: `stop`, `reload`, `forward`, `reopen` (the log files), `ignore`, or another "
            "signal's name to forward.",
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
            kinds.choice("debug", "info", "warning", "error"),
            "Lowest level of the runtime's own events.",
        ),
        Key(
            "admin",
            probes.ADDRESS,
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
            "Path of the control socket; `none` for none.",
            default="the first writable place",
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
            "Apply the file again when it changes, as SIGHUP does; also a mounted ConfigMap.",
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
