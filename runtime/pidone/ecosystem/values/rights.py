"""Values about who a process is and what it may use: users, groups, limits, CPUs."""

import grp
import os
import pwd
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pidone import capabilities
from pidone.capabilities import Capability
from pidone.ecosystem.problems import Scope
from pidone.ecosystem.values import (
    NUMBER,
    Invalid,
    ValueKind,
    each,
    fragments,
    number,
    parse_list,
    parse_names,
)

_LARGEST_ID: Final = 2**32 - 2  # (uid_t) -1 means "unchanged" to setresuid(2)


class Account(NamedTuple):
    """A user as the process becomes it; without an entry in the passwd file it has neither name nor home.

    The group is then one of its own number, as with useradd(8): ours may be root's.
    """

    uid: int
    gid: int
    name: str | None = None
    home: str | None = None
    is_group_chosen: bool = False
    """Whether it was named beside the user."""

    def groups(self, gid: int) -> tuple[int, ...]:
        """Those that initgroups(3) would give it beside a primary group; none for one that nobody knows."""
        return () if self.name is None else tuple(os.getgrouplist(self.name, gid))


def parse_account(value: object) -> Account:
    """A user by name or number, with `:group` if wanted; a number needs no entry in the passwd file."""
    if not isinstance(value, str):
        return _account(number(value, "expected a user's name or number"))
    user, colon, group = value.partition(":")
    account = _account(_as_id(user))
    return account._replace(gid=parse_group(group), is_group_chosen=True) if colon else account


def _as_id(text: str) -> float | str:
    text = text.strip()  # of more than int() allows for
    return int(text) if text.isdecimal() and len(text) <= 20 else text


def _account(user: float | str) -> Account:
    try:
        if isinstance(user, str):
            entry = pwd.getpwnam(user)
        elif 0 <= user <= _LARGEST_ID and user == int(user):
            entry = pwd.getpwuid(int(user))
        else:
            raise Invalid("expected a user's number from 0 to 4294967294")
    except (KeyError, ValueError) as missing:
        if isinstance(missing, Invalid):
            raise
        if isinstance(user, str):
            raise Invalid("no such user; a number needs no entry in /etc/passwd") from None
        return Account(int(user), int(user))
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def parse_group(value: object) -> int:
    """A group by name or number."""
    found = _as_id(value) if isinstance(value, str) else number(value, "expected a group's name or number")
    if isinstance(found, str):
        try:
            return grp.getgrnam(found).gr_gid
        except (KeyError, ValueError):
            raise Invalid("no such group; a number needs no entry in /etc/group") from None
    if not 0 <= found <= _LARGEST_ID or found != int(found):
        raise Invalid("expected a group's number from 0 to 4294967294")
    return int(found)


def _parse_groups(value: object) -> tuple[int, ...]:
    return parse_list(parse_names(value), "", parse_group)


def credentials(
    values: Mapping[str, Any], account: Account | None, scope: Scope, *, must_exist: bool
) -> dict[str, Any]:
    """Who it runs as: a user comes with groups of his own, since those of the runtime are not his."""
    uid, gid = account.uid if account else None, values.get("gid", account.gid if account else None)
    groups = values.get("groups")
    if groups is None and account is not None and gid is not None:
        groups = account.groups(gid)
    if os.geteuid() != 0:
        held = capabilities.effective()
        if account is not None and uid == os.geteuid() and not capabilities.has(Capability.SETGID, held):
            # It is who we are already, with the groups that the container was given, whatever they are.
            groups = values.get("groups")
            gid = gid if account.is_group_chosen else values.get("gid")
        if must_exist:
            _check_rights(uid, gid, groups, held, scope)
    return {"uid": uid, "gid": gid, "groups": groups}


def is_another_set(groups: Sequence[int] | None, gid: int | None) -> bool:
    """Whether these beside a primary group are others than ours; whose number it is makes no difference.

    Engines list the primary group among the supplementary ones.
    """
    own = os.getegid() if gid is None else gid
    return groups is not None and {own, *groups} != {own, *os.getgroups()}


def _check_rights(
    uid: int | None, gid: int | None, groups: Sequence[int] | None, held: int | None, scope: Scope
) -> None:
    """Of root it is seen when it tries: there it is the container that may not allow it."""
    missing = []
    if uid not in (None, os.geteuid()) and not capabilities.has(Capability.SETUID, held):
        missing.append(Capability.SETUID)
    if gid not in (None, os.getegid()) or is_another_set(groups, gid):
        missing += [] if capabilities.has(Capability.SETGID, held) else [Capability.SETGID]
    if missing:
        key = "uid" if uid is not None else "gid" if gid is not None else "groups"
        needed = " and ".join(map(str, missing))
        scope.error(f"{key}: only root can run an app as somebody else, or who has {needed}", key)


