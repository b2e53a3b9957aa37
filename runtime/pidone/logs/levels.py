"""How severe a line is, by what it says of itself: common prefixes, and the level fields of JSON loggers."""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pidone.record import Record

FIELDS: Final = ("level", "severity", "log.level", "lvl", "levelname", "loglevel")
"""Where JSON loggers put it, the usual ones first."""
_NAMES: Final = {
    "trace": ("trace", "finest", "finer", "trc"),
    "debug": ("debug", "fine", "verbose", "silly", "dbg"),
    "info": ("info", "notice", "information", "note", "log", "config", "system", "inf"),
    "warning": ("warn", "warning", "deprecated", "wrn"),
    "error": ("error", "err", "severe"),
    "fatal": ("fatal", "critical", "crit", "panic", "alert", "emerg", "emergency", "ftl"),
}
LEVELS: Final = tuple(_NAMES)
"""From harmless to fatal."""
BY_NAME: Final = MappingProxyType({word: level for level, words in _NAMES.items() for word in words})
_BY_LETTER: Final = {
    "T": "trace",
    "D": "debug",
    "I": "info",
    "N": "info",
    "W": "warning",
    "E": "error",
    "F": "fatal",
    "C": "fatal",
}
"""Of glog, klog, tornado, Jupyter, Ruby, etcd."""
_BY_SYSLOG: Final = ("fatal", "fatal", "fatal", "error", "warning", "info", "info", "debug")  # sd-daemon(3)
_BY_MARK: Final = {
    ".": "debug",  # Redis, serverLogRaw() in server.c
    "-": "debug",
    "*": "info",
    "#": "warning",
    **dict.fromkeys(('"', "***", "pid", "|", "AM", "PM", "ENGINE"), "info"),  # see the signs
    **dict.fromkeys(("DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION"), "info"),  # PostgreSQL
    **dict.fromkeys(("Parse", "Traceback", "Uncaught"), "error"),
    "t": "trace",  # webpack
    "i": "info",
    "w": "warning",
    "e": "error",
}

_INITIALS: Final = "".join(sorted({word[0] for word in BY_NAME}))


def _in_any_case(words: Iterable[str]) -> str:
    """A pattern of words, in lower, upper or title case, by initials: sre tells those apart at once."""
    by_initial: dict[str, list[str]] = {}
    for word in words:
        by_initial.setdefault(word[0], []).append(word[1:])
    return "|".join(
        f"[{initial}{initial.upper()}](?:{'|'.join((*rests, *map(str.upper, rests)))})"
        for initial, rests in by_initial.items()
    )


_ANY: Final = _in_any_case(BY_NAME)
_CAPITAL: Final = "[A-Z]{3,11}+"
_AFTER: Final = r"(?=[\]):>|\s,/]|\Z)"
_CLOCK: Final = "[0-9]{2}:[0-9]{2}"
_DATED: Final = rf"[\[0-9]{{1,5}}+(?:[-/][0-9]{{2}}[-/][0-9]{{2}}[T ]{{1,2}}[0-9]{{1,2}})?+:{_CLOCK}"
_ZONE: Final = (
    r"[0-9.,Z]*+(?: ?[+-][0-9:]{4,5}+"
    r"| (?!(?:INFO?|WARN|WRN|DBG|TRC|FTL|CRIT|NOTE|FINE|HINT|LOG|ERR)\b)[A-Z]{3,4}\b)?+\]?+:?+"
)
_BETWEEN: Final = r"(?: kid[0-9]++)?[ \t|-]*+(?:[0-9]++ )?(?:\[[^\]\n]{1,40}\] ){0,4}?"
_LOGGER: Final = _BETWEEN + r"(?:[\w.:/-]++ - |[\w.-]{1,60}+/|\w{1,60}+@\S+ )?"
_MONTH: Final = "[A-Z][a-z]{2}"
_CLIENT: Final = r"(?:[0-9A-Fa-f.:-]{1,45}+ \S+ \S+ )?"


