"""What an ecosystem is once it has been read: frozen, validated, every default filled in.

Everything in the runtime may read these classes; only `ecosystem/` makes them. Field names are the
canonical configuration keys. Durations are seconds and sizes are bytes, whatever the file wrote.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from pidone.record import EMPTY, Record

if TYPE_CHECKING:
    from pidone.ecosystem.programs.remote_program import RemoteProgram

Seconds: TypeAlias = float
Bytes: TypeAlias = int

INSTANCES_MAX: Final = 0
"""`instances` value that means "as many as this container may use CPUs"; -n means that many fewer."""


class ExecMode(StrEnum):
    """PM2's `exec_mode`: whether the instances of an app share their ports."""

    FORK = "fork"
    CLUSTER = "cluster"


class Condition(StrEnum):
    """How far a dependency must have come before its dependents start."""

    STARTED = "started"
    READY = "ready"
    COMPLETED = "completed"


class Balance(StrEnum):
    """How new connections are spread over the instances of an app."""

    SHARED = "shared"
    SPREAD = "spread"
    SOURCE = "source"


class KillMode(StrEnum):
    """Who of an incarnation is ended with it."""

    MIXED = "mixed"
    """The main process is asked; what it leaves behind is asked by SIGTERM after it has ended."""
    TREE = "tree"
    """Everybody is asked at once, children before their parents."""
    PROCESS = "process"
    """The main process alone; its descendants end with the container."""


class OnReadyTimeout(StrEnum):
    """What `listen_timeout` means when an instance has not reported ready by then."""

    ONLINE = "online"
    FAIL = "fail"


class OnWaitTimeout(StrEnum):
    """What an app does when a service that it waits for has not answered within `wait_for_timeout`."""

    FAIL = "fail"
    START = "start"


class Overlap(StrEnum):
    """What a scheduled job does when its last run has not ended yet."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class MemoryScope(StrEnum):
    """Whose memory counts against an app's limits."""

    TREE = "tree"
    PROCESS = "process"


class MemoryShare(Record, kw_only=True):
    """A size as a share of the container's memory limit: `80%`, or `80%/n` over the instances of the app."""

    fraction: float
    per_instance: bool = False


MemoryLimit: TypeAlias = Bytes | MemoryShare


class Hook(Record, kw_only=True):
    """A command that runs at a point in the life of an app or of the whole."""

    command: tuple[str, ...]
    timeout: Seconds = 30.0


class Dependency(Record, kw_only=True):
    """One entry of `depends_on`."""

    app: str
    condition: Condition = Condition.READY


class Probe(Record, kw_only=True):
    """A check from outside; exactly one of http, tcp, exec is set.

    Used twice: as `ready` (the first success ends `starting`) and as `health` (failures in a row restart).
    """

    http: str | None = None
    """URL, or path on the app's own port; 200 to 399 is success."""
    tcp: str | None = None
    """`host:port` or `port` that must accept a connection."""
    exec: tuple[str, ...] = ()
    """Command that must exit 0."""
    interval: Seconds | None = None
    """Between two looks. Unset: a second; those for readiness begin quickly and back off to that."""
    timeout: Seconds = 1.0
    grace: Seconds = 0.0
    """Time after the start during which failures do not count."""
    failures: int = 3
    """Failures in a row before a health probe restarts the instance."""


class Readiness(Record, kw_only=True):
    """How an instance tells that it can work; everything unset means "still alive after `ready_delay`"."""

    ipc: bool = False
    """PM2's `wait_ready`: `process.send('ready')` (or any IPC `"ready"`)."""
    notify: bool = False
    """sd_notify `READY=1` on `$NOTIFY_SOCKET`."""
    fd: int | None = None
    """s6-style: a newline on this descriptor of the child."""
    log: str | None = None
    """Regular expression; the first matching line of stdout or stderr."""
    listen: bool = False
    """The Python shim's or Node's report that the app listens."""
    probe: Probe | None = None

    @property
    def is_reported(self) -> bool:
        """Whether anything at all will report readiness."""
        return bool(self.ipc or self.notify or self.listen or self.fd or self.log or self.probe)


class Listen(Record, kw_only=True):
    """One socket of `listen = [...]`: opened once by the runtime, inherited by every instance."""

    name: str
    """Name in `LISTEN_FDNAMES` and `{fd:NAME}`."""
    kind: str = "tcp"
    """`tcp`, `udp` or `unix`; `fd` for one that somebody passes to the runtime (LISTEN_FDS)."""
    host: str = ""
    """Address to bind; empty means every address of both families. The path for `unix`, the name for `fd`."""
    port: int = 0
    backlog: int = 511
    number: int | None = None
    """The descriptor of one that was passed to the runtime, once that is known; it is not bound then."""


