"""What apps say has no power over the terminal of who reads it."""

import pytest
from logs.relaying import app, stage

from pidone.logs.escape import printable, printable_lines, printable_word


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("Grüße 😀", "Grüße 😀"),
        ("a\x1b[2K\rforged", "a^[[2K^Mforged"),
        ("\x1b]0;title\x07x", "^[]0;title^Gx"),
        ("\x1b]52;c;cm0gLXJm\x1b\\", "^[]52;c;cm0gLXJm^[\\"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[8mhidden", "\x1b[8mhidden\x1b[0m"),
        ("\x1b[31mone\n\x1b[32mtwo\x1b[39m\nthree", "\x1b[31mone\x1b[0m\n\x1b[32mtwo\x1b[39m\x1b[0m\nthree"),
        ("\x9b2J\x85next", "<9b>2J<85>next"),
        ("safe \u202eetadpu", "safe <U+202E>etadpu"),
        ("\x7f\x00\b", "^?^@^H"),
        ("m\x1bm", "m^[m"),
    ],
)
def test_only_colours_have_an_effect_and_only_on_their_line(said: str, shown: str) -> None:
    """Text and whole chunks are treated alike."""
    assert printable(said) == shown
    assert printable_lines(said.encode()) == shown.encode()


def test_a_name_is_one_word_of_plain_text() -> None:
    """Neither a line end nor a colour is obeyed within a table."""
    assert printable_word("a\nb\x1b[31mc\u2028d") == "a^Jb^[[31mc<U+2028>d"


FORGED = b"x\r\x1b[2K12:04:43.697 db.0   | all is lost\n"


@pytest.mark.parametrize("name", ["text", "pm2-format", "pm2-formatted"])
def test_a_line_cannot_pose_as_anothers_where_people_read_it(name: str) -> None:
    """Not even with a line end in a joined message; stored records have what was said."""
    with stage(log_format=name) as it:
        outlet = it.open(app(multiline="^x"))
        it.say(outlet, FORGED + b"12:04:43.697 db.0   | so is this\n")
        outlet.spawned(1)
        outlet.finish()
        text = it.text()
        assert b"\r" not in text
        assert b"\x1b[2K" not in text
        assert not [line for line in text.splitlines() if line.startswith(b"12:04:43.697 db.0")]


def test_what_is_stored_is_what_was_said() -> None:
    """JSON escapes it, and a reader gets it back."""
    with stage(log_format="json") as it:
        outlet = it.open(app())
        it.say(outlet, FORGED)
        outlet.spawned(1)
        outlet.finish()
        (record,) = it.records()
        assert record["message"].encode() + b"\n" == FORGED


def test_the_runtimes_own_events_pass_nothing_on_either() -> None:
    """An app's words reach them by STATUS=, file names and messages."""
    with stage(log_format="text") as it:
        it.relay.event("info", "instance.exit", "a\r\x1b[2K\n12:04:43.697 db.0 | forged", app="x\x1b[2J")
        text = it.text()
    assert b"\r" not in text
    assert b"\x1b" not in text
    assert b"\n12:04" not in text
