"""Asks a service so many times a second, and tells how its memory grew and what came of it.

    python memory_test.py URL [--rate 37] [--seconds 3600] [--success 96] [--gap 10]

One JSON object on stdout. The exit code is 1 if fewer requests than `--success` percent succeeded, or if
there was no service for `--gap` seconds.
"""

import argparse
import json
import sys
import time
import urllib.request


def ask(url: str) -> tuple[str, int] | None:
    """The process that answered and its memory in bytes; None if nothing did."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.headers["x-pid"], int(json.load(response)["rss"])
    except OSError:
        return None


def measure(url: str, rate: float, seconds: float) -> dict[str, float]:
    """Ask in even steps, each time on a new connection."""
    began = time.monotonic()
    last_answer, gap, lives, failed, asked, growth = began, 0.0, [], 0, 0, 0
    sizes: dict[str, int] = {}
    while (now := time.monotonic()) - began < seconds:
        answer = ask(url)
        asked += 1
        if answer is None:
            failed += 1
        else:
            pid, size = answer
            gap, last_answer = max(gap, now - last_answer), now
            if pid not in sizes:
                lives.append(pid)
            growth += max(0, size - sizes.get(pid, size))
            sizes[pid] = size
        time.sleep(max(0.0, began + asked / rate - time.monotonic()))
    return {
        "requests": asked,
        "failed": failed,
        "success_percent": 100 * (asked - failed) / asked,
        "longest_gap_s": round(max(gap, time.monotonic() - last_answer), 3),
        "replaced": len(lives) - 1,
        "growth_mb_per_hour": round(growth / 1048576 / seconds * 3600),
    }


def main() -> int:
    """Measure, tell, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    for name, default in (("rate", 37.0), ("seconds", 3600.0), ("success", 96.0), ("gap", 10.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    wanted = parser.parse_args()
    found = measure(wanted.url, wanted.rate, wanted.seconds)
    sys.stdout.write(f"{json.dumps(found)}\n")
    return int(found["success_percent"] < wanted.success or found["longest_gap_s"] >= wanted.gap)


if __name__ == "__main__":
    sys.exit(main())