class Template(Record):
    """A value that is another one in each instance."""

    pieces: tuple[str, ...]
    """Plain texts, and between them the names `app` and `instance`."""

    def __str__(self) -> str:
        """As it is written."""
        return "".join(piece if i % 2 == 0 else f"${{{piece}}}" for i, piece in enumerate(self.pieces))

    def filled(self, values: Mapping[str, str]) -> str:
        """With a value for each name."""
        return "".join(piece if i % 2 == 0 else values[piece] for i, piece in enumerate(self.pieces))


class AppSpec(Record, kw_only=True, hidden=("env", "templates")):
    """One app, i.e. one cluster of equal instances."""

    # What runs
    name: str
    shared_name: str = ""
    """What a PM2 file calls it, where another app has that name as well and `name` had to be another."""
    namespace: str = "default"
    argv: tuple[str, ...]
    """The resolved command line; argv[0] is an absolute path."""
    script: str = ""
    """As written in the file, for display."""
    args: tuple[str, ...] = ()
    interpreter: str = "none"
    interpreter_args: tuple[str, ...] = ()
    cwd: str = "/"
    """Absolute."""
    remote: "RemoteProgram | None" = None
    """Set where program or folder may be on a file system that hangs: none but a child may look there."""
    exec_mode: ExecMode = ExecMode.FORK
    instances: int = 1
    """As written: `INSTANCES_MAX` or negative numbers are resolved against the container's CPUs."""
    max_follows: bool = True
    """Whether that follows when the container gets more or fewer CPUs while it runs."""
    instance_var: str = "NODE_APP_INSTANCE"
    increment_var: str | None = None
    env: Mapping[str, str] = EMPTY
    """Laid over the runtime's own environment; kept out of repr() because it may hold secrets."""
    secrets: tuple[str, ...] = ()
    """Variables of `env` whose values came from files and are never shown."""
    filter_env: bool | tuple[str, ...] = False
    """True: nothing is inherited. Names: variables whose name contains one of them are not inherited."""
    unset_env: tuple[str, ...] = ()
    """Variables that are not inherited, by their exact names."""
    templates: Mapping[str, Template] = EMPTY
    """Variables of `env` whose values hold `${app}` or `${instance}`, which are others in each instance."""
    otel: bool = False
    """OpenTelemetry's variables say which app and which instance a process is."""
    stdin: str = "null"
    """`null`, `inherit` (one foreground app) or `pipe` (`pidone send`)."""

    preload: str | None = None
    """The Python module, or `module:attribute`, that one process imports for all instances."""

    # When it starts
    autostart: bool = True
    depends_on: tuple[Dependency, ...] = ()
    wait_for: tuple[str, ...] = ()
    """Outside services that have to answer before the first start: tcp, http, https, unix and file URLs."""
    wait_for_timeout: Seconds = 60.0
    """How long they may take; 0 is for ever."""
    wait_for_interval: Seconds = 1.0
    on_wait_timeout: OnWaitTimeout = OnWaitTimeout.FAIL
    ready: Readiness = Readiness()
    ready_delay: Seconds = 1.0
    """Without any readiness report, an instance counts as ready when it has lived this long."""
    listen_timeout: Seconds = 3.0
    reload_timeout: Seconds = 30.0
    """How long a replacement may take to get ready; its predecessor serves meanwhile."""
    on_ready_timeout: OnReadyTimeout = OnReadyTimeout.ONLINE
    health: Probe | None = None

    # How it is kept up
    autorestart: bool = True
    max_restarts: int = 16
    """Unstable ends in a row (or restarts per `restart_window`) after which the app is `errored`."""
    min_uptime: Seconds = 1.0
    restart_window: Seconds | None = None
    restart_delay: Seconds = 0.0
    exp_backoff_restart_delay: Seconds = 0.0
    max_restart_delay: Seconds = 15.0
    stop_exit_codes: tuple[int, ...] = ()
    success_exit_codes: tuple[int, ...] = (0,)
    essential: bool = False

    # How it is stopped and replaced
    kill_signal: int = 15
    kill_timeout: Seconds = 8.0
    kill_mode: KillMode = KillMode.MIXED
    shutdown_with_message: bool = False
    drain_timeout: Seconds | None = None
    """Longest drain of one instance before its stop begins; None is a part of `kill_timeout`: stopping.py."""
    hang_timeout: Seconds | None = None
    """How long it may make no progress; None is the default where a heartbeat tells of it, 0 is never."""
    max_surge: int = 1
    settle_time: Seconds = 0.5
    """How long a replacement serves beside its predecessor before that one leaves."""

    # Ports
    listen: tuple[Listen, ...] = ()
    balance: Balance = Balance.SHARED
    share: str | None = None
    """`python`: the bind() shim; `kernel`: seccomp's notifications; `none`: neither, also in cluster mode."""

    # Rights and limits
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    """Supplementary groups; None means those of `uid` when it is set, else the runtime's own."""
    umask: int | None = None
    nice: int | None = None
    limits: Mapping[str, tuple[int, int]] = EMPTY
    """rlimits by their lower-case name (`nofile`): (soft, hard), -1 is unlimited."""
    no_new_privs: bool = False
    oom_score_adj: int | None = None
    die_with_runtime: bool = True
    """Whether it is stopped, as `kill_mode` says, when a runtime that is not process 1 was killed."""
    cpu_affinity: str | tuple[int, ...] | None = None

    # Memory
    max_memory_restart: MemoryLimit | None = None
    """Above this, an instance is replaced gracefully."""
    memory_soft_limit: MemoryLimit | None = None
    """Above this, an instance is asked to free memory."""
    memory_soft_action: str = "message"
    """`message` (IPC `{"type": "gc"}`) or the name of a signal."""
    memory_soft_cooldown: Seconds = 60.0
    memory_scope: MemoryScope = MemoryScope.TREE
    memory_interval: Seconds = 1.0
    memory_samples: int = 1
    """Samples in a row above the limit before anything happens."""
    max_age: Seconds | None = None
    max_age_jitter: Seconds = 0.0

    # Times and changes
    cron_restart: str | None = None
    schedule: str | None = None
    """Cron expression at which a job runs."""
    timezone: str | None = None
    overlap: Overlap = Overlap.SKIP
    watch: tuple[str, ...] = ()
    """Paths whose change replaces the instances; empty is off."""
    ignore_watch: tuple[str, ...] = ()
    """Patterns: `supervise/patterns.py`."""
    watch_delay: Seconds = 0.0
    watch_depth: int | None = None
    """Folders below a watched one in which changes count; None is any depth."""
    watch_polling: Seconds | None = None
    """Look at the files this often instead of asking the kernel, which knows nothing of some mounts."""
    hooks: Mapping[str, Hook] = EMPTY

    # Logs
    log_type: str | None = None
    out_file: str | None = None
    error_file: str | None = None
    logs_by_id: bool = False
    """Whether files of unmerged logs are told apart by PM2's id, over all apps, as a PM2 file means it."""
    log_file: str | None = None
    merge_logs: bool = False
    log_date_format: str | None = None
    dates_output: bool = False
    """`log_type` and `log_date_format` count for stdout too, not for files alone: under PM2's names."""
    disable_logs: bool = False
    log_max_size: Bytes | None = None
    log_retain: str = "30"
    """Rotated files to keep: a count (`30`) or an age (`30d`)."""
    log_compress: bool = False
    log_fields: Mapping[str, str] = EMPTY
    multiline: str | None = None
    """`python`, `node`, `java`, `auto`, or a regular expression that matches a first line."""
    max_line: Bytes = 16 * 1024
    rate_limit: int | None = None
    """Lines per second; None is unlimited."""
    stderr_level: str = "warning"
    """Of lines on stderr that do not tell theirs."""
    strip_colors: bool = False
    log_redact: tuple[str, ...] = ()
    """Regular expressions; of what they match the first group, or all, becomes `***`."""
    log_drop: tuple[str, ...] = ()
    """Regular expressions; a line in which one is found goes nowhere."""
    overflow: str = "block"
    """`block` (back-pressure) or `drop` (counted) when stdout does not keep up."""

    def count(self, cpus: int) -> int:
        """`instances` as a number of processes where `cpus` CPUs may be used: at least one."""
        return self.instances if self.instances > 0 else max(1, cpus + self.instances)

    @property
    def called(self) -> str:
        """Its name as PM2's people know it: several apps may have the same."""
        return self.shared_name or self.name

    def key(self) -> tuple[str, str]:
        """The identity of the app over reloads of the ecosystem file."""
        return (self.namespace, self.name)

    def labels(self) -> dict[str, str]:
        """What names the app in events: `app`, and `namespace` where that is not the usual one."""
        other = {} if self.namespace == "default" else {"namespace": self.namespace}
        return {"app": self.name, **other}


