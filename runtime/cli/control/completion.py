"""Tab completion for bash, zsh and fish: a few lines of shell that ask `pidone complete` for the words."""

import sys
from collections.abc import Sequence
from typing import Final

from runtime.cli.control.client import Client, CommandError
from runtime.cli.control.words import guarded, parser

_BASH: Final = """\
_pidone() {
    local IFS=$'\\n'
    COMPREPLY=($(pidone complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _pidone pidone
"""
_ZSH: Final = """\
#compdef pidone
_pidone() {
    local -a found
    found=("${(@f)$(pidone complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "${found[1]}" ]] && compadd -a found || _files
}
compdef _pidone pidone
"""
_FISH: Final = """\
function __pidone
    set -l words (commandline -opc) (commandline -ct)
    pidone complete -- $words[2..-1] 2>/dev/null
end
complete -c pidone -a '(__pidone)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_RUNTIME: Final = ("start", "exec", "check", "convert", "init", "schema")
_WAITS: Final = ("--no-wait", "--timeout")
_OPTIONS: Final = {
    "logs": ("--app", "--err", "--follow", "--lines", "--since"),
    "wait": ("--ready", "--stopped", "--timeout"),
    "health": ("--live", "--timeout"),
    "drain": ("--delay",),
    "prestop": ("--delay",),
    "send": ("--message",),
    "smoke": ("--junit", "--timeout"),
    **dict.fromkeys(("start", "stop", "restart", "reload", "scale"), _WAITS),
}
_NO_TARGET: Final = (
    "jlist",
    "prettylist",
    "health",
    "drain",
    "prestop",
    "monit",
    "save",
    "smoke",
    "completion",
)


def run(words: Sequence[str]) -> int:
    """`pidone completion SHELL`, and `pidone complete -- WORDS`, which the shells call."""
    return guarded(_complete if words[0] == "complete" else _script, words)


def _script(words: Sequence[str]) -> int:
    made = parser(
        "completion", "Print the completion script; `source <(pidone completion bash)` turns it on."
    )
    made.add_argument("shell", choices=sorted(SCRIPTS))
    sys.stdout.write(SCRIPTS[made.parse_args(words[1:]).shell])
    return 0


def _complete(words: Sequence[str]) -> int:
    given = list(words[1:])
    if given[:1] == ["--"]:
        given.pop(0)
    for word in complete(given):
        print(word)
    return 0


def complete(words: Sequence[str]) -> list[str]:
    """What the last word may become."""
    from runtime.cli.main import CONTROL

    before, last = words[:-1], words[-1] if words else ""
    if not before:
        known = {*CONTROL, *_RUNTIME} - {"complete"}
        return sorted(word for word in known if word.startswith(last))
    command = before[0]
    if last.startswith("-"):
        options = {*_OPTIONS.get(command, ()), "--help", "--json", "--socket"}
        return sorted(word for word in options if word.startswith(last))
    if command == "completion":
        return [word for word in sorted(SCRIPTS) if word.startswith(last)]
    if (command not in CONTROL and command != "start") or command in _NO_TARGET:
        return []
    return [word for word in _targets() if word.startswith(last)]


def _targets() -> list[str]:
    try:
        apps = Client(Client.find().path, 1.0).get("api", "apps")["apps"]
    except CommandError:
        return []
    several = [f"{app['name']}:{i['index']}" for app in apps for i in app["instances"] if app["scale"] > 1]
    return sorted({app["name"] for app in apps} | {"all"}) + several
