"""What becomes of the lines that a process writes."""

from typing import Final

from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.values import kinds, tables

LOGS: Final = KeyGroup(
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
        Key(
            "logs_by_id",
            kinds.BOOL,
            "The number in the names of `.log` files is PM2's id, over all apps, and not the index.",
            ours=True,
            default="false; true in PM2's formats",
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
            "Join the lines of a traceback: `python`, `node`, `java`, `auto`, or a pattern of first lines.",
            ours=True,
        ),
        Key(
            "stderr_level",
            kinds.choice("trace", "debug", "info", "warning", "error", "fatal"),
            "Level of lines on stderr that do not tell theirs.",
            ours=True,
        ),
        Key("strip_colors", kinds.BOOL, "Take the codes of colours out of lines.", ours=True),
        Key(
            "log_redact",
            tables.PATTERNS,
            "Patterns of secrets: what matches (the first group, if there is one) becomes `***`.",
            ours=True,
            default="none",
        ),
        Key(
            "log_drop",
            tables.PATTERNS,
            "Patterns of noise: a line in which one is found goes nowhere.",
            ours=True,
            default="none",
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
)
