"""What a terminal is sent: UTF-8, or ASCII where somebody says that it knows nothing better."""

from collections.abc import Callable, Mapping
from typing import Final

from pidone.logs.formats import widths

_UTF8: Final = ("", "utf8")
"""Nothing said is what `docker exec` brings along, on terminals that know UTF-8."""
_ASCII: Final = str.maketrans("─│┃…▾▸▴·▁▂▃▄▅▆▇█▉▊▋▌▍▎▏⏎↑↓←→", "-||~v>^._.:-=+*########/^v<>")


def encoder(environ: Mapping[str, str]) -> Callable[[str], bytes]:
    """For the charset of the locale (POSIX: LC_ALL, else LC_CTYPE, else LANG)."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    charset = locale.partition(".")[2].partition("@")[0].lower().replace("-", "")
    return str.encode if charset in _UTF8 else in_ascii


def in_ascii(text: str) -> bytes:
    """As wide as the text was."""
    text = text.translate(_ASCII)
    if text.isascii():
        return text.encode()
    return "".join(each if each.isascii() else "?" * widths.width(each) for each in text).encode()
