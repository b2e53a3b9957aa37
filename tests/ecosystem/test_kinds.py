"""How single values are read: durations, sizes, words, numbers, signals."""

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.ecosystem import values
from pidone.ecosystem.spec import MemoryShare
from pidone.ecosystem.values import Invalid, kinds, quantities, split_words


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (5000, 5.0),
        ("5000", 5.0),
        (0, 0.0),
        ("5s", 5.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        (" 10S ", 10.0),
        ("2d", 172800.0),
        (".5s", 0.5),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    """Units mean what they say; a bare number is milliseconds, also as text."""
    assert quantities.parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "5x", "s", "-5s", -1, "1h30", True, None, [], float("inf"), float("nan"), "9" * 400, 10**400, "1e3"],
)
def test_durations_that_are_none(written: object) -> None:
    """Nonsense, negative and endless durations are refused."""
    with pytest.raises(Invalid, match="expected a duration"):
        quantities.parse_duration(written)


@pytest.mark.parametrize(
    ("written", "warned"), [(30, True), ("30", True), (0, False), (100, False), ("30s", False), ("x", False)]
)
def test_a_small_bare_number_is_suspicious(written: object, warned: bool) -> None:  # noqa: FBT001
    """`kill_timeout = 30` is read as 30 ms, with a hint at what was probably meant."""
    advice = kinds.DURATION.advise(written)
    assert (advice is not None) == warned
    if advice:
        assert '"30s"' in advice


@given(st.integers(0, 10**10))
def test_a_duration_is_written_so_that_it_reads_back(milliseconds: int) -> None:
    """write and parse are each other's inverse for whole milliseconds."""
    seconds = milliseconds / 1000
    assert quantities.parse_duration(quantities.write_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1G", 2**30),
        ("1GB", 2**30),
        ("1GiB", 2**30),
        ("1.5G", 3 * 2**29),
        ("500m", 500 * 2**20),
        ("512K", 2**19),
        ("500", 500),
        (524288000, 524288000),
        ("0.5T", 2**39),
        (0, None),
        ("0", None),
        (False, None),
        ("80%", MemoryShare(fraction=0.8)),
        ("80%/n", MemoryShare(fraction=0.8, per_instance=True)),
        ("12.5 % / n", MemoryShare(fraction=0.125, per_instance=True)),
    ],
)
def test_limits(written: object, size: object) -> None:
    """Sizes count by 1024 like PM2's, in any spelling; shares too; 0 and false are no limit."""
    assert quantities.parse_limit(written) == size


@pytest.mark.parametrize(
    "written", ["", "G", "1X", "-1G", -5, True, None, [], {}, "101%", "0%", "1e9", "9" * 100 + "T"]
)
def test_limits_that_are_none(written: object) -> None:
    """Nonsense is refused with examples of what would be right."""
    with pytest.raises(Invalid, match="expected a"):
        quantities.parse_limit(written)


@given(
    st.one_of(
        st.integers(1, 2**55),
        st.builds(
            MemoryShare, fraction=st.integers(1, 1000).map(lambda n: n / 1000), per_instance=st.booleans()
        ),
    )
)
def test_a_size_is_written_so_that_it_reads_back(size: Any) -> None:
    """write and parse are each other's inverse."""
    again = quantities.parse_limit(quantities.write_size(size))
    if isinstance(size, MemoryShare):
        assert isinstance(again, MemoryShare)
        assert again.fraction == pytest.approx(size.fraction)
        assert again.per_instance == size.per_instance
    else:
        assert again == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start -p 3000", ("start", "-p", "3000")),
        ("  a\t b\n", ("a", "b")),
        ('-g "daemon off;"', ("-g", "daemon off;")),
        ("--x='a b' c", ("--x=a b", "c")),
        ("-c '{\"a\": 1}'", ("-c", '{"a": 1}')),
        ('--data {"a":1}', ("--data", '{"a":1}')),
        ("say don't", ("say", "don't")),
        (r"--grep \d+", ("--grep", r"\d+")),
        (r'"a \"b\" c"', ('a "b" c',)),
        ("''", ("",)),
        ("'unclosed", ("'unclosed",)),
        ('"a""b"', ('a"b"',)),
        ("", ()),
    ],
)
def test_command_lines(text: str, words: tuple[str, ...]) -> None:
    """Quotes group at the start of a word or after =, and are plain characters elsewhere."""
    assert split_words(text) == words


