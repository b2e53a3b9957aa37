"""Tab completion for bash, zsh and fish: a few lines of shell that ask `pidone complete` for the words."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from pidone.cli.options import CommandSet
from pidone.cli.registry import COMMANDS, TOPICS

_BASH: Final = """\
_pidone() {
    local line=${COMP_LINE:0:COMP_POINT} word IFS=$' \\t\\n'
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[-1]}
    IFS=$'\\n'
    COMPREPLY=($(pidone complete -- "${words[@]:1}" 2>/dev/null))
    if [ ${#COMPREPLY[@]} -eq 0 ]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$word"))
    elif [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
    fi
}
complete -F _pidone pidone
"""
"""Words are taken from the line: bash splits COMP_WORDS at colons, which names of instances have."""
_ZSH: Final = """\
#compdef pidone
_pidone() {
    local -a found
    found=("${(@f)$(pidone complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "${found[1]}" ]] && compadd -a found || _files
}
if [[ $funcstack[1] = _pidone ]]; then _pidone "$@"; else compdef _pidone pidone; fi
"""
"""Sourced it is bound; from a folder of `fpath` it is called, as the body of the function itself."""
_FISH: Final = """\
function __pidone
    set -l words (commandline -opc) (commandline -ct)
    set -l found (pidone complete -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path $words[-1]
    end
end
complete -c pidone -f -a '(__pidone)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

app = CommandSet()


@app.command("completion")
@click.argument("shell", type=click.Choice(tuple(SCRIPTS)))
def completion(shell: str) -> None:
    """Print the completion script for bash, zsh or fish.

    `source <(pidone completion bash)` turns it on.
    """
    sys.stdout.write(SCRIPTS[shell])


@app.command("complete", hidden=True)
@click.argument("words", metavar="WORD...", nargs=-1)
def complete(words: Sequence[str]) -> None:
    """Print what the last WORD may become, one per line: the shells call this."""
    for word in candidates(words or [""]):
        print(word)


def candidates(words: Sequence[str]) -> list[str]:
    """What the last word may become."""
    *before, last = words
    if not before:
        return sorted(name for names in TOPICS.values() for name in names if name.startswith(last))
    if before[0] not in COMMANDS:
        return []
    from click.shell_completion import ShellComplete

    from pidone.cli.click_app import program

    items = ShellComplete(program, {}, "pidone", "").get_completions(list(before), last)
    return sorted({item.value for item in items if item.type == "plain"}.union(_others(before, last)))


def _others(before: Sequence[str], last: str) -> list[str]:
    """The options of a start, which has a parser of its own."""
    if before != ["start"] or not last.startswith("-"):
        return []
    from pidone.cli.start import OPTIONS

    return [option for option in OPTIONS if option.startswith(last)]
