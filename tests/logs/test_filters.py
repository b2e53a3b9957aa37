"""Noise is dropped, secrets and colours are taken out, before a line gets anywhere."""

import itertools
import re
import subprocess
import time
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE
from hypothesis import given, settings
from hypothesis import strategies as st
from logs.relaying import app, stage

from pidone.bounded_search import BoundedSearch
from pidone.ecosystem.spec import AppSpec
from pidone.ecosystem.values import Invalid, ValueKind
from pidone.ecosystem.values.tables import MULTILINE, PATTERNS
from pidone.logs.filters.line_filter import line_filter
from pidone.logs.filters.matches import Folding, matches_of
from pidone.logs.filters.patterns import examine


def said(spec: AppSpec, text: bytes, *, stream: str = "stdout") -> list[str]:
    with stage() as it:
        outlet = it.open(spec)
        it.say(outlet, text, stream=stream)
        outlet.spawned(7)
        outlet.finish()
        return it.messages()


def test_noise_goes_nowhere(tmp_path: Path) -> None:
    """Neither to stdout nor to a file; a pattern may be anchored at the line."""
    log = tmp_path / "log"
    spec = app(log_drop=("GET /healthz", "^DEBUG", "end$"), out_file=str(log))
    kept = ["GET /", "x DEBUG", "ends"]
    assert said(spec, b"GET /\nGET /healthz\nDEBUG x\nx DEBUG\nthe end\nends\n") == kept
    assert log.read_text().splitlines() == kept


@pytest.mark.parametrize(
    ("patterns", "line", "expected"),
    [
        (("Bearer [a-z0-9]+",), "auth Bearer abc1 ok", "auth *** ok"),
        ((r"password=(\S+)",), "password=x&y password=z", "password=*** password=***"),
        ((r"(?<=token=)\w+", r"\A\d+"), "12 token=abc", "*** token=***"),
        ((r"a(b)?c",), "ac abc", "ac a***c"),
        (("ü+",), "grüün", "gr***n"),
        (("äö?",), "äx äöx", "***x ***x"),
        (("(?<=grö)ß",), "größe", "grö***e"),
        ((r"key\s+\w+",), "key", "key"),
    ],
)
def test_secrets_are_hidden(patterns: tuple[str, ...], line: str, expected: str) -> None:
    """The first group, or all that matches; never across lines."""
    assert said(app(log_redact=patterns), f"{line}\nnext\n".encode()) == [expected, "next"]


def test_a_secret_in_a_long_line_or_amid_two_reads_is_hidden() -> None:
    """The pattern sees whole lines, also those that become several records."""
    line = b"x" * 16_370 + b" password=" + b"s" * 60 + b" " + b"y" * 40_000
    with stage() as it:
        outlet = it.open(app(log_redact=(r"password=(\S+)",)))
        it.say(outlet, line[:16_400])
        outlet.spawned(7)
        it.turn(lambda: True)
        outlet.finish()
        text = "".join(it.messages())
    assert "password=***" in text
    assert "ssss" not in "".join(said(app(log_redact=(r"password=(\S+)",)), line + b"\n"))


def test_colours_are_taken_out_when_asked() -> None:
    """Of records and files; the level is found all the same."""
    assert said(app(strip_colors=True), b"\x1b[1;31mred\x1b[0m plain\n") == ["red plain"]


def test_the_level_of_unlabelled_stderr_is_configurable() -> None:
    """Only of lines that tell none."""
    with stage() as it:
        outlet = it.open(app(stderr_level="info"))
        it.say(outlet, b"plain\nERROR: x\n", stream="stderr")
        outlet.spawned(7)
        outlet.finish()
        assert [record["level"] for record in it.records()] == ["info", "error"]


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$", "(a|a)*b", "(.*x)*", "((ab)*)*", "(x+|y)+", "(?:(?=a+)b)+"),
        *(
            "(a{1,30}){1,30}b",
            "(?:a?){30}a{30}b",
            "a*a*a*a*a*b",
            "(?>(a+)+b)",
            "(x)?(?(1)(b+)+c)",
            "(?:(a+)+b)*+",
        ),
    ],
)
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str) -> None:
    """Whoever writes the lines could stop the runtime with it."""
    with pytest.raises(Invalid, match="for ever"):
        PATTERNS.parse([pattern])


