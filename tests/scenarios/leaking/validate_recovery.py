"""Checks that the last recycling did what it is for; operates the runtime as people do, by its commands.

    python validate_recovery.py HEALTH_URL

One line per check; the exit code is 1 if one of them fails.
"""

import json
import subprocess
import sys
import urllib.request
from typing import Any

LIMIT = 150 * 1024 * 1024
COMPONENTS = ["configuration", "cache", "scheduler", "http"]


def asked(*words: str) -> list[Any]:
    """What a command of pidone answers, line by line."""
    answer = subprocess.run(["pidone", *words], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in answer.splitlines()]


def main() -> int:
    """Check everything, also after a failure."""
    [shown] = asked("ls", "leaky", "--json")
    [now] = shown["apps"][0]["instances"]
    own = [record["message"] for record in asked("logs", "leaky") if record.get("pid") == now["pid"]]
    started = [message.split()[1] for message in own if message.startswith("component ")]
    with urllib.request.urlopen(sys.argv[1], timeout=5) as response:
        healthy = response.status == 200
    checks = {
        "it is online": now["state"] == "online",
        "it was restarted": now["restarts"] > 0,
        "its memory is below the limit": now["memory_bytes"] < LIMIT,
        "its components started in order": started == COMPONENTS,
        "it is healthy": healthy,
    }
    for what, holds in checks.items():
        sys.stdout.write(f"{'ok' if holds else 'FAILED'}: {what}\n")
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
