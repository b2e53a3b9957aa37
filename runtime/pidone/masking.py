"""What nobody may see: one list of names, patterns and habits, for every output.

Variables, URLs, headers, JSON, YAML and what is said in a text, in `env`, `check`, `describe`, events and
messages; command lines are in `masked_args`. When a name says so, its value is hidden: a name too many costs
a look into the file, one too few a password. Where nothing says so, words stay words.
"""

import re
from typing import Final

MASK: Final = "***"
_SHORTEST_SECRET: Final = 15
"""Of what is a secret by its form and has neither a dot nor a separator: `xapp-` and ten letters."""
SENSITIVE: Final = (
    r"pass|pwd|pw(?![a-z\d])|(?<![a-z])pw(?![a-z])|secret|token|key|cred|auth(?!or(?!i))|salt|dsn|private"
    r"|cookie|session|jwt|signature|cert|license|webhook|bearer|csrf|xsrf|nonce"
    r"|(?<![a-z])(?:pat|sas|pin|t?otp|psk|mfa)(?![a-z])|pepper|seed|mnemonic|snmp_?community"
    r"|hmac|jwk|sessid|unseal|(?:recovery|backup|access)_?(?:code|phrase)|(?<![a-z])tok(?![a-z])"
    r"|kennwort|contrase|wachtwoord|senha|geheim|mot_?de_?passe"
)
"""A name that holds one of these, in any case, names a secret."""
# Patterns are compiled where they are first used: most starts need none of them.
_SECRET_NAME: Final = rf"(?i){SENSITIVE}"
_PUBLIC_NAME: Final = r"(?i)(^|_)(path|home|shell|lang|lc_\w+|version|hostname|tz|term)$|^(?-i:(OLD)?PWD)$"
IN_URL: Final = r"(://)(?:[^\s/@:]{1,2048}|[^\s/@:]{0,2048}:[^\s\"'<>]{0,2048})@"
"""User and password, which may hold anything but blanks and quotes: a `/`, an `@`."""
_PRIVATE_KEY: Final = r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)"
_ISSUED: Final = r"""(?x)(?<![A-Za-z0-9])(?:
    eyJ[\w-]{8,}(?:\.[\w-]*){2,4}                             # JWT, JWE
    | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{20,} | dckr_[po]at_[\w-]{10,}
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | gl[a-z]{1,5}-[\w-]{20,}
    | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])      # AWS
    | xox[a-z]-[\w-]{10,} | xapp-[\w-]{10,}                   # Slack
    | [sr]k_(?:live|test)_\w{16,} | whsec_\w{16,}             # Stripe
    | AIza[\w-]{30,} | ya29\.[\w-]{10,}                       # Google
    | hv[sbr]\.[\w-]{10,} | shp(?:at|ca|pa|ss)_\w{16,} | do[opr]_v1_\w{16,}
    | SG\.[\w-]{10,}\.[\w-]{10,} | AGE-SECRET-KEY-1\w+ | bot\d{6,}:[\w-]{20,}
    | sk-(?=[\w-]{0,100}\d)[\w-]{20,} | s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])
    | \$(?:2[abxy]|[1567y]|apr1|argon2\w{1,2}|scrypt)\$[^\s:"']{8,}   # crypt(5): what is kept of a password
    )"""