_STARS: Final = b"\n*** "
_FEW: Final = 24
"""As many stars take the time of one `rfind` over a chunk."""


class _Sign(Record):
    """One way in which lines tell their level."""

    start: str
    """Pattern of the start of a line, with the word that tells the level as its group.

    The first thing in it is a narrow set of characters: sre rejects a line for that in 20 ns.
    """
    needs: tuple[tuple[bytes, ...], ...] = ()
    """Of each of these something is in such a line, or in it and the end of the one before.

    To look for a byte costs 1 ns per line, so bytes come first; `rfind` takes a third of the time of `find`.
    """
    is_there: Callable[[bytes], bool] | None = None
    """Tells it faster than `rfind` does."""


def _has_stars(text: bytes) -> bool:
    """Whether a line begins with uwsgi's mark. Redaction leaves three stars as well, in a few lines."""
    at = len(text)
    for _ in range(_FEW):
        at = text.rfind(b"*", 0, at)
        if at < 0 or text.startswith(_STARS, at - 3):
            return at >= 0
        at -= 1  # the star before cannot be the mark's last one
    return text.rfind(_STARS) >= 0


_SIGNS: Final = (
    # `WARN  text`, `ERROR: text`, and glog's or klog's `E1120 23:04:39.123456`
    _Sign(rf"([A-Z]{{1,11}})(?=(?<=[A-Z]{{3}})[\]):>|\s,]|\Z|[0-9]{{4}} [0-9]{{2}}:{_CLOCK})"),
    # `[warn] text`, `<3>text`; `[0] text` is concurrently's, of its first command
    _Sign(r"[\[(<](?:([A-Za-z]{3,11}) *+[\])>]|(?<=<)([0-7])>)", ((b"[", b"(", b"<"),)),
    # webpack: `<i> [webpack-dev-server] text`
    _Sign(r"<([tiwe])> (?=\[)", ((b"<",), (b"> [",))),
    # `Error: text`; `Error in` may be prose.
    _Sign(rf"([{_INITIALS}{_INITIALS.upper()}][a-z]{{2,10}})[:|]", ((b":", b"|"),)),
    # `2026-11-20 23:04:39,123 - name - WARNING - text`, `[2026-11-20 23:04:39 +0000] [7] [INFO] text`,
    # winston's `2026-11-20T23:04:39Z error: text`, Celery's `[2026-11-20 23:04:39,123: INFO/Main] text`,
    # locust's `[2026-11-20 23:04:39,123] host/INFO/x: text`, MariaDB's `2026-11-20 23:04:39 0 [Note] text`,
    # NATS' `[7] 2026/11/20 23:04:39.123456 [INF] text`, Serilog's `[23:04:39 WRN] text`
    _Sign(
        rf"(?:\[[0-9]{{1,7}}\] )?+{_DATED}{_ZONE}{_LOGGER}"
        rf"(?:({_CAPITAL}){_AFTER}|[\[(<]({_ANY})(?= *+[\])>])|([a-z]{{3,11}}+)(?=[>:]))",
        ((b":",),),
    ),
    # access lines: `127.0.0.1 - - [20/Nov/2026 23:04:39] "GET / HTTP/1.1" 200 -`, Django's without a client,
    # CherryPy: `[20/Nov/2026:23:04:39] ENGINE text`
    _Sign(
        rf"{_CLIENT}\[[0-9]{{2}}/{_MONTH}/[0-9]{{4}}[ :][0-9:]++(?: [+-][0-9]{{4}})?\] "
        r'("(?=[A-Z]{3,10} [^"\n]*")|ENGINE)',
        ((b"]",), (b"/",)),
    ),
    # Redis: `7:M 20 Nov 2026 23:04:39.123 * text`
    _Sign(rf"[0-9]{{1,7}}:[A-Z] [0-9]{{2}} {_MONTH} [0-9]{{4}} [0-9:.]++ ([*#.-]) ", ((b":",), (b".",))),
    # Apache: `[Fri Nov 20 23:04:39.123456 2026] [core:notice] [pid 7] text`
    _Sign(
        rf"\[{_MONTH} {_MONTH} [ 0-9]{{2}} [0-9:.]++ [0-9]{{4}}\] \[(?:\w{{0,40}}+:)?({_ANY})[0-9]?\]",
        ((b"]",),),
    ),
    # php-fpm: `[20-Nov-2026 23:04:39] NOTICE: text`; Tomcat: `20-Nov-2026 23:04:39.123 INFO [main] text`
    _Sign(
        rf"\[?[0-9]{{2}}-{_MONTH}-[0-9]{{4}} [0-9:.]++(?: UTC)?\]? ({_CAPITAL}){_AFTER}",
        ((b"-",), (b":",)),
    ),
    # PHP: `PHP Warning:  text`, in its own log after a date
    _Sign(
        rf"(?:\[[0-9]{{2}}-{_MONTH}-[0-9]{{4}} [^\]\n]{{8,40}}\] )?"
        "PHP (Fatal|Parse|Warning|Notice|Deprecated)",
        ((b"P",), (b":",)),
    ),
    # Jupyter, tornado: `[I 2026-11-20 23:04:39.123 ServerApp] text`
    _Sign(rf"\[([DIWEFC]) [0-9-]{{6,10}} [0-9]{{2}}:{_CLOCK}", ((b"[",),)),
    # Ruby's Logger: `W, [2026-11-20T23:04:39.123456 #7]  WARN -- : text`
    _Sign(rf"([DIWEF]), \[[0-9-]{{10}}T{_CLOCK}", ((b", [",),)),
    # uwsgi: `*** Starting uWSGI`, and `[pid: 7|app: 0|req: 1/1] text`
    _Sign(r"(\*\*\*)(?= )", ((b"*",),), _has_stars),
    _Sign(r"(?:\[(?=pid: ))?(pid)(?=: [0-9]+\|)", ((b"|",), (b"\n[pid: ", b"\npid: "))),
    # unbound: `[1795215879] unbound[7:0] info: text`, and others that write as syslog has it, dated or not:
    # `Nov 20 23:04:39 host postfix/smtpd[77]: warning: text`
    _Sign(
        rf"(?:\[[0-9]{{10}}\] |{_MONTH} [ 0-9]{{2}} {_CLOCK}:[0-9]{{2}} (?:[\w.-]{{1,63}}+ )?)?"
        rf"[a-z][\w./-]{{0,40}}+\[[0-9:]{{1,12}}\]:? ({_ANY})(?: error)?: ",
        ((b"]: ", b"] "), (b": ",)),
    ),
    # etcd 3.4: `2026-11-20 23:04:39.123456 I | etcdmain: text`
    _Sign(rf"{_DATED}[0-9.:]++ ([DTINWEC]) \| ", ((b" | ",),)),
    # stunnel: `2026.11.20 23:04:39 LOG5[ui]: text`
    _Sign(rf"(?:[0-9.]{{10}} {_CLOCK}:[0-9]{{2}} )?LOG([0-7])\[", ((b"LOG",), (b"]: ",))),
    # squid: `2026/11/20 23:04:39 kid1| text`
    _Sign(rf"{_DATED}(?: kid[0-9]++)?(\|) ", ((b"|",),)),
    # `Traceback (most recent call last):`, `KeyError: 'x'`, `java.lang.IllegalStateException: text`,
    # `Exception in thread "main" ...`, `Uncaught Error: text`
    _Sign(
        r"([A-Za-z_][\w.$]*+)"
        r"(?:(?<=Error):|(?<=Exception)(?::| in thread)|(?<=Traceback) \(most|(?<=Uncaught) )",
        ((b":",),),
    ),
    # Python's warnings: `/app/x.py:893: SecurityWarning: text`
    _Sign(r"[/<][^\s:]*+:[0-9]{1,6}: \w{0,40}?(Warning): ", ((b"/", b"<"), (b":",))),
    # java.util.logging: `Nov 20, 2026 11:04:39 PM com.x.Y main`, the level is in the next line
    _Sign(rf"{_MONTH} [0-9]{{1,2}}, [0-9]{{4}} [0-9:]++ ([AP]M) \S+ \S+$", ((b",",), (b":",))),
    # logfmt: `time="2026-11-20T10:00:00Z" level=warning msg="x"`
    _Sign(
        r'(?:[\w.@/-]+=(?:"[^"\n]{0,80}"|[^ "\n]{0,80}) ){0,8}?(?:level|lvl|severity)="?([A-Za-z]+)',
        ((b"=",), (b"level=", b"lvl=", b"severity=")),
    ),
    # JSON, in formats that do not merge it
    _Sign(
        r'\{[^\n]{0,400}?"(?:level|severity|log\.level|levelname)" ?: ?"?([A-Za-z]+|\d{1,9})',
        ((b"{",), (b'level"', b'"severity"', b'levelname"')),
    ),
)
"""The first sign that tells a level counts."""
_COLOUR: Final = r"\x1b\[[0-9;]*m"
"""SGR of ECMA-48, 8.3.117: loggers that are told to, or take us for a terminal, colour the level."""


