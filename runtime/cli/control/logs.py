"""`logs`: the last records, and with `-f` those to come."""

import json
import sys
from collections.abc import Sequence

from runtime.cli.control.client import CommandError
from runtime.cli.control.words import client, guarded, parser


def run(words: Sequence[str]) -> int:
    """`pidone logs`."""
    return guarded(_logs, words)


def _logs(words: Sequence[str]) -> int:
    made = parser("logs", "The last log records as they went to stdout; the runtime keeps 32 KiB per app.")
    made.add_argument("target", nargs="?", help="an app")
    made.add_argument("--app", help="the same")
    made.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    made.add_argument("-n", "--lines", type=int, default=100, metavar="N", help="last N records (100)")
    made.add_argument("--err", action="store_true", help="only stderr and the runtime's errors")
    made.add_argument("--since", default="", metavar="TIME", help="10m, 2h, or 2026-01-31T12:00:00Z")
    options = made.parse_args(words[1:])
    query = {"lines": str(max(0, options.lines))}
    if name := options.app or options.target:
        query["app"] = name
    if options.err:
        query["err"] = "1"
    if options.since:
        query["since"] = options.since
    runtime = client(options)
    if not options.follow:
        records = runtime.get("api", "logs", **query)["records"]
        print(json.dumps(records) if options.json else "\n".join(records), end="\n" if records else "")
        return 0
    for event, data in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        sys.stdout.write(data + "\n")
        sys.stdout.flush()
    return 0