"""What its issuer has given a form, so that it is found."""
_AFTER: Final = (
    (r"(?<![\w-])(sig=)(?!SIG[A-Z]+|\d{1,2}(?!\w))[^\s&\"']{4,}", r"\1{}"),  # a signed URL's, of Azure
    (r"(?i)(jdbc:oracle:\w{1,9}:[^\s/@:]{1,128}/)[^\s@]{1,256}@", r"\1{}@"),
    (r"(?<![\w.-])([\w.-]{1,128}:)[^\s@\"']{1,256}(@(?:tcp|udp|unix)\()", r"\1{}\2"),  # Go's DSN for MySQL
    (r"(hooks\.slack\.com/\w{1,20}/)[\w/-]+", r"\1{}"),
    (r"(/api/webhooks/\d{1,30}/)[\w-]+", r"\1{}"),
    (r"(?i)\b(bearer)\s+[\w.~+/=-]{6,}", r"\1 {}"),
    (
        r"(?i)(\bidentified\s+(?:with\s+\S{1,60}\s+)?(?:by|as)\s+)(['\"])(?:\\.|(?!\2).){1,500}",
        r"\1\2{}",
    ),  # SQL
    (r"(?i)\b(api-?key)[ \t]+(?=[\w.~+/=-]{0,100}\d)[\w.~+/=-]{6,}", r"\1 {}"),
)
"""What stands beside something that gives it away."""
_BASIC: Final = r"(?i)\b(basic)[ \t]+([A-Za-z0-9+/]{4,}={0,2})"
_NAME: Final = (
    r"""(?<![\w.-])((?:\\{0,8}["'])?)([\w.\[\]-]{1,100})\1\]?"""
    r"""(\s*(?:[:=]=?>?|%3[AaDd])\s*(?:[&!][\w!-]+[ \t]+)*)(?!//)"""
)
"""With what separates it from its value, an anchor and a tag of YAML's included."""
_ESCAPED: Final = r"""(\\{1,8}["']).*?(?:\1|\Z)"""
"""A text of JSON within a text of JSON."""
_QUOTED: Final = (
    r"""(?:\"{3}[\s\S]*?(?:\"{3}|\Z)|'{3}[\s\S]*?(?:'{3}|\Z)"""
    r"""|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|`(?:\\.|[^`\\])*`?)"""
)
"""Three at each end: TOML, Python."""
_BARE: Final = r"""[^\s,;&"'}\]#]+"""
_SCHEME: Final = r"(?:(?:bearer|basic|digest|token|api-?key)\s+)?"
_VALUE: Final = rf"(?i){_ESCAPED}|{_QUOTED}|{_SCHEME}{_BARE}"
"""`password=x`, `"password": "x"`, `?token=x`."""
_AUTHORIZATION: Final = (
    rf"""{_ESCAPED}|{_QUOTED}|(?:[\w-]+[ \t]+)?(?:[\w-]+=(?:"[^"\n]*"|[^\s,;"']*),\s*)*"""
    rf"""(?:[\w-]+="[^"\n]*"|{_BARE})"""
)
"""Any scheme, and its parameters."""
_COOKIES: Final = rf"""{_ESCAPED}|{_QUOTED}|{_BARE}(?:;[ \t]*[\w.-]+=[^\s;,"'}}\]]*)*"""
"""All pairs of the header."""
_NAME_AND_VALUE: Final = (
    r"""(?i)((?<![\w.-])(\\{0,8}["']?)(?:name|key)\2\s*[:=]\s*(\\{0,8}["']?)([\w.-]{1,100})\3"""
    r"""\s*,?\s*\2value\2\s*[:=]\s*)((\\{1,8}["']).*?(?:\6|\Z)"""
    rf"""|{_QUOTED}|{_BARE})"""
)
"""A variable as Kubernetes and ECS have it: `{"name": "PASSWORD", "value": "x"}`."""
_BLOCK: Final = r"[|>][-+\d]{0,2}[ \t]*(?:#[^\n]*)?\n"
"""The head of a block scalar: YAML 1.2.2, 8.1."""
_SAID: Final = r"""(?ix)(?<![\w-])(pass(?:word|wd|phrase|code)|pwd|secret|token|api[ _-]?key)
    ([ \t]+(?:(?:is|was)[ \t]+)?) (?:(["'`])([^\s"'`]{1,200})\3 | ([^\s"'`,;()=:]{5,200}))"""