@pytest.mark.parametrize(
    "pattern",
    [
        *("a+b+", "(ab)+", "(?:a|b)*+", "a|b+", r"(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}", "[a-z]+@[a-z.]+"),
        *(r"ERROR.*timeout.*after \d+ s.*", r"\b(?:\d[ -]?){13,16}\b", "(?>a+)b"),
        r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?",
    ],
)
def test_other_patterns_are_taken(pattern: str) -> None:
    """They are as quick as the line is long, or nearly."""
    assert PATTERNS.parse(pattern) == (pattern,)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?u)x", "cannot use 'u' flag with a bytes pattern"),
        (r"\u00fc", r"bad escape \\u"),
        ("[äö]", "may hold ASCII only"),
        ("x[^ä-ü]", "may hold ASCII only"),
        ("(?P<ä>x)", "bad character in group name"),
    ],
)
@pytest.mark.parametrize("kind", [PATTERNS, MULTILINE])
def test_a_pattern_that_is_none_for_bytes_is_refused(pattern: str, why: str, kind: ValueKind) -> None:
    """Where it is written, and not by the first process that writes a line."""
    with pytest.raises(Invalid, match=why):
        kind.parse(pattern)


def test_a_line_on_which_a_pattern_takes_for_ever_is_dealt_with_safely() -> None:
    """It is kept, it is hidden as a whole, it begins a message: and lines beside it are as ever."""
    hostile = b"a" * 4096
    spec = app(log_drop=("^(.*)(.*)(.*)#$", "noise"), log_redact=("secret (.*)",))
    assert said(spec, hostile + b"\nnoise\nsecret x\n") == [hostile.decode(), "secret ***"]
    spec = app(log_redact=("(.*)(.*)(.*)#",))
    assert said(spec, b"one\n" + hostile + b"\nx#y\n") == ["one", "***", "***#y"]
    spec = app(multiline="^(.*)(.*)(.*)#")
    assert said(spec, b"#one\n" + hostile + b"\ntwo\n") == ["#one", f"{hostile.decode()}\ntwo"]


def test_what_takes_for_ever_is_told_once() -> None:
    """However many lines there are like that; after some of them none is looked at for a while."""
    with stage() as it:
        outlet = it.open(app(log_redact=("(.*)(.*)(.*)#",)))
        it.say(outlet, (b"a" * 4000 + b"\n") * 15 + b"x#\n")
        outlet.spawned(7)
        outlet.finish()
        records = it.records()
    assert [record["message"] for record in records if "event" not in record] == ["***"] * 16
    (told,) = [record for record in records if record.get("event") == "log.pattern_failed"]
    assert (told["app"], told["level"]) == ("api", "warning")
    assert "took more than 0.05 s" in told["message"]


def test_long_lines_lose_what_short_ones_lose() -> None:
    """Whatever is in them, and however long the secret is."""
    drop = line_filter(drop=("x.*noise$",), redact=(), strip_colors=False, search=BoundedSearch(bool))
    redact = line_filter(
        drop=(), redact=('"image":"([^"]*)"',), strip_colors=False, search=BoundedSearch(bool)
    )
    rest = b"y" * 100_000
    assert drop(b"a\nx" + rest + b"noise\nb\n") == b"a\nb\n"
    line = b'{"image":"%b","more":"%b"}\n'
    assert redact(line % (rest, rest) + b"b\n") == line % (b"***", rest) + b"b\n"


def test_what_is_dropped_leaves_nothing() -> None:
    """Nor an empty line where another pattern looks at lines one by one."""
    assert said(app(log_drop=("a",), log_redact=("(?<=x)b",)), b"a\n") == []


def test_filters_cost_little() -> None:
    """Lines among which none matches are looked at once and not copied."""
    lines = b"2026-11-20 hello from app number 12345 ok\n" * 1500
    keep = line_filter(
        drop=("GET /healthz",), redact=(r"password=(\S+)",), strip_colors=True, search=BoundedSearch(bool)
    )
    assert keep(lines) is lines
    began = time.thread_time()  # what others do at the time is none of it
    for _ in range(100):
        keep(lines)
    assert time.thread_time() - began < 2.0