@functools.cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """Compiled when the first line comes: the first apps start without waiting for it."""
    return re.compile(pattern.encode(), re.MULTILINE)


def of_lines(lines: bytes, default: str) -> str | list[str]:
    r"""The level of whole lines, each ended by `\n`: one for all of them, or a list with one for each.

    Lines that do not tell theirs have the level `default`. Most chunks tell nothing, or the same everywhere;
    that is found without looking at single lines. Where lines differ, `findall` gives a word per line, empty
    where there is none, so that the work per line is in C.
    """
    if b"\x1b" in lines:
        lines = _compiled(_COLOUR).sub(b"", lines)
    text = b"\n" + lines[:-1]
    told: list[str] = []
    for sign in _SIGNS:
        if (
            all(any(text.rfind(word) >= 0 for word in words) for words in sign.needs)
            and (sign.is_there is None or sign.is_there(text))
            and _compiled(rf"\n{sign.start}").search(text)
        ):
            words = _words(_compiled(rf"\n(?:{sign.start}|)").findall(text))
            meanings = {word: _level(word) for word in set(words)}
            if any(meanings.values()):
                also = [meanings[word] for word in words]
                told = [one or other for one, other in zip(told, also, strict=True)] if told else also
                if all(told):
                    break
    if len(set(told)) <= 1:
        return (told[0] if told else "") or default
    return [level or default for level in told]


