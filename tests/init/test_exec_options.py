"""The command line of `pidone exec`, and the scanner under all three command lines."""

import getopt as stdlib_getopt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from init_harness import exec_, outcome

from pidone.init.bare.getopt import Scan
from pidone.init.bare.options import Options, parse
from pidone.init.bare.output import Quit
from pidone.signames import signal_name

SHORT = "ab:c"
LONG = {"alpha": "a", "beta": "b", "betamax": "c"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no command given"),
        (["--"], "no command given"),
        (["-v"], "no command given"),
        (["--foo", "true"], "unrecognized option '--foo'"),
        (["-x", "true"], "invalid option -- 'x'"),
        (["--grace"], "option '--grace' requires an argument"),
        (["--verbose=1", "true"], "option '--verbose' doesn't allow an argument"),
        (["--gr", "true"], "option '--gr' is ambiguous; possibilities: '--group' '--grace'"),
        (["--grace", "soon", "true"], "'soon' is not a number of seconds"),
        (["--grace", "-1", "true"], "'-1' is not a number of seconds"),
        (["--grace", "nan", "true"], "'nan' is not a number of seconds"),
        (["-r", "TERM", "true"], "'TERM' is not SIGNAL:SIGNAL"),
        (["-r", "TREM:INT", "true"], "unknown signal 'TREM'; did you mean SIGTERM?"),
        (["-r", "TERM:", "true"], "unknown signal ''"),
        (["-r", "0:TERM", "true"], "there is no signal 0"),
        (["-r", "KILL:TERM", "true"], "'KILL' is never forwarded, so it cannot be rewritten"),
        (["-r", "CHLD:TERM", "true"], "'CHLD' is never forwarded, so it cannot be rewritten"),
        (["-e", "256", "true"], "'256' is not an exit code from 0 to 255, or two of them as CODE:TO"),
        (["-e", "1:", "true"], "'1:' is not an exit code from 0 to 255, or two of them as CODE:TO"),
        (["-e", "1:2:3", "true"], "'1:2:3' is not an exit code from 0 to 255, or two of them as CODE:TO"),
        (["-p", "TERMM", "true"], "unknown signal 'TERMM'; did you mean SIGTERM?"),
    ],
)
def test_wrong_usage_is_one_message_and_code_64(args: list[str], message: str) -> None:
    """Nothing is started, and stderr says what is wrong."""
    expected = (64, "", f"pidone exec: {message}\nTry 'pidone exec --help'.")
    assert outcome([*exec_()[:-1], *args]) == expected


def test_help() -> None:
    """--help names every option on stdout, even if the rest is wrong."""
    code, out, err = outcome([*exec_()[:-1], "-v", "--help", "--foo"])
    assert (code, err) == (0, "")
    for name in ("group", "single-child", "rewrite", "map-exit", "grace", "subreaper", "no-subreaper"):
        assert f"--{name}" in out


def parsed(*args: str) -> Options:
    return parse([*args, "command"])


def test_defaults() -> None:
    """Without options: the command alone, ten seconds, orphans where possible."""
    options = parse(["command", "--grace", "x"])
    assert options.command == ["command", "--grace", "x"]
    assert (options.group, options.subreaper, options.verbose) == (False, None, False)
    assert (options.grace_s, options.pdeath_signal) == (10.0, 0)
    assert (options.rewrite, options.map_exit) == ({}, {})


def test_the_last_of_a_pair_wins() -> None:
    """-c and -g, -s and -S undo each other."""
    assert parsed("-cg").group
    assert not parsed("-g", "--single-child").group
    assert parsed("-Ss").subreaper is True
    assert parsed("--subreaper", "--no-subreaper").subreaper is False


@given(
    rewrite=st.dictionaries(
        st.sampled_from([1, 2, 3, 10, 15, 20, 34, 64]), st.sampled_from([0, 1, 9, 15, 19, 35]), max_size=4
    ),
    map_exit=st.dictionaries(st.integers(0, 255), st.integers(0, 255), max_size=4),
    grace=st.floats(0, 1e6),
    named=st.booleans(),
    glued=st.booleans(),
    command=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0")), min_size=1),
)
def test_options_are_understood_in_every_spelling(
    *,
    rewrite: dict[int, int],
    map_exit: dict[int, int],
    grace: float,
    named: bool,
    glued: bool,
    command: list[str],
) -> None:
    """Names or numbers, glued or apart: the same options come out."""
    spell = signal_name if named else str
    pairs = [("rewrite", f"{spell(a)}:{spell(b) if b else 0}") for a, b in rewrite.items()]
    pairs += [("map-exit", f"{code}:{to}" if to else str(code)) for code, to in map_exit.items()]
    pairs += [("grace", repr(grace))]
    words = [word for n, v in pairs for word in ([f"--{n}={v}"] if glued else [f"--{n}", v])]
    options = parse([*words, "--", *command])
    assert (options.rewrite, options.map_exit) == (rewrite, map_exit)
    assert options.grace_s == grace
    assert options.command == command


words = st.lists(
    st.sampled_from(
        [
            "a",
            "-a",
            "-b",
            "-c",
            "-ab",
            "-ba",
            "-ac",
            "-cb",
            "-d",
            "-",
            "--",
            "--alpha",
            "--alp",
            "--beta",
            "--betam",
            "--bet",
            "--beta=x",
            "--betamax=1",
            "--b",
            "--gamma",
            "--alpha=",
            "--=x",
            "value",
        ]
    ),
    max_size=6,
)


@given(args=words, permute=st.booleans())
def test_the_scanner_agrees_with_the_standard_library(*, args: list[str], permute: bool) -> None:
    """The same options, the same operands, and errors for the same command lines."""
    long = ["alpha", "beta=", "betamax"]
    reference = stdlib_getopt.gnu_getopt if permute else stdlib_getopt.getopt
    scan = Scan(args, SHORT, LONG, permute=permute)
    try:
        pairs, operands = reference(args, SHORT, long)
    except stdlib_getopt.GetoptError:
        assert scan.error is not None
        return
    assert scan.error is None
    assert scan.operands == operands
    assert scan.options == [(LONG.get(name.lstrip("-"), name.lstrip("-")), value) for name, value in pairs]


@given(st.lists(st.text(), max_size=5))
def test_any_words_are_a_command_or_a_refusal(args: list[str]) -> None:
    """No input raises anything but Quit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pidone.init.bare.options.say", lambda *_: None)
        try:
            options = parse(args)
        except Quit:
            return
    assert options.command
    assert args[-len(options.command) :] == options.command