@pytest.mark.parametrize(
    "key",
    [
        *("ready = 'log:(a+)+$'", "multiline = '(ab|b)*c'", "log_drop = '(a+)+'", "log_redact = '(a+)+'"),
        "ignore_watch = ['re:(a+)+$']",
    ],
)
def test_the_file_says_so_for_every_key_that_takes_a_pattern(key: str, tmp_path: Path) -> None:
    """With the key and what would be right; nothing is started."""
    (tmp_path / "pidone.toml").write_text(f'[apps.a]\nscript = "/bin/true"\n{key}\n')
    done = subprocess.run(
        [PIDONE, "pidone.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 78
    assert "may take for ever" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("pattern", "texts", "before"),
    [
        ("GET /healthz ", ("GET /healthz ",), 0),
        (r"password=(\S+)", ("password=",), 0),
        ("[Bb]earer (x+)", ("earer ",), 1),
        (r"a\.b\.c", ("a.b.c",), 0),
        ("^[a-c]{2}xyz", ("xyz",), 2),
        (r"(?:abc)def\b", ("abcdef",), 0),
        ("(?i)aBcdef", ("abcdef",), 0),
        (r"(?i)\xc0bc.\xe0bcd", ("\xe0bcd",), 4),
        ("abc?", (), None),
        ("abcd?e", ("abc",), None),
        ("abcd*", ("abc",), 0),
        ("abcd*$", ("abc",), None),
        ("abc[^;]*", ("abc",), None),
        ("abc[^;\n]*", ("abc",), 0),
        (r"abc\s", ("abc",), None),
        (r"abc\Z", ("abc",), None),
        ("(?s)abc.", ("abc",), None),
        ("abcd{0,2}", ("abc",), 0),
        ("aaa.", ("aaa",), None),
        ("aab.{22}", ("aab",), None),
        ("(abc)?de", (), None),
        ("(abc){2}", ("abc",), None),
        ("abc|xyz", ("abc", "xyz"), None),
        ("(?:token|secret)=x", ("token", "secret"), None),
        ("abc|x", (), None),
        ("(?<=token=)x", ("token=",), None),
        ("(?!token)x", (), None),
        (r"(?>token\d)", ("token",), None),
        ("(?i:abc)", (), None),
        (r"\d+abc\b", ("abc",), None),
        ("[a-z]", (), None),
        ("^ab$", (), None),
    ],
)
def test_what_every_match_contains_is_known(pattern: str, texts: tuple[str, ...], before: int | None) -> None:
    """Or nothing is, where that would take more than a look; and where it is, if the rest is easily tried."""
    traits = examine(pattern)
    assert (traits.texts, traits.before) == (tuple(text.encode("latin-1") for text in texts), before)


PATTERNS_OF_ALL_KINDS = (
    *(
        "abc",
        "a[^;]*;",
        "a[^;]*",
        "^abc",
        "abc$",
        r"\Aabc",
        "abc(?!\\s)",
        "abc(?=$)",
        "(?<=x)abc",
        "abc|(?i:XAB)",
        "(abc)?",
        "x*",
    ),
    *(r"ab\s*c", r"abc\b", "[^;]*+$", "(?i)ABC", "abc|x;", "(abc){2}", "b{1,2}c"),
)
LINES = ("abc", "xabc", "abc;", "", "ab", "c", "x;", "aabcabc", "abbc ", "y")


@pytest.mark.parametrize("pattern", PATTERNS_OF_ALL_KINDS)
def test_many_lines_lose_what_each_alone_would_lose(pattern: str) -> None:
    """However the pattern looks around, and whatever stands in the lines beside."""
    compiled = re.compile(pattern.encode())
    dropped = line_filter(drop=(pattern,), redact=(), strip_colors=False, search=BoundedSearch(bool))
    redacted = line_filter(drop=(), redact=(pattern,), strip_colors=False, search=BoundedSearch(bool))
    for lines in itertools.product(LINES, repeat=3):
        text = "".join(f"{line}\n" for line in lines).encode()
        kept = [line for line in lines if compiled.search(line.encode()) is None]
        assert dropped(text) == "".join(f"{line}\n" for line in kept).encode(), lines
        alone = b"".join(redacted(f"{line}\n".encode()) for line in lines)
        assert redacted(text) == alone, lines


ITEMS = st.sampled_from(
    [*"abab", "[ab]", "[^a]", r"[^a\n]", ".", r"\s", r"\S", r"\b", "^", "$", "(?=a)", "(?<=b)", "a|b"]
)
REPEATS = st.sampled_from(["", "", "", "+", "*", "?", "+?", "{2}", "{1,2}", "*+"])
ROWS = st.lists(st.builds(str.__add__, ITEMS.filter("a|b".__ne__), REPEATS), max_size=3).map("".join)
ANY_PATTERNS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "(?i)", "(?s)"]),
    ROWS,
    st.sampled_from(["aba", "(aba)", "abb", "(abb|bba)", "aab", "a(abb)", "AAB"]),
    st.one_of(ROWS, ROWS.map("({})".format), st.sampled_from([r"(\S+)", "(a*)", "([^b]+)b", "|bbb"])),
)
ANY_LINES = st.lists(st.text("aabbAB; ", max_size=24), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(pattern=ANY_PATTERNS, lines=ANY_LINES)
def test_what_is_done_at_once_is_what_re_does_to_each_line(pattern: str, lines: list[str]) -> None:
    """Whatever a pattern is made of, and wherever what it contains is in the lines."""
    try:
        compiled = re.compile(pattern.encode(), re.MULTILINE)
    except re.error:  # nothing to repeat
        return
    text = "".join(f"{line}\n" for line in lines).encode()
    dropped = line_filter(drop=(pattern,), redact=(), strip_colors=False, search=BoundedSearch(bool))
    kept = [line for line in lines if compiled.search(line.encode()) is None]
    assert dropped(text) == "".join(f"{line}\n" for line in kept).encode()

    def hide(found: re.Match[bytes]) -> bytes:
        start, end = found.span(min(compiled.groups, 1))
        return found.string[found.start() : start] + b"***" + found.string[end : found.end()]

    redacted = line_filter(drop=(), redact=(pattern,), strip_colors=False, search=BoundedSearch(bool))
    hidden = b"".join(
        compiled.sub(
            lambda found: hide(found) if found.start(min(compiled.groups, 1)) >= 0 else found[0], line
        )
        + b"\n"
        for line in text[:-1].split(b"\n")
    )
    assert redacted(text) == hidden


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    pattern=st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "", "(?i)"]),
        st.sampled_from(["", "^", ".", "[=;]{2}", "[^;]{4}", "a"]),
        st.sampled_from(["ab=", "=ab", "a(b=)", "bab;", "aba;a", "abc"]),
        st.sampled_from(["", "$", r"\b", ".*", "[^;]{3}", r"(\S+)", "(a*)", "b{2}"]),
    ),
    chunks=st.lists(
        st.lists(st.text("aabbc=;AB", max_size=24), min_size=1, max_size=6), min_size=2, max_size=3
    ),
    noise=st.sampled_from(["", "=\n" * 20, ";\n" * 17, "=ab=ab=;;ab=bab;" * 20 + "\n", "c;C\n" * 20]),
)
def test_what_is_found_from_the_end_is_what_re_finds_from_the_beginning(
    pattern: str, chunks: list[list[str]], noise: str
) -> None:
    """In each chunk, also once the byte that was looked for was in too many lines; the last match first."""
    compiled, traits, fold = re.compile(pattern.encode(), re.MULTILINE), examine(pattern), Folding()
    if traits.before is None:
        return
    matches = matches_of(compiled, traits, traits.before, fold)
    for chunk in [*chunks, *chunks]:
        lines = "".join(f"{line}\n" for line in [*chunk[:1], noise, *chunk[1:]]).encode()
        expected = [found.span() for found in compiled.finditer(lines)]
        assert [found.span() for found in matches(lines)] == expected[::-1]
        fold.forget()


