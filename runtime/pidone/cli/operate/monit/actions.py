"""What can be done to what is marked, in words."""

from typing import Final

from pidone.cli.operate.monit import rows
from pidone.cli.operate.monit.state import CommandRequest, Screen
from pidone.record import EMPTY, Record

_MANY: Final = 4


class Action(Record, kw_only=True):
    """What a key asks for."""

    verb: str
    does: str
    body: dict[str, str] | None = None
    of_app: bool = False
    """Whether it is about all instances of what is marked."""
    asks: bool = False
    """Whether somebody may miss what it takes away."""


ACTIONS: Final = {
    "r": Action(verb="reload", does="replaces one instance after the other", of_app=True),
    "R": Action(verb="restart", does="ends it and starts it again", asks=True),
    "s": Action(verb="stop", does="stops it until somebody starts it", asks=True),
    "S": Action(verb="start", does="starts what does not run"),
    "+": Action(verb="scale", does="one instance more", body={"instances": "+1"}, of_app=True),
    "-": Action(verb="scale", does="one instance less", body={"instances": "-1"}, of_app=True, asks=True),
    "D": Action(verb="delete", does="stops it and forgets it", of_app=True, asks=True),
}


def request(state: Screen, action: Action) -> CommandRequest | None:
    """What to ask the runtime for: of all that is marked, else of what is under the cursor."""
    row = rows.chosen(state)
    present = {row.key for row in rows.all_rows(state.but(filter="", folded=frozenset()))}
    keys = [key for key in sorted(state.marked) if key in present] or ([] if row is None else [row.key])
    targets = dict.fromkeys(rows.of_app(key) if action.of_app else key for key in keys)
    return CommandRequest(action.verb, tuple(targets), action.body or EMPTY) if targets else None


def in_words(asked: CommandRequest) -> str:
    """`stop api:1, api:2`, `scale api -1`."""
    names = [target.removeprefix("default/") for target in asked.targets]
    if len(names) > _MANY:
        names = [*names[:_MANY], f"and {len(names) - _MANY} more"]
    return " ".join((asked.verb, ", ".join(names), *asked.body.values()))


def does(asked: CommandRequest) -> str:
    """What comes of it."""
    return next(
        each.does for each in ACTIONS.values() if (each.verb, each.body or EMPTY) == (asked.verb, asked.body)
    )
