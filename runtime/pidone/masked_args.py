"""Command lines without passwords: of options, variables, headers, logins, and of some programs.

And variables, which may hold one.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from pidone.masking import MASK, is_public, is_secret, is_short_word, mask_named, mask_text

_SETTING: Final = r"(?s)^(-{0,2}\w[\w.-]*)=(.*)$"
"""`--password=x` and `PASSWORD=x`."""
_LOGIN_OPTIONS: Final = r"-u|--user|--proxy-user|-U"
"""Followed by `user:password`, as of curl."""
_SETTINGS_OF_LOGINS: Final = r"--(?:user|proxy-user|cert|proxy-cert)"
"""The same as `--user=user:password`; a certificate's is that of its key."""
_NUMBERS: Final = r"\d+:\d+"
"""A user and a group, as of `docker run`."""
_LDAP: Final = ("search", "add", "modify", "delete", "whoami", "passwd", "compare", "modrdn", "exop")
_MONGO: Final = ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport", "mongostat")
_SNMP: Final = ("get", "walk", "set", "getnext", "bulkwalk", "bulkget", "table", "trap", "inform")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "sshpass": ("-p",),
    **dict.fromkeys(("redis-cli", "valkey-cli", "keydb-cli"), ("-a",)),
    **dict.fromkeys((f"ldap{each}" for each in _LDAP), ("-w",)),
    **dict.fromkeys(("smbclient", "rpcclient"), ("-U",)),
    "curl": ("-b",),
    "ssh-keygen": ("-N", "-P"),
    **dict.fromkeys(("rar", "unrar"), ("-p", "-hp")),
    "swaks": ("-ap",),
    **dict.fromkeys(("flyctl", "fly", "doctl"), ("-t",)),
    **dict.fromkeys(("sqlcmd", "bcp", "osql", "tsql"), ("-P",)),
    **dict.fromkeys(("mosquitto_pub", "mosquitto_sub", "mosquitto_rr"), ("-P",)),
    **dict.fromkeys(_MONGO, ("-p",)),
    **dict.fromkeys(
        ("cqlsh", "rabbitmqadmin", "couchbase-cli", "cbq", "rdesktop", "useradd", "usermod"), ("-p",)
    ),
    **dict.fromkeys(("zip", "unzip", "ipmitool"), ("-P",)),
    **dict.fromkeys(("7z", "7za", "7zr", "7zz"), ("-p",)),
    **dict.fromkeys((f"snmp{each}" for each in _SNMP), ("-A", "-X", "-c")),
    **dict.fromkeys(("http", "https"), ("-a",)),
    "lftp": ("-u",),
    "openssl": ("-k", "-K"),
    "login": ("-p",),  # of docker, podman, oc, az and others
}
"""Programs and their commands whose option for a password does not say so."""
_ONLY_APART: Final = frozenset(
    {"openssl", "login", "http", "https", "useradd", "usermod", "lftp", "curl", "flyctl", "fly", "doctl"}
)
"""Of these, options of one letter have no value joined to them, or others begin alike."""
_JOINED: Final = r"mysql|mariadb"
"""Programs whose password follows `-p` without a blank, and only so."""
_ORACLE: Final = frozenset({"sqlplus", "sqlldr", "exp", "imp", "expdp", "impdp", "rman"})
"""`user/password@database`."""
_PLACES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "rabbitmqctl": (("add_user|change_password|authenticate_user", 2),),
    "mc": (("alias set", 5), ("config host add", 6), ("admin user add", 5)),
    "vault": (("login", 1), ("token (?:lookup|renew|revoke)", 2)),
    "ngrok": (("authtoken", 1), ("config add-authtoken", 2)),
    "wpa_passphrase": ((".*", 1),),
    "rclone": (("obscure", 1),),
    **dict.fromkeys(("redis-cli", "valkey-cli", "keydb-cli"), (("(?i:auth)", 1),)),
    "smbclient": (("//.*", 1),),
}
"""Words that are no options: how they begin, and which of them is the password, from 0."""
_SEPARATORS: Final = frozenset({"&&", "||", "|", ";", "&", "--"})
_QUOTES: Final = "'\"`$();"


def mask_args(args: Sequence[str], rest: Callable[[str], str] = mask_text) -> list[str]:
    """Each word as it may be shown; `rest` is asked about those of which nothing is known."""
    if len(args) == 1 and is_short_word(args[0]):
        return [*args]
    shown: list[str] = []
    line = _Line()
    for arg in args:
        shown.append(_mask_arg(arg, line, rest))
        line.take(arg)
    return shown


def mask_value(name: str, value: str) -> str:
    """The mask if the name says that the value is a secret, else what `mask_text` leaves of it."""
    if is_public(name):
        return value
    if is_secret(name):
        return MASK if value else ""
    text = mask_text(value)
    if " -" not in text:
        return text
    return mask_args([text], lambda word: word)[0]  # `BACKUP = "mysqldump -uroot -pX db"`


