"""Texts that are lists: command lines, and names."""

from pidone.ecosystem.values import parse_list, parse_string


def split_words(text: str) -> tuple[str, ...]:
    r"""Split a command line on blanks, honouring quotes as a shell user expects and nothing else.

    A quote opens at the start of a word or right after `=`, so `--x='a b'` is one word without its quotes and
    `{"a":1}` stays what it is. Inside quotes a backslash keeps the next quote or backslash; elsewhere it is
    an ordinary character. A quote that is never closed is an ordinary character as well (`don't`).
    """
    words: list[str] = []
    word: list[str] = []
    started = False
    position = 0
    while position < len(text):
        char = text[position]
        if char in "'\"" and (not started or (word and word[-1] == "=")):
            quoted = _quoted(text, position)
            if quoted is not None:
                content, position = quoted
                word.append(content)
                started = True
                continue
        if char.isspace():
            if started:
                words.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
            started = True
        position += 1
    if started:
        words.append("".join(word))
    return tuple(words)


def _quoted(text: str, start: int) -> tuple[str, int] | None:
    """What the quotes that open at `start` hold, and the position after them; None if they never close."""
    quote = text[start]
    content: list[str] = []
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == quote:
            return "".join(content), position + 1
        if char == "\\" and position + 1 < len(text) and text[position + 1] in (quote, "\\"):
            position += 1
            char = text[position]
        content.append(char)
        position += 1
    return None


def parse_words(value: object) -> tuple[str, ...]:
    """A list of words, or one string that is split like a command line."""
    if value is False:
        return ()
    if isinstance(value, str):
        parse_string(value)
        return split_words(value)
    return parse_list(value, "expected a list of texts or one text", parse_string)


def parse_names(value: object) -> tuple[str, ...]:
    """A list of texts, or one text (not split)."""
    if value is False or value == "":
        return ()
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return (parse_string(value),)
    return parse_list(value, "expected a text or a list of texts", parse_string)