@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=8), max_size=6
    )
)
def test_quoted_words_survive(words: list[str]) -> None:
    """Anything in double quotes comes back as the same words."""
    text = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    assert split_words(text) == tuple(words)


@given(st.text())
def test_splitting_loses_nothing_but_blanks_and_quotes(text: str) -> None:
    """Every word consists of characters of the text, and there is no empty word without quotes."""
    words = split_words(text)
    assert "".join(words).replace("\\", "").strip("'\"") in text or set("".join(words)) <= set(text)
    if not set("'\"") & set(text):
        assert list(words) == text.split()


@pytest.mark.parametrize(
    ("written", "count"),
    [(4, 4), ("4", 4), ("4,", 4), ("2.7", 2), ("max", 0), ("MAX", 0), (0, 0), (-1, -1), ("-1", -1)],
)
def test_instances(written: object, count: int) -> None:
    """Numbers as PM2 takes them, 0 and max for every CPU."""
    assert kinds.INSTANCES.parse(written) == count


@pytest.mark.parametrize("written", ["many", "", "4x", True, None, [2], 10**9])
def test_instances_that_are_none(written: object) -> None:
    """PM2 makes "many" as many as there are CPUs; here it is refused."""
    with pytest.raises(Invalid):
        kinds.INSTANCES.parse(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (True, True),
        ("true", True),
        ("yes", True),
        (1, True),
        ("0", False),
        (0, False),
        ("Off", False),
        (False, False),
    ],
)
def test_booleans(written: object, meant: bool) -> None:  # noqa: FBT001
    """0 and false mean what they say, also as text."""
    assert values.parse_bool(written) is meant


@pytest.mark.parametrize("written", ["maybe", 2, None, [], 1.0, ""])
def test_booleans_that_are_none(written: object) -> None:
    """Nothing else is a boolean."""
    with pytest.raises(Invalid, match="true or false"):
        values.parse_bool(written)


@pytest.mark.parametrize("written", ["SIGUSR2", "usr2", " UsR2 ", 12, "12"])
def test_signals(written: object) -> None:
    """A signal by name, with or without SIG, or by number."""
    assert kinds.parse_signal(written) == signal.SIGUSR2


@pytest.mark.parametrize("written", ["SIGFOO", "", 0, 99, "TERM KILL", True, None, "SIG_IGN"])
def test_signals_that_are_none(written: object) -> None:
    """What is no signal is refused."""
    with pytest.raises(Invalid):
        kinds.parse_signal(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0 3 * * *", "0 3 * * *"),
        ("*/10  * * * * *", "*/10 * * * * *"),
        ("@daily", "@daily"),
        (0, None),
        (False, None),
        ("", None),
    ],
)
def test_cron(written: object, meant: str | None) -> None:
    """Five fields, six with seconds, a word; 0 and false switch it off, as in PM2."""
    assert kinds.parse_cron(written) == meant


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("@reboot", "cron"),
        ("* * *", "expected a cron expression of five fields"),
        ("0 3 * * * * *", "expected a cron expression of five fields"),
        (5, "expected a cron expression"),
        (True, "expected a cron expression"),
        ("a;b * * * *", "cron expression of five fields"),
        ("61 * * * *", "is no cron expression .bad minute"),
        ("0 0 31 2 *", "never comes true|bad day"),
    ],
)
def test_cron_that_is_none(written: object, why: str) -> None:
    """What cannot be a cron expression is refused."""
    with pytest.raises(Invalid, match=f"^{why}|^expected .*{why}"):
        kinds.parse_cron(written)
