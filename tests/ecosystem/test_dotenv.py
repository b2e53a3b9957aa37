"""dotenv files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.ecosystem.dotenv import DotenvError, parse


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB=two words\n", {"A": "1", "B": "two words"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("export A=1", {"A": "1"}),
        ("# comment\n\n  A = 1 # why\n", {"A": "1"}),
        ("A=b#c", {"A": "b#c"}),
        ("A='x # $B ${B} \\n'", {"A": "x # $B ${B} \\n"}),
        ('A="x\\ny\\t\\"z\\""', {"A": 'x\ny\t"z"'}),
        ('A="one\ntwo" # rest\nB=2', {"A": "one\ntwo", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=''", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\nB=${A}/${HOME}/${NO:-d}/${NO}", {"A": "1", "B": "1//home/app/d/"}),
        ("A=$5 and $B", {"A": "$5 and $B"}),
        ("A=it's", {"A": "it's"}),
        ('A="unclosed', {"A": '"unclosed'}),
        ("a.b-c: yes", {"a.b-c": "yes"}),
        ("A='1'  # x\nB=2", {"A": "1", "B": "2"}),
        ("", {}),
    ],
)
def test_grammar(text: str, variables: dict[str, str]) -> None:
    """Quotes, comments, escapes, references and line ends as dotenv and docker compose have them."""
    assert parse(text, {"HOME": "/home/app"}) == variables


def test_a_line_that_is_none_is_named_but_not_shown() -> None:
    """The error tells the line's number; the line itself may hold a secret."""
    with pytest.raises(DotenvError, match="line 3") as caught:
        parse("A=1\n\nhunter2\n", {})
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever the file holds: variables or DotenvError, in time."""
    try:
        variables = parse(text, {})
    except DotenvError:
        return
    assert all(name and "=" not in name for name in variables)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True),
        st.text(st.characters(blacklist_characters="'\r", blacklist_categories=["Cs"])),
    )
)
def test_single_quotes_keep_everything(variables: dict[str, str]) -> None:
    """A value in single quotes comes back as it is, over several lines too."""
    text = "\n".join(f"{name}='{value}'" for name, value in variables.items())
    assert parse(text, {}) == variables