def _words(found: list[bytes] | list[tuple[bytes, ...]]) -> list[bytes]:
    """What `findall` gives where a pattern has one group, or several of which one matches."""
    return [each if isinstance(each, bytes) else b"".join(each) for each in found]


def of_line(line: bytes, default: str) -> str:
    """The level of one line, or of the beginning of one."""
    told = of_lines(line + b"\n", default)
    return told if isinstance(told, str) else told[0]


def of_fields(own: Mapping[str, Any]) -> str | None:
    """The level that an app's logger gives its own line; None if it gives none that is known."""
    for key in FIELDS:
        value = own.get(key)
        if isinstance(value, str):
            return BY_NAME.get(value.lower())
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return of_number(value)
    return None


def of_number(value: float) -> str:
    """The level of a number as pino and bunyan use them: 10 trace, 20 debug, ... 60 fatal."""
    return LEVELS[min(max(int(value) // 10, 1), len(LEVELS)) - 1]


@functools.lru_cache(maxsize=256)
def _level(token: bytes) -> str:
    """Of a word, a number, a letter of glog or a priority of syslog; empty if it means nothing."""
    text = token.decode()
    if text.endswith(("Error", "Exception")):
        return "error"
    if text.isdecimal():
        return of_number(int(text)) if len(text) > 1 else _BY_SYSLOG[int(text)]
    return _BY_LETTER.get(text) or _BY_MARK.get(text) or BY_NAME.get(text.lower(), "")
