"""`python -m bench.fuzz_formats [N]`: N random ecosystem files (100,000), each read or refused with one clear error.

Half of the inputs are public-looking files with random edits, half are random pieces of syntax or bytes. The parent
imports what children usually import, so that an input takes 10 ms instead of 25. Prints progress, and every input
that breaks the rule as a Python literal; exit code 1 if there was one.
"""

# ruff: noqa: E501 pieces of syntax, as many to a line as fit

import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import _quickjs  # noqa: F401 inherited by the children
import yaml  # noqa: F401 as above

from pidone.ecosystem.formats import read, toml, yaml12  # noqa: F401 as above
from pidone.ecosystem.formats.javascript import engine, esm  # noqa: F401 as above
from pidone.errors import ConfigError
from pidone.supervise.run.loading import in_child

_SLOW_S: Final = 3.0

SEEDS: Final = {
    "e.config.js": [
        "const path = require('path');\nmodule.exports = { apps: [{ name: 'a', script: path.join(__dirname, 'a.js'), env: { PORT: process.env.PORT || 3000, K: `x${1 + 1}` } }], deploy: { p: { user: 'u' } } };\n",
        "module.exports = async () => ({ apps: [1, 2].map((n) => ({ script: `${n}.js`, instances: 'max' })) })",
    ],
    "e.config.mjs": [
        "import os, { cpus } from 'node:os';\nexport const apps = [{ script: 'a', instances: cpus().length }];\n",
        "import { join } from 'path';\nexport default { apps: [{ script: join('a', 'b'), cwd: import.meta.dirname }] }\n",
    ],
    "pm2.json": [
        '{"apps": [{"name": "a", "script": "a.js", "instances": 2, "env": {"A": "1", "B": null, "C": 1.5e3}}]}',
        "{\n  // c\n  apps: [{ script: 'a.js', args: ['-x', \"y\"], },],\n}",
    ],
    "pm2.yml": [
        "apps:\n  - script: a.js\n    name: 'x'\n    env: &e\n      A: 0755\n      B: yes\n  - <<: *e\n    script: >-\n      b\n"
    ],
    "e.toml": ['[runtime]\nx = 1\n[[apps]]\nscript = "a"\nenv = { A = "1", B = 2 }\nlist = [\n 1, 2,\n]\nd = 2024-01-01\n'],
}  # fmt: skip
PIECES: Final = [
    *("apps", "script", "env", "module.exports", "=", "export default", "import x from 'path'", "await", "(()=>", "\0"),
    *("{", "}", "[", "]", "(", ")", ":", ",", ";", "'", '"', "`", "${", "/*", "*/", "//", "#", "\\", "\n", "\n  ", "- "),
    *("&a", "*a", "<<:", "!!int", "---", "|", ">", "? ", "[[apps]]", "'''", '"""', "0x1", "1e999", "null", "/", "=>", "\x1b"),
    *("\t", "\r\n", "\ufeff", "\u2028", "\U0001f680", "require('fs')", "process.env", "while(1)", "new Array(1e9)", "..."),
    *("throw ", "toJSON", "__proto__", "Symbol()", "10n", "NaN", "new Proxy({},{})", "process.exit()", "yield", "class "),
]  # fmt: skip


def make(dice: random.Random) -> tuple[str, bytes]:
    """One input with the name of its language."""
    name = dice.choice(list(SEEDS))
    kind = dice.random()
    if kind < 0.1:
        return name, dice.randbytes(dice.randrange(200))
    if kind < 0.5:
        return name, " ".join(dice.choices(PIECES, k=dice.randrange(1, 25))).encode()
    text = dice.choice(SEEDS[name])
    for _ in range(dice.randrange(1, 6)):
        at, length = dice.randrange(len(text) + 1), dice.randrange(6)
        text = (
            text[:at]
            + dice.choice(["", dice.choice(PIECES), text[at : at + length] * 2])
            + text[at + length :]
        )
    return name, text.encode()


def broken(path: Path) -> str | None:
    """What is wrong with how the file is read; None if all is well."""
    started = time.monotonic()
    try:
        in_child(lambda: read(path, env={"PATH": "/nowhere", "A": "1"}, argv=[], cpus=2))
    except ConfigError as error:
        if "internal error" in str(error) or not str(error).startswith(str(path)):
            return str(error)
    except Exception as error:  # noqa: BLE001 exactly what is looked for
        return repr(error)
    took = time.monotonic() - started
    return f"took {took:.1f} s" if took > _SLOW_S else None


def work(task: tuple[int, int]) -> tuple[int, list[str]]:
    """Try `count` inputs of the given seed."""
    seed, count = task
    dice = random.Random(seed)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            name, data = make(dice)
            path = Path(folder) / name
            path.write_bytes(data)
            if problem := broken(path):
                found.append(f"{name} {data!r}: {problem}")
    if Path(f"/proc/self/task/{os.getpid()}/children").read_text():
        found.append("a process was left behind")
    return count, found


def main() -> int:
    """Run N inputs on all CPUs."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    size = 500
    done, problems, started = 0, 0, time.monotonic()
    with multiprocessing.Pool() as pool:
        for count, found in pool.imap_unordered(work, [(seed, size) for seed in range(-(-total // size))]):
            done, problems = done + count, problems + len(found)
            for text in found:
                print(text, flush=True)
            if done % 10_000 == 0:
                print(f"{done} inputs, {problems} problems, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{done} inputs, {problems} problems, {time.monotonic() - started:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