def mask(env: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """Every variable, sorted by name; `secrets` names those that came from files and are never shown."""
    return {name: MASK if name in secrets else mask_value(name, env[name]) for name in sorted(env)}


class _Line:
    """What is known of a command line so far."""

    def __init__(self) -> None:
        self.program = self.previous = ""
        self.flags = ""
        """Letters of its options so far."""
        self.words: list[str] = []
        """Of the program, without options."""

    def take(self, arg: str) -> None:
        """One more word."""
        word = arg.strip(_QUOTES).rpartition("/")[2]
        if arg in _SEPARATORS:
            self._begin("")
        elif (
            not arg.startswith("-") and _is_known(word) and not (word == "login" and self.program == "vault")
        ):
            self._begin(word)
        elif arg.startswith("-"):
            self.flags += "" if arg.startswith("--") else arg[1:]
        else:
            self.words.append(arg)
        self.previous = arg
        if arg.endswith(";"):
            self._begin("")

    def _begin(self, program: str) -> None:
        self.program, self.flags, self.words = program, "", []


def _is_known(word: str) -> bool:
    return (
        word in _OPTIONS
        or word in _PLACES
        or word in _ORACLE
        or word in ("htpasswd", "xfreerdp")
        or re.match(_JOINED, word) is not None
    )


def _mask_arg(arg: str, line: _Line, rest: Callable[[str], str]) -> str:
    is_certificate = line.program == "curl" and line.previous.endswith("cert")
    if not arg.startswith("-") and not is_certificate and (_hides_next(line) or _is_in_place(arg, line)):
        return MASK
    if masked := _login(arg, line) or _joined(arg, line):
        return masked
    setting = re.match(_SETTING, arg)
    if setting is not None and " " not in setting[1]:
        return _mask_setting(setting[1], setting[2], arg, line, rest)
    if " " in arg and ":" not in arg.split(" ", maxsplit=1)[0]:  # a command line in a word, for a shell
        return " ".join(mask_args(mask_named(arg).split(" "), rest))
    return rest(arg)


def _mask_setting(name: str, value: str, arg: str, line: _Line, rest: Callable[[str], str]) -> str:
    if is_public(name):
        return arg
    if re.fullmatch(_SETTINGS_OF_LOGINS, name):
        user, colon, password = value.partition(":")
        is_login = bool(password) and not re.fullmatch(_NUMBERS, value)
        return f"{name}={user}{colon}{MASK}" if is_login else arg
    if is_secret(name) and value:
        return f"{name}={MASK}"
    if name == "--from-literal":  # of kubectl create secret
        return f"{name}={value.partition('=')[0]}={MASK}"
    if line.previous == "--from-literal":
        return f"{name}={MASK}"
    return rest(arg)


def _hides_next(line: _Line) -> bool:
    """Whether the word before says that a secret follows."""
    option = line.previous
    if not option.startswith("-"):  # `aws configure set aws_secret_access_key x`, `npm config set _auth x`
        return len(line.words) > 1 and line.words[-2] == "set" and is_secret(option)
    return "=" not in option and (is_secret(option) or option in _OPTIONS.get(line.program, ()))


def _is_in_place(arg: str, line: _Line) -> bool:
    """Whether it stands where the program has its password."""
    if line.program == "htpasswd" and "b" in line.flags:  # [file] user password
        return len(line.words) == (1 if "n" in line.flags else 2)
    place = len(line.words)
    return "=" not in arg and any(
        place == at and re.match(rf"(?:{begin})(?: |$)", " ".join(line.words))
        for begin, at in _PLACES.get(line.program, ())
    )


def _login(arg: str, line: _Line) -> str:
    """A login whose password is masked; else nothing."""
    option = rf"{_LOGIN_OPTIONS}|-[A-Za-z]+u" if line.program == "curl" else _LOGIN_OPTIONS
    if line.program == "curl" and line.previous in ("-E", "--cert", "--proxy-cert"):
        path, colon, _ = arg.partition(":")
        return f"{path}{colon}{MASK}" if colon else arg
    if re.fullmatch(option, line.previous) and ":" in arg:
        return f"{arg.partition(':')[0]}:{MASK}"
    if line.program in _ORACLE and re.match(r"[\w.#$\"]+/[^\s/]", arg):
        user, _, rest = arg.partition("/")
        return f"{user}/{MASK}{''.join(rest.rpartition('@')[1:]) if '@' in rest else ''}"
    return ""


def _joined(arg: str, line: _Line) -> str:
    """A secret that follows an option without a blank, masked; else nothing."""
    program = line.program
    if re.match(_JOINED, program) and arg.startswith("-p") and len(arg) > 2:
        return f"-p{MASK}"
    if program == "xfreerdp" and arg.startswith("/p:"):
        return f"/p:{MASK}"
    if program == "curl" and arg.startswith("-u") and ":" in arg:
        return f"{arg.partition(':')[0]}:{MASK}"
    if program in ("rar", "unrar") and arg.startswith("-hp") and len(arg) > 3:
        return f"-hp{MASK}"
    if len(arg) > 2 and arg[:2] in _OPTIONS.get(program, ()) and program not in _ONLY_APART:
        return f"{arg[:2]}{MASK}"
    return ""
