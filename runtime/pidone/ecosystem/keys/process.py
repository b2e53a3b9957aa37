"""What a process is and gets: its program, variables, ports, rights."""

from typing import Final

from pidone.ecosystem.keys.key import Key, KeyGroup
from pidone.ecosystem.spec import Balance, ExecMode
from pidone.ecosystem.values import kinds, network, rights, tables

WHAT_RUNS: Final = KeyGroup(
    "What runs",
    (
        Key(
            "script",
            kinds.STRING,
            "The program: a path (looked up in `cwd`, then in PATH), a command of PATH, or a shell command "
            "if it holds blanks. `npm start` and its like run the package.json script directly where that "
            "is simple.",
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
        Key("name_prefix", kinds.STRING, "Put before the name with a colon: `prefix:name`.", default="none"),
        Key("append_env_to_name", kinds.BOOL, "Append `-NAME` of `--env NAME` to the name.", default="false"),
        Key("namespace", kinds.STRING, "Group that commands can address."),
        Key(
            "cwd",
            kinds.STRING,
            "Working directory. A relative one starts at the file's folder in TOML, at the runtime's "
            "working directory in the other formats (as PM2 does).",
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
            "How many equal processes. `max` or 0: as many as this container may use CPUs (quota, cpuset "
            "and affinity count); -1: one fewer.",
        ),
        Key(
            "max_follows",
            kinds.BOOL,
            'Whether `instances = "max"` follows when the container gets more or fewer CPUs while it runs '
            "(`docker update`, resize of a pod); `false` keeps the number of the start.",
            ours=True,
        ),
        Key(
            "preload",
            tables.PRELOAD,
            "Python: one process imports this module (`myapp.wsgi:app`, `pkg.jobs:main`), and the instances "
            "are forked from it; `true` takes what uvicorn, gunicorn or hypercorn is told to serve. See "
            "[clusters](clusters.md#preload).",
            ours=True,
            default="off",
        ),
        Key("instance_var", tables.VARIABLE, "Variable that holds the index of the instance, from 0."),
        Key(
            "increment_var",
            tables.OPTIONAL_VARIABLE,
            "Variable whose value grows by one with each instance, e.g. `PORT`.",
        ),
        Key("stdin", kinds.choice("null", "inherit", "pipe"), "Where standard input comes from.", ours=True),
    ),
)

ENVIRONMENT: Final = KeyGroup(
    "Environment",
    (
        Key("env", tables.ENV, "Variables, laid over the runtime's own environment.", default="none"),
        Key(
            "env_file",
            tables.ENV_FILES,
            "dotenv files whose variables lie under `env` and over the runtime's environment; one with "
            "`required = false` may be missing.",
            ours=True,
            default="none",
        ),
        Key(
            "secrets",
            tables.SECRETS,
            "Docker-style secrets: names of variables to read from the file that `NAME_FILE` names, or a "
            'table `NAME = "/path"`; `true` reads every `*_FILE` variable.',
            ("env_from_files",),
            ours=True,
            default="none",
        ),
        Key(
            "filter_env",
            tables.FILTER,
            "`true`: nothing is inherited. A list: variables whose name contains one of these are not "
            "inherited.",
        ),
        Key("unset_env", kinds.NAMES, "Variables that are not inherited, by their exact names.", ours=True),
        Key("port", kinds.integer(0, 65535), "Sets `PORT`.", default="none"),
        Key(
            "otel",
            kinds.BOOL,
            "Tell OpenTelemetry's SDKs who they are: `OTEL_SERVICE_NAME` is the app's name, and "
            "`service.instance.id` in `OTEL_RESOURCE_ATTRIBUTES` is HOST:APP:INDEX, unless somebody says "
            "otherwise.",
            ours=True,
        ),
    ),
)

PORTS: Final = KeyGroup(
    "Ports",
    (
        Key(
            "listen",
            network.LISTEN,
            'Sockets the runtime opens once and hands to every instance: `3000`, `"127.0.0.1:3000"`, '
            '`"[::]:80"`, `"unix:/run/app.sock"`, `"3000/udp"`, `"fd:web"` for one that pidone is started '
            "with, or tables with `name`, `host`, `port`, `path`, `kind`, `backlog`, `fd`.",
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
            "`python`: an unmodified Python program binds the runtime's socket; `kernel`: any program does.",
            ours=True,
        ),
    ),
)

RIGHTS: Final = KeyGroup(
    "Rights and limits",
    (
        Key(
            "uid",
            rights.USER,
            "User to run as: name, number, or `user:group`; sets HOME, USER and the groups (a number "
            "without an entry in the passwd file: `/`, no name, the group of its own number and no others).",
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
        Key("no_new_privs", kinds.BOOL, "The process and its children can gain no privileges.", ours=True),
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
)