def _parse_umask(value: object) -> int:
    wanted = 'expected an octal mask such as "027"'
    if isinstance(value, str):
        digits = value.strip().removeprefix("0o")
        if not digits or not set(digits) <= set("01234567"):  # int() would take signs and underscores too
            raise Invalid(wanted)
        value = int(digits, 8)
    mask = number(value, wanted)
    if mask != int(mask) or not 0 <= mask <= 0o777:
        raise Invalid(wanted)
    return int(mask)


LIMIT_NAMES: Final = (
    "as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
"""The resources of setrlimit(2) on Linux."""


def _parse_limits(value: object) -> dict[str, tuple[int, int]]:
    if not isinstance(value, Mapping):
        raise Invalid("expected a table of limits such as {nofile = 65536}")
    return dict(each(value.items(), _parse_limit))


def _parse_limit(name: object, limit: object) -> tuple[str, tuple[int, int]]:
    resource = str(name).lower().removeprefix("rlimit_")
    if resource not in LIMIT_NAMES:
        raise Invalid("unknown limit; known are " + ", ".join(LIMIT_NAMES))
    return resource, _limit_pair(limit)


def _limit_pair(value: object) -> tuple[int, int]:
    wanted = 'expected a number, "unlimited", or soft and hard as "1024:4096"'
    parts: list[object]
    if isinstance(value, str):
        parts = [*value.split(":")]
    elif isinstance(value, list | tuple):
        parts = [*value]
    elif isinstance(value, Mapping):
        parts = [value.get("soft", value.get("hard")), value.get("hard", value.get("soft"))]
    else:
        parts = [value]
    if len(parts) not in (1, 2):
        raise Invalid(wanted)
    soft, hard = (_limit(part, wanted) for part in (parts[0], parts[-1]))
    if hard != -1 and (soft == -1 or soft > hard):
        raise Invalid("expected a soft limit that is not above the hard one")
    return soft, hard


def _limit(value: object, wanted: str) -> int:
    if isinstance(value, str) and value.strip().lower() in ("unlimited", "infinity", "-1"):
        return -1
    found = number(value, wanted)
    if found != int(found) or not -1 <= found < 2**62:
        raise Invalid(wanted)
    return int(found)


_MOST_CPUS: Final = 8192  # NR_CPUS of the largest distribution kernels


def _parse_cpus(value: object) -> str | tuple[int, ...]:
    wanted = 'expected "spread", a list such as "0-3,5", or numbers'
    if value == "spread":
        return "spread"
    parts = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    )
    found: set[int] = set()
    for part in parts:
        first, dash, last = part.partition("-") if isinstance(part, str) else (part, "", "")
        low = number(first, wanted)
        high = number(last, wanted) if dash else low
        if low != int(low) or high != int(high) or not 0 <= low <= high < _MOST_CPUS:
            raise Invalid(wanted)
        found.update(range(int(low), int(high) + 1))
    return tuple(sorted(found))


_ID: Final = fragments.either(
    {"type": "integer", "minimum": 0, "maximum": _LARGEST_ID}, {"type": "string", "minLength": 1}
)
_LIMIT: Final = rf"{NUMBER}|{fragments.any_case(['unlimited', 'infinity', '-1'])}"
_LIMIT_SCHEMA: Final = fragments.either(
    {"type": "integer", "minimum": -1}, fragments.text(rf"({_LIMIT})\s*(:\s*({_LIMIT}))?")
)
_CPU: Final = rf"{NUMBER}\s*(-\s*{NUMBER})?"
_CPUS_SCHEMA: Final = fragments.either(
    {"type": "integer", "minimum": 0, "maximum": _MOST_CPUS - 1},
    fragments.text(rf"spread|{_CPU}(\s*,\s*{_CPU})*"),
)
USER: Final = ValueKind("user", parse_account, _ID)
GROUP: Final = ValueKind("group", parse_group, _ID)
GROUPS: Final = ValueKind(
    "list of groups",
    _parse_groups,
    fragments.either(fragments.OFF, {"const": ""}, _ID, fragments.listed(_ID)),
)
UMASK: Final = ValueKind(
    "octal text",
    _parse_umask,
    fragments.either({"type": "integer", "minimum": 0, "maximum": 0o777}, fragments.text("(0o)?[0-7]{1,6}")),
    write=lambda value: f"{value:03o}",
)
LIMITS: Final = ValueKind(
    "table of limits",
    _parse_limits,
    fragments.mapped(
        fragments.either(
            _LIMIT_SCHEMA,
            {"type": "array", "items": _LIMIT_SCHEMA, "minItems": 1, "maxItems": 2},
            {
                "type": "object",
                "properties": {"soft": _LIMIT_SCHEMA, "hard": _LIMIT_SCHEMA},
                "minProperties": 1,
            },
        ),
        names=rf"([Rr][Ll][Ii][Mm][Ii][Tt]_)?({fragments.any_case(LIMIT_NAMES)})",
    ),
)
CPUS: Final = ValueKind(
    "`spread` or CPUs",
    _parse_cpus,
    fragments.either(_CPUS_SCHEMA, fragments.listed(_CPUS_SCHEMA)),
    write=lambda value: value if isinstance(value, str) else list(value),
)