@pytest.mark.parametrize("secret", ["password=x", "Password=x", "PASSWORD=x"])
def test_lines_are_folded_once_they_have_changed(secret: str) -> None:
    """By each pattern: what the one before has hidden or dropped is not there any more."""
    patterns = (r"(?i)user(\d+)", r"(?i)password=(\S+)", r"(?i)\*\*\* of (secrets|noise)")
    hide = line_filter(drop=("(?i)NOISE!",), redact=patterns, strip_colors=False, search=BoundedSearch(bool))
    lines = f"noise!\nUser17 of secrets, {secret}\nplain\n".encode()
    assert hide(lines) == f"User*** of ***, {secret[:-1]}***\nplain\n".encode()
    assert hide(b"noise\n") == b"noise\n"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("aab.{3}c", "aab"),
        ("^aab([ab])", "aab"),
        ("(?i)aab[^;\\n]?", "AAB"),
        ("[ab]aab(.+)", "aab"),
        ("aab.{8}[bc]{13}", "aab"),
    ],
)
def test_no_lines_make_a_quick_pattern_slow(pattern: str, line: str) -> None:
    """It has no limit of time: the work is in proportion to the length of the lines, whoever writes them."""
    assert examine(pattern).before is not None
    redact = line_filter(drop=(), redact=(pattern,), strip_colors=False, search=BoundedSearch(bool))
    lines = (line * (2**16 // len(line) - 1)).encode() + b"\n"
    began = time.process_time()
    redact(lines)
    assert time.process_time() - began < 1.0