_NO_VALUE: Final = r"(?i)sha\d+|base64|oauth2?|[ehr]s\d{3}|.*/.*|.*\.[a-z]{1,5}"
"""What may follow such a word in a sentence, though it has digits: algorithms, files."""
_CALL: Final = (
    r"(?i)(?<!\w)(\w{0,40}(?:login|auth(?!or)\w{0,20}|passw(?:or)?d|secret|token|credentials?)\()"
    r"([^()\n]{1,500})"
)
_PAIR: Final = r"""(["'])([\w-]{1,100})\1\s*,\s*(?=(["'])([^"'\n]{1,500})\3)"""
"""`setenv("PASSWORD", "x")`, `["--password", "x"]`."""
_ELEMENT: Final = r"""<([\w.:-]{1,100})((?:\s[^<>]{0,300})?)>(<!\[CDATA\[.{1,500}?\]\]>|[^<>]{1,500})</\1>"""
"""Of XML: `<password>x</password>`."""
_ATTRIBUTES: Final = (
    r"""(\b(?:key|name)=(["'])([\w.:-]{1,100})\2\s{1,9}(?:[\w.:-]{1,50}=["'][^"'<>]{0,100}["']\s{1,9}){0,3}"""
    r"""value=)(["'])([^"'<>]{1,500})\4"""
)
"""The same as `<add key="Password" value="x"/>`."""
_OPTION: Final = (
    r"(?<![\w.-])(-{1,2}[A-Za-z](?:[\w.-]{0,59}[\w.])?)(\s+(?:\\\s+)?)(?![-\\\s])"
    r"""((["'])[^"']{1,500}\4|[^\s"']{1,500})"""
)
"""With the word that follows, of a command line within a text."""
_OPTION_OF_NUMBERS: Final = r"(?i)-tokens?$"
"""`--max-tokens 5`"""
_RANDOM: Final = r"(?=[A-Za-z0-9+/=_-]*\d)(?=[A-Za-z0-9+/=_-]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}"


def is_secret(name: str) -> bool:
    """Whether a value of this name is nobody's business."""
    return bool(re.search(_SECRET_NAME, name)) and not is_public(name)


def is_public(name: str) -> bool:
    """Whether a value of this name is shown as it is."""
    return bool(re.search(_PUBLIC_NAME, name))


def is_short_word(text: str) -> bool:
    """Whether it cannot hold anything to hide: no pattern here fits a single word of fewer than 15 letters.

    Each start asks about the names of its apps, and compiling all patterns takes 3 ms.
    """
    return len(text) < _SHORTEST_SECRET and (text.replace("-", "").replace("_", "").isalnum() or not text)


def mask_forms(text: str) -> str:
    """Text without what is a secret by its own form: logins in URLs, keys, tokens of well-known issuers."""
    text = re.sub(IN_URL, rf"\1{MASK}@", text)
    text = re.sub(_PRIVATE_KEY, MASK, text)
    text = re.sub(_ISSUED, MASK, text)
    for pattern, shown in _AFTER:
        text = re.sub(pattern, shown.format(MASK), text)
    return re.sub(_BASIC, lambda found: f"{found[1]} {MASK}" if _is_login(found[2]) else found[0], text)


def _is_login(word: str) -> bool:
    """`user:password` in base64: RFC 7617."""
    import base64  # noqa: PLC0415 (few texts get here, and every start would pay for it)

    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
    except ValueError:
        return False


def mask_named(text: str) -> str:
    """Text without what it calls a secret itself: parameters, headers, members of JSON and YAML, in words."""
    if is_short_word(text):
        return text
    text = mask_forms(text)
    if "<" in text:
        text = re.sub(_ELEMENT, _mask_element, text)
        text = re.sub(_ATTRIBUTES, _mask_attribute, text)
    if "alue" in text:
        text = re.sub(_NAME_AND_VALUE, _mask_variable, text)
    names = re.compile(_NAME)
    parts: list[str] = []
    done = at = 0
    while name := names.search(text, at):
        at = name.end()
        is_dsn = name[2] == "PWD" and text[max(0, name.start() - 1)] == ";"  # of ODBC; else a folder
        if not (is_dsn or is_secret(name[2])):  # its value may have names inside: `127.0.0.1:80/?token=x`
            continue
        start, end, own = _value_of(text, name)
        if end > start:
            parts += text[done:start], own, MASK, own
            done = at = end
    text = "".join((*parts, text[done:]))
    text = re.sub(_CALL, lambda found: found[1] + re.sub(_QUOTED, f"'{MASK}'", found[2]), text)
    return re.sub(_SAID, _mask_said, _mask_pairs(text))