class RuntimeSpec(Record, kw_only=True):
    """The `[runtime]` table: the process itself rather than an app."""

    shutdown_timeout: Seconds | None = None
    """The whole stop, all apps; None means what they may take: `stop_time` in stopping.py."""
    shutdown_delay: Seconds = 0.0
    """After SIGTERM, keep serving this long before the apps are told (Kubernetes endpoint removal)."""
    unready_on_stop: bool = True
    """Whether `/readyz` fails from the request to stop on, or only when `shutdown_delay` is over."""
    termination_grace: Seconds | None = None
    """How long the container engine waits between SIGTERM and SIGKILL, as far as somebody has told us."""
    auto_exit: bool = True
    signals: Mapping[str, str] = EMPTY
    """Signal name to `stop`, `reload`, `forward`, `ignore` or another signal's name."""
    log_format: str = "auto"
    """`auto` is text on a terminal and json elsewhere."""
    log_level: str = "info"
    """Lowest level of the runtime's own events."""
    start_delay: Seconds = 0.0
    wait_for: tuple[str, ...] = ()
    """Services that every app waits for, beside its own."""
    wait_for_timeout: Seconds = 60.0
    wait_for_interval: Seconds = 1.0
    on_wait_timeout: OnWaitTimeout = OnWaitTimeout.FAIL
    admin: str | None = None
    """`HOST:PORT` of the read-only HTTP side; None is off."""
    admin_token_file: str | None = None
    socket: str | None = None
    """Path of the control socket, `none` for no socket; None chooses a writable place."""
    pm2_rpc: bool = False
    """Whether PM2's own client is answered in `$PM2_HOME`."""
    memory_guard: MemoryLimit | None = None
    """Container-wide use above which the largest instance is recycled."""
    watch_config: bool = False
    log_fields: Mapping[str, str] = EMPTY
    """Fields of the runtime's own events; those of each app have them already."""
    hooks: Mapping[str, Hook] = EMPTY


