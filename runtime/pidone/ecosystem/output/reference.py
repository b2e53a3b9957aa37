"""The reference page of all keys, as Markdown, made from the catalogue."""

from collections.abc import Iterator
from typing import Any, Final

from pidone.ecosystem import static
from pidone.ecosystem.keys import APP_GROUPS, NOTHING_IN_A_CONTAINER, RUNTIME_GROUP, Key, KeyGroup
from pidone.ecosystem.spec import AppSpec, RuntimeSpec
from pidone.ecosystem.values import checks
from pidone.record import Record

_INTRO: Final = """\
# Configuration

<!-- Made by `pidone schema --markdown` from pidone/ecosystem/keys/; a test fails if it is not. -->

An *ecosystem* file says what runs. Every file that PM2 takes is taken: `ecosystem.config.js` (`.cjs`, `.mjs`,
no Node needed), JSON with or without comments, YAML; and TOML, which reads best:

```toml
[[apps]]
name = "api"
script = "server.js"
instances = "max"
listen = [3000]
max_memory_restart = "80%/n"

[[apps]]
name = "worker"
script = "worker.py"
depends_on = { api = "ready" }
env = { QUEUE = "${QUEUE_URL:-redis://localhost}" }
env_production = { LOG_LEVEL = "warning" }

[runtime]
shutdown_delay = "5s"
```

`pidone check FILE` shows what a file means and all that is wrong with it, `pidone convert FILE -o OUT.toml`
translates any format, `pidone init` writes a first file, and `pidone schema` is a JSON Schema for editors;
they find the published one by its `$id`: `#:schema URL` at the top of TOML, `# yaml-language-server:
$schema=URL` at that of YAML, `"$schema"` in JSON.

- **Durations** are `"5s"`, `"1h30m"`, `"500ms"`; a bare number is **milliseconds**, as in PM2.
- **Sizes** are `"500M"`, `"1.5G"` (by 1024); a bare number is bytes. A limit may be a share of the
  container's memory, `"80%"`, or of each instance's part of it, `"80%/n"`.
- **Keys** may be written in camelCase. Unknown keys are errors in TOML and warnings elsewhere.
- **`${VAR}`**, `${VAR:-default}` and `${VAR:?message}` in the texts of TOML and YAML are replaced from the
  environment; `$${` is a literal `${`.
- **`${app}` and `${instance}`** in the values of `env` are the app's name and the index of the instance:
  `env = { WORKER = "${app}-${instance}" }`. Hooks and probes, which are none, do not get such variables.
- **`env_NAME`** tables are laid over `env` by `--env NAME`.
- **Relative paths** start at the app's `cwd`; a relative `cwd` starts at the file's folder in TOML and at the
  working directory of the runtime elsewhere, as in PM2.

- **`include`** at the top, as `include = ["conf.d/*.toml", "base.config.js"]`, lays the file over others, key
  by key; so do several FILEs on the command line, or a folder of them: the later one wins, and `pidone check`
  tells which file a value is from. `include` may name a folder and `${VAR}`, and starts at the file's own
  folder. Of a folder count its ecosystem files in the order of their names: no hidden files, copies
  (`x.toml.bak`) or folders. A `Procfile` is a FILE too; `PORT` is counted as foreman does.

- **YAML** is YAML 1.2 as js-yaml reads it, under either name: `yes`, `no`, `on`, `off`, `12:30:00` and
  `1_000` are texts, `0o17` is 15, `0755` is 755, `1e3` is 1000. An unquoted date is a point in time, so quote
  a version or a release that looks like one: in `env` the app would see `"2024-01-02T00:00:00.000Z"` with the
  quotes, as under PM2.

Keys marked * are pidone's own; PM2 does not know them.
"""

_STATIC: Final = """\
Folders that are served by HTTP, as by PM2: each entry becomes an app that runs a small file server, and may
have any key of an app besides. `spa` shows the homepage for every path that is not a file; `ftp` or
`directory` lists folders without an `index.html`. Names that begin with a dot are never served. The port
(default 8080) is opened by the runtime, so instances share it and a reload loses no request.

An app whose `script` is `serve` runs the same server, told by `PM2_SERVE_PATH`, `_PORT`, `_HOST`, `_SPA`,
`_FTP`, `_HOMEPAGE`, `_BASIC_AUTH`, `_BASIC_AUTH_USERNAME` and `_BASIC_AUTH_PASSWORD` in its `env`; `secrets`
reads the password from a file."""
_MEMBERS: Final = "\n## {title}\n\n{text}\n\n| key | holds |\n|---|---|\n"


def markdown() -> str:
    """The whole page."""
    return "".join(_page())


def default_of(key: Key, spec: type[Record]) -> str:
    """A key's default in words."""
    if key.default:
        return key.default
    if key.name not in spec.field_names():
        return "none"
    value: Any = getattr(spec, key.name)
    if value is None or value in ((), "") or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    written = key.kind.write(value) if key.kind.write else value
    if isinstance(written, list | tuple):
        written = ", ".join(map(str, written))
    return f"`{written}`"


def _page() -> Iterator[str]:
    yield _INTRO
    for group in APP_GROUPS:
        yield from _group(group, AppSpec)
    yield "\n# The `[runtime]` table\n"
    yield from _group(RUNTIME_GROUP, RuntimeSpec)
    yield "\n# Other tables\n"
    yield _MEMBERS.format(
        title="`[[smoke]]`", text="Checks of `pidone smoke`; exactly one of `http`, `tcp`, `exec` in each."
    )
    yield from (f"| `{name}` | {_cell(kind.name)} |\n" for name, kind in checks.SMOKE_MEMBERS.items())
    yield _MEMBERS.format(
        title="`[[alerts]]`", text="Conditions over the running apps, and what happens when all of one hold."
    )
    yield from (f"| `{name}` | {_cell(kind.name)} |\n" for name, kind in checks.ALERT_MEMBERS.items())
    yield _MEMBERS.format(title="`[[static]]`", text=_STATIC)
    yield from (f"| `{name}` | {_cell(kind.name)} |\n" for name, kind in static.MEMBERS.items())
    yield "\n# Keys without meaning in a container\n\n"
    yield "PM2's keys about its daemon, its cloud and desktops are accepted, named once, and ignored:\n"
    yield ", ".join(f"`{name}`" for name in sorted(NOTHING_IN_A_CONTAINER)) + ".\n"


def _group(group: KeyGroup, spec: type[Record]) -> Iterator[str]:
    yield f"\n## {group.title}\n\n| key | holds | default | |\n|---|---|---|---|\n"
    for key in group.keys:
        names = f"`{key.name}`" + ("*" if key.ours else "")
        also = f" Also: {', '.join(f'`{alias}`' for alias in key.aliases)}." if key.aliases else ""
        cells = (names, key.kind.name, default_of(key, spec), key.doc + also)
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