def _value_of(text: str, name: re.Match[str]) -> tuple[int, int, str]:
    """Where the value begins and ends, and the quotes that stay; an empty one where there is none."""
    at = name.end()
    if (block := re.compile(_BLOCK).match(text, at)) is not None:
        return block.end(), _end_of_block(text, name, block.end()), ""
    if "\n" in name[3]:
        start = name.end(2) + text[name.end(2) :].index("\n") + 1
        if (end := _end_of_block(text, name, start)) > start:
            return start, end, ""
        if re.compile(r"[\w.\"'-]+\s*[:=]|-\s").match(text, at):  # the next name: this one has no value
            return at, at, ""
    if text[at : at + 1] in ("[", "{", "("):
        return at, _end_of_nested(text, at), ""
    said = name[2].lower()
    pattern = _AUTHORIZATION if said.endswith("authorization") else _VALUE
    pattern = _COOKIES if said.endswith("cookie") else pattern
    if (value := re.compile(pattern).match(text, at)) is None:
        return at, at, ""
    own = value[1] or (value[0][0] if value[0][0] in "\"'`" else "")
    return at, value.end(), own


def _end_of_block(text: str, name: re.Match[str], start: int) -> int:
    """Behind the lines from `start` on that are further in than the name's, or items of its list."""
    line = text[text.rfind("\n", 0, name.start()) + 1 : name.start()]
    depth = len(line) - len(line.lstrip(" "))
    end = start
    for each in re.compile(r"([ ]*)(-[ ])?([^\n]*)\n?").finditer(text, start):
        has_words = bool(each[2] or each[3])
        if (
            has_words
            and len(each[1]) <= depth
            and not (each[2] and len(each[1]) == depth and not line.strip())
        ):
            break
        if has_words:
            end = each.end() - each[0].endswith("\n")
        if each.end() == len(text):
            break
    return end


def _end_of_nested(text: str, start: int) -> int:
    """Behind the list or table that begins there; the end of the text if it does not end."""
    depth = 0
    for token in re.compile(rf"[\[{{(]|[\]}})]|{_QUOTED}").finditer(text, start):
        depth += {"[": 1, "{": 1, "(": 1, "]": -1, "}": -1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(text)


def _mask_pairs(text: str) -> str:
    """A quoted value after the quoted name of a secret, if it is no name as well."""
    parts: list[str] = []
    done = 0
    for found in re.finditer(_PAIR, text):
        if is_secret(found[2]) and not re.fullmatch(r"[A-Za-z_-]+", found[4]):
            parts += text[done : found.start(4)], MASK
            done = found.end(4)
    return "".join((*parts, text[done:]))


def _mask_said(found: re.Match[str]) -> str:
    """What follows the word in quotes, or has letters and digits; an ordinary word after it is none."""
    word, between, quote, quoted, bare = found.groups()
    value = quoted or bare
    is_mixed = bool(re.search(r"\d", value) and re.search(r"[A-Za-z]", value))
    if quote:
        is_value = is_mixed or word.lower().startswith("passw")
    else:  # `secret app-v2` names one of Kubernetes
        is_value = is_mixed and not re.fullmatch(_NO_VALUE, value)
        is_value = is_value and not (word.lower() == "secret" and "-" in value)
    return f"{word}{between}{quote or ''}{MASK}{quote or ''}" if is_value else found[0]


def _mask_variable(found: re.Match[str]) -> str:
    own = found[6] or (found[5][0] if found[5][0] in "\"'`" else "")
    return f"{found[1]}{own}{MASK}{own}" if is_secret(found[4]) else found[0]


def _mask_element(found: re.Match[str]) -> str:
    return f"<{found[1]}{found[2]}>{MASK}</{found[1]}>" if is_secret(found[1]) else found[0]


def _mask_attribute(found: re.Match[str]) -> str:
    return f"{found[1]}{found[4]}{MASK}{found[4]}" if is_secret(found[3]) else found[0]


def mask_text(text: str) -> str:
    """The same, and without what follows an option for a secret, and words that look random."""
    text = mask_named(text)
    if "-" in text:
        text = re.sub(_OPTION, _mask_option, text)
    return "".join(_mask_word(word) for word in re.split(r"([:,;\s?&=]+)", text))


def _mask_option(found: re.Match[str]) -> str:
    is_number = found[3].isdigit() and re.search(_OPTION_OF_NUMBERS, found[1])
    return found[0] if is_number or not is_secret(found[1]) else f"{found[1]}{found[2]}{MASK}"


def _mask_word(word: str) -> str:
    """A path is taken apart, because a token may be a segment of it."""
    if word.startswith(("/", "./")):
        return "/".join(MASK if re.fullmatch(_RANDOM, segment) else segment for segment in word.split("/"))
    return MASK if re.fullmatch(_RANDOM, word) else word
