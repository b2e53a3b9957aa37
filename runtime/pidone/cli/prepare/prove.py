"""`prove FILE`: whether the apps of an ecosystem survive what production does to them."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pidone.cli.options import Argument, CommandSet, env_option, json_option, positive
from pidone.cli.trial import discovery, report
from pidone.cli.trial.answers import Saw
from pidone.cli.trial.findings import Level
from pidone.cli.trial.report import Result
from pidone.cli.trial.runtime import end_in_order, workplace
from pidone.cli.trial.steps import NAMES, Step
from pidone.cli.trial.trials import Trials
from pidone.ecosystem.spec import Seconds
from pidone.logs.escape import printable_word

app = CommandSet()


@app.command("prove")
@click.argument("file", cls=Argument, help="The ecosystem.")
@click.option("--app", "only", metavar="NAME", help="Try this app; the others only run beside it.")
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    help="Ask this, not / of each port that answers HTTP.",
)
@click.option(
    "--trial",
    "chosen",
    metavar="NAME",
    multiple=True,
    type=click.Choice(NAMES),
    help=f"Only this, between start and stop: {', '.join(NAMES)}.",
)
@env_option
@click.option("--junit", metavar="FILE", help="Write JUnit XML there; - is stdout.")
@click.option("--log", metavar="FILE", help="Keep the log of everything there, as JSON lines.")
@click.option(
    "--timeout", metavar="S", type=float, callback=positive, default=60.0, help="For everything together."
)
@json_option
def prove(
    file: str,
    *,
    only: str | None,
    urls: tuple[str, ...],
    chosen: tuple[str, ...],
    env: str | None,
    junit: str | None,
    log: str | None,
    timeout: Seconds,
    as_json: bool,
) -> int:
    """Reload, kill, stall and stop it under load: what do clients lose, and why?"""
    deadline = time.monotonic() + timeout
    end_in_order()
    discovery.check_urls(urls)
    for path in filter(None, (junit, log)):
        report.check_writable(path)
    with workplace("prove") as folder:
        trials = Trials(file, Path(folder), deadline, env_name=env, app=only, urls=urls, chosen=chosen)
        try:
            steps = trials.run()
        finally:
            if log is not None:
                report.write(trials.log(), log)
    if as_json:
        print(json.dumps({"steps": [_as_json(step) for step in steps]}))
    elif junit != "-":
        _print(steps)
    if junit is not None:
        report.write(report.junit("prove", [_as_result(step) for step in steps]), junit)
    return 1 if any(step.has_failed for step in steps) else 0


def _print(steps: Sequence[Step]) -> None:
    from pidone.cli.operate import table

    head = ("result", "trial", "app", "time", "requests", "lost", "p50", "p99")
    print(table.render(head, [_row(step) for step in steps], right=(3, 4, 5, 6, 7)))
    skipped: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        if step.skipped:
            skipped[step.skipped].append(f"{step.app}, {step.name}" if step.app else step.name)
    for why, names in skipped.items():
        print(printable_word(f"skipped, so no verdict: {'; '.join(names)}: {why}"))
    for step in steps:
        for finding in step.findings:
            where = f"{step.app}, {step.name}" if step.app else step.name
            print(printable_word(f"{finding.level.value}: {where}: {finding.what}"))
            if finding.cure:
                print(printable_word(f"    {finding.cure}"))


def _row(step: Step) -> list[str]:
    if step.skipped:
        return ["skipped", step.name, printable_word(step.app), "", "", "", "", ""]
    state = "failed" if step.has_failed else "warning" if step.findings else "ok"
    first = [state, step.name, printable_word(step.app), f"{step.took:.1f}s"]
    seen = step.tally
    if seen is None:
        return [*first, "", "", "", ""]
    return [*first, str(seen.requests), str(seen.failed), _ms(seen.median), _ms(seen.p99)]


def _ms(seconds: Seconds) -> str:
    return f"{seconds * 1000:.1f}ms"


def _as_json(step: Step) -> dict[str, Any]:
    seen = step.tally
    return {
        "name": step.name,
        "app": step.app,
        "result": "skipped" if step.skipped else "failed" if step.has_failed else "ok",
        "took": round(step.took, 3),
        "clients": None
        if seen is None
        else {
            "requests": seen.requests,
            **{saw.name.lower(): seen[saw] for saw in Saw},
            "median_s": round(seen.median, 6),
            "p99_s": round(seen.p99, 6),
            "slowest_s": round(seen.slowest, 6),
        },
        "findings": [
            {"level": each.level.value, "what": each.what, "cure": each.cure} for each in step.findings
        ],
    }


def _as_result(step: Step) -> Result:
    failures = [each.what for each in step.findings if each.level is Level.FAILED]
    name = f"{step.app}: {step.name}" if step.app else step.name
    return Result(name=name, took=step.took, failure="; ".join(failures), skipped=step.skipped)