class SmokeCheck(Record, kw_only=True):
    """One check of `pidone smoke`; exactly one of http, tcp, exec is set."""

    name: str
    http: str | None = None
    tcp: str | None = None
    exec: tuple[str, ...] = ()
    status: int | None = None
    """HTTP status to expect; None is any of 200 to 399."""
    contains: str | None = None
    """Text the answer (or the command's output) must hold."""
    timeout: Seconds = 5.0


class Alert(Record, kw_only=True):
    """A condition over the running apps, and what happens when it holds; every condition set must hold."""

    name: str
    apps: tuple[str, ...] = ()
    """Apps it looks at; empty is all of them."""
    restarts_per_hour: int | None = None
    not_ready_for: Seconds | None = None
    memory: MemoryLimit | None = None
    cpu: float | None = None
    """Percent of one CPU."""
    error_rate: float | None = None
    """Percent of lines that are errors."""
    memory_not_falling: bool = False
    """Memory is as high after a restart as before it."""
    exec: tuple[str, ...] = ()
    webhook: str | None = None
    cooldown: Seconds = 300.0


class Origin(Record):
    """A file, or folder, that an ecosystem was read from, and which of its versions that was."""

    path: str
    """Absolute."""
    version: tuple[int, ...]
    """Device, inode, size and time of the last change; empty when there is no such file."""

    @classmethod
    def of(cls, path: str) -> "Origin":
        """A file as it is now; to be asked before it is read, so that no change can be missed."""
        try:
            found = os.stat(path)
        except OSError:
            return cls(path, ())
        return cls(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


class MissingRight(Record, kw_only=True):
    """Something that the file asks for, and that this process may not do."""

    labels: Mapping[str, str]
    """Whose, as events have it."""
    setting: str
    capability: str | None
    """What would help, as `CAP_KILL`; None: no capability would."""
    message: str


class Ecosystem(Record, kw_only=True):
    """Everything one file says."""

    apps: tuple[AppSpec, ...]
    runtime: RuntimeSpec = RuntimeSpec()
    smoke: tuple[SmokeCheck, ...] = ()
    alerts: tuple[Alert, ...] = ()
    source: str | None = None
    """The file as the user named it, or None for a command line or standard input."""
    origins: tuple[Origin, ...] = ()
    """The files as they were found, for who wants to know whether they have changed since."""
    cwd: str = "/"
    """The folder in which somebody typed what was started."""
    cpus: int = 1
    """CPUs that this container may use, as found when the file was read."""
    listens_at: Mapping[tuple[str, str], str] = EMPTY
    """Where the file says what an app listens on (`ecosystem.toml:12`), by its key."""
    missing_rights: tuple[MissingRight, ...] = ()
    host_notes: tuple[str, ...] = ()
    """What could not be read of the container's CPU limits, and was taken as absent."""
    warnings: tuple[str, ...] = ()
    """What is probably not what the user meant."""
    notices: tuple[str, ...] = ()
    """What the user may want to know and need not act on."""
