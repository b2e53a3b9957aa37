"""The sweep itself: that it sees a harm, and that faults which once did harm do none any more."""

import errno
import os
import platform
from argparse import Namespace
from pathlib import Path

import harness
import pytest
from faults.__main__ import MOST_PATIENCE, chosen, one
from faults.calls import CANNOT_FAIL, ERRNOS, FOREVER, NUMBERS
from faults.cases import LIFE, Case, all_cases, parse, share
from faults.judge import judge
from faults.played import Seen, play

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86_64's")

MENDED = [
    "accept4:EMFILE:1",  # and thousands of tracebacks once
    "chdir:EACCES:1",  # ended the start; after a spawn it lost the process
    "epoll_ctl:ENOSPC:1",  # half a loop complained on stderr
    "epoll_ctl:ENOSPC:forever",  # clients waited for ever for a loop that was not to be had
    "epoll_wait:EINVAL:1",  # ended the loop, and left the apps running
    "epoll_wait:EBADF:forever",  # the last stand started again who had ended
    "fcntl:EACCES:98",  # the last words of who had ended; or a helper that nobody owned
    "getdents64:EINVAL:1",  # /proc/self/fd: ended the start
    "getsockopt:ENOPROTOOPT:1",  # a client that nobody hung up on
    "kill:EPERM:1",  # no TERM
    "openat:EMFILE:forever",  # a traceback, as the report of the error could not be imported
    "poll:ENOMEM:forever",  # left hooks and helpers running
    "read:EAGAIN:92",  # Python makes None of it, and that had no owner
    "rt_sigprocmask:EINVAL:3",  # the reader of the file was left behind
    "rt_sigprocmask:EINVAL:7",  # process 1 was deaf, as the C library did not let signals in again
    "socketpair:EMFILE:forever",  # as epoll_ctl
    "waitid:EINVAL:1",  # nothing was ever buried again
    "write:EDESTADDRREQ:4",  # a traceback of the interpreter's own, at a signal
    "write:EDESTADDRREQ:forever",  # each of them in the stop: what should be told ended everybody with 70
    "write:EIO:forever",  # process 1 was deaf, as no signal woke its loop
    "writev:EAGAIN:forever",  # the end waited for a stdout that says it has room and takes nothing
    "writev:EPIPE:1",  # 74 without a word
    "close:EIO:1",
]


@pytest.mark.parametrize("name", MENDED)
def test_what_is_mended_stays_mended(name: str) -> None:
    """Every app hears TERM, the code tells the truth, nobody is left, no traceback, no lost record."""
    harness.become_subreaper()
    seen, verdict = one(parse(name))
    assert verdict.outcome != "harmed", f"{verdict}\n{b''.join(seen.out).decode()}\n{seen.err}"
    assert seen.times


def test_a_life_without_a_fault_is_unharmed(tmp_path: Path) -> None:
    """Else the sweep would prove nothing; and the table knows every call of it."""
    for attempt in range(3):  # asked about each call, it is slow, and a signal may interrupt what never is
        seen = play(None, tmp_path / str(attempt), pid1=os.geteuid() == 0, patience=MOST_PATIENCE)
        if judge(None, seen).outcome == "unharmed":
            break
    assert judge(None, seen).outcome == "unharmed", (judge(None, seen), seen.err)
    assert seen.unknown <= CANNOT_FAIL.keys()
    assert "connect" not in seen.counts, "nobody has named anything to call: it sends nothing home"


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (Seen(code=None), "hung"),
        (Seen(code=139), "code 139"),
        (Seen(code=70, journal=[("a", 3, "start"), ("a", 3, "TERM")]), "code 70"),
        (Seen(code=0, journal=[("a", 3, "start")]), "no TERM for a"),
        (Seen(code=78, journal=[("a", 3, "start"), ("a", 3, "TERM")], err="why"), "though apps"),
        (Seen(code=0, left=["sleep 9"]), "left running: 1"),
        (Seen(code=0, err="Traceback (most recent call last)"), "traceback"),
        (
            Seen(code=0, journal=[("flood", 3, "flooded")], out=[b'{"message":"flood 0"}\n']),
            "1999 records lost",
        ),
        (Seen(code=0, out=[b'{"message":"flood 1"}\n']), "1 records lost"),
        (Seen(code=0, out=[b'{"mess']), "broken record"),
        (Seen(code=0, missed=["reload"]), "silent: reload"),
        (Seen(code=0, unanswered=["ls"]), "not answered: ls"),
        (Seen(code=0, ended_early=True), "ended early"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_harm_is_seen(seen: Seen, what: str) -> None:
    """Each of those that are promised not to happen."""
    verdict = judge(Case("read", errno.EIO, 1), seen)
    assert verdict.outcome == "harmed"
    assert what in str(verdict)


def test_slowness_is_told_from_harm() -> None:
    """What a deadline has decided is tried again; what no machine makes by being slow is not."""
    slow = [Seen(code=None), Seen(code=0, missed=["hup"]), Seen(code=0, unanswered=["ls"])]
    late = b'{"event":"instance.kill"}\n'
    slow.append(Seen(code=0, journal=[("a", 3, "start")], out=[late]))
    assert all(judge(None, seen).may_be_slowness for seen in slow)
    sure = [Seen(code=0, journal=[("a", 3, "start")]), Seen(code=0, err="Traceback"), Seen(code=139)]
    assert not any(judge(None, seen).may_be_slowness for seen in sure)


def test_cases_are_named_and_chosen_always_the_same() -> None:
    """A tenth of each call's, and of each call at least one."""
    counts = dict.fromkeys(NUMBERS, 20)
    cases = all_cases(counts, counts, exhaustive=False)
    assert [parse(str(case)) for case in cases] == cases
    chosen = share(cases)
    assert share(cases) == chosen
    assert {case.call for case in chosen} == {call for call in NUMBERS if ERRNOS[call]}
    assert len(cases) / 12 <= len(chosen) <= len(cases) / 7
    fewer = all_cases(dict.fromkeys(NUMBERS, 9), dict.fromkeys(NUMBERS, 9), exhaustive=False)
    assert share(fewer) == [case for case in chosen if case in fewer]
    everything = all_cases(counts, counts, exhaustive=True)
    assert set(cases) < set(everything)
    assert {case.when for case in everything} == {FOREVER, *range(1, 21)}


def test_the_share_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No life is asked first what there is; and who plays all has played the share."""
    monkeypatch.setattr("faults.__main__.play", None)
    fixed = chosen(Namespace(share=True, cases=[]))
    assert {case.call for case in fixed} == LIFE.keys()
    more = {call: count + 7 for call, count in LIFE.items()}
    assert set(fixed) <= set(all_cases(more, more, exhaustive=False))
    assert 250 < len(fixed) < 400
