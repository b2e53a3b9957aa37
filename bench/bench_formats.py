"""What reading an ecosystem costs: each language beside strict JSON, and beside a new Node."""

import compileall
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.figures import Figure

_ROUNDS: Final = 15
_PACKAGE: Final = Path(__file__).parents[1]

APPS: Final = [
    {
        "name": f"app{n}",
        "script": "server.js",
        "instances": "max",
        "env": {"PORT": 3000 + n, "NODE_ENV": "production"},
    }
    for n in range(3)
]
_JSON: Final = json.dumps({"apps": APPS})
FILES: Final = {
    "pm2.json": _JSON,
    "ecosystem.config.js": "const path = require('path'); const n = process.env.N || 1;\nmodule.exports = "
    + _JSON,
    "ecosystem.config.mjs": "import path from 'node:path';\nexport const apps = " + json.dumps(APPS),
    "pm2.yml": "apps:\n"
    + "".join(
        f"  - name: app{n}\n    script: server.js\n    instances: max\n    env:\n      PORT: {3000 + n}\n"
        for n in range(3)
    ),
    "ecosystem.toml": "".join(
        f'[[apps]]\nname = "app{n}"\nscript = "server.js"\n[apps.env]\nPORT = {3000 + n}\n' for n in range(3)
    ),
}

_READ: Final = """if True:
    import sys, time, os
    from pathlib import Path
    from pidone.ecosystem.formats import read
    from pidone.supervise.run.loading import in_child
    started = time.perf_counter()
    in_child(lambda: read(Path(sys.argv[1]), env=os.environ, argv=[], cpus=4))
    print(1000 * (time.perf_counter() - started))
    print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


def run() -> Iterable[Figure]:
    """Fresh interpreters all through; what the reading process keeps is its peak memory."""
    # As pip does on installation; the children may write no files and would compile each time.
    compileall.compile_dir(str(_PACKAGE / "runtime"), quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        took: dict[str, list[float]] = {name: [] for name in FILES}
        memory: dict[str, list[float]] = {name: [] for name in FILES}
        for _ in range(_ROUNDS):
            for name in FILES:
                ms, kib = _read(folder, name)
                took[name].append(ms)
                memory[name].append(kib / 1024)
        base = statistics.median(took["pm2.json"])
        for name, values in took.items():
            added = [value - base for value in values]
            target = "at most 30 ms" if name.endswith("js") else ""
            met = statistics.median(added) <= 30 if target else None
            yield Figure(f"{name}: added to a start, over strict JSON", "ms", added, target=target, met=met)
        for name in ("ecosystem.config.js", "pm2.yml"):
            yield Figure(
                f"{name}: peak memory of the reading process",
                "MiB",
                memory[name],
                memory["pm2.json"],
                "strict JSON",
            )
        if node := shutil.which("node"):
            nodes = [
                _seconds([node, "-e", "require('./ecosystem.config.js')"], folder) * 1000
                for _ in range(_ROUNDS)
            ]
            ours = took["ecosystem.config.js"]
            yield Figure("ecosystem.config.js: the same in a new Node", "ms", ours, nodes, "node")


def _read(folder: str, name: str) -> tuple[float, float]:
    result = subprocess.run(
        [sys.executable, "-c", _READ, name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_PACKAGE / "runtime")},
        capture_output=True,
        check=True,
    )
    milliseconds, kibibytes = result.stdout.split()
    return float(milliseconds), float(kibibytes)


def _seconds(command: list[str], folder: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - started
