"""What else makes something happen to a process: memory, age, times, files, hooks."""

from typing import Final

from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.spec import MemoryScope, Overlap
from pidone.ecosystem.values import kinds, tables, watching

MEMORY: Final = KeyGroup(
    "Memory and age",
    (
        Key(
            "max_memory_restart",
            kinds.LIMIT,
            'Above this an instance is replaced: `"500M"`, `"80%"` of the container, `"80%/n"` per instance.',
        ),
        Key("memory_soft_limit", kinds.LIMIT, "Above this an instance is asked to free memory.", ours=True),
        Key(
            "memory_soft_action",
            tables.SOFT_ACTION,
            'How it is asked: `message` (IPC `{"type": "gc"}`) or a signal.',
            ours=True,
        ),
        Key("memory_soft_cooldown", kinds.DURATION, "Shortest time between two such requests.", ours=True),
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
)

TIMES: Final = KeyGroup(
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
            "folder (`public/**/*.css`), a regular expression (`re:\\.(log|pid)$`); `!` before one takes it "
            "back. Dot files, node_modules and caches never count, unless so exempted.",
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
            "Commands at `pre_start`, `post_start`, `pre_stop`, `post_stop`, `on_exit`, `on_give_up`; text, "
            "list, or `{command = ..., timeout = ...}`.",
            ours=True,
            default="none",
        ),
        *(
            Key(name, tables.HOOK, f"Short for `{name}` in `hooks`.", ours=True, default="none")
            for name in tables.HOOK_NAMES
        ),
    ),
)
