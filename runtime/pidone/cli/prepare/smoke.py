"""`smoke FILE`: start everything, wait until it is ready, run the file's checks, stop in order: for CI."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pidone.cli.operate import table
from pidone.cli.options import Argument, CommandSet, env_option, json_option, positive
from pidone.cli.trial import report
from pidone.cli.trial.report import Result
from pidone.cli.trial.runtime import OwnRuntime, end_in_order, workplace
from pidone.ecosystem.spec import Seconds
from pidone.logs.escape import printable, printable_word

if TYPE_CHECKING:
    from pidone.ecosystem.spec import SmokeCheck

_MOST_BYTES: Final = 1024 * 1024
_TRY_AGAIN_S: Final = 0.1


app = CommandSet()


@app.command("smoke")
@click.argument("file", cls=Argument, help="The ecosystem.")
@env_option
@click.option("--junit", metavar="FILE", help="Write JUnit XML there; - is stdout.")
@click.option(
    "--timeout", metavar="S", type=float, callback=positive, default=120.0, help="For everything together."
)
@json_option
def smoke(file: str, *, env: str | None, junit: str | None, timeout: Seconds, as_json: bool) -> int:
    """Start an ecosystem, wait until it is ready, run its checks, stop it: for CI."""
    deadline = time.monotonic() + timeout
    end_in_order()
    with workplace("smoke") as folder:
        results = _run(file, env, Path(folder), deadline)
    _report(results, as_json, junit)
    return 1 if any(result.failure for result in results) else 0


def _run(file: str, env_name: str | None, folder: Path, deadline: float) -> list[Result]:
    """Everything between the start and the stop; the runtime is never left behind."""
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output, OwnRuntime([file], folder, output.fileno(), env_name=env_name) as runtime:
        results = [_step("ready", lambda: runtime.wait_ready(deadline))]
        if not results[0].failure:
            results += [_step(check.name, _checking(check, deadline)) for check in _checks(file, env_name)]
        results.append(_step("stop", lambda: runtime.stop(deadline)))
    if any(result.failure for result in results):
        sys.stderr.write("\n".join(map(printable, log.read_text(errors="replace").split("\n"))))
        sys.stderr.write(f"pidone: smoke failed after {time.monotonic() - began:.1f} s; the log is above\n")
    return results


def _step(name: str, action: Callable[[], str]) -> Result:
    began = time.monotonic()
    failure = action()
    return Result(name=name, took=time.monotonic() - began, failure=failure)


def _checks(file: str, env_name: str | None) -> "tuple[SmokeCheck, ...]":
    from pidone.ecosystem.load import load
    from pidone.ecosystem.options import LoadOptions
    from pidone.supervise.run.loading import in_child

    checks: tuple[SmokeCheck, ...] = in_child(lambda: load(Path(file), LoadOptions(env_name=env_name)).smoke)
    return checks


def _checking(check: "SmokeCheck", deadline: float) -> Callable[[], str]:
    """A refused connection is tried again: an app that tells nobody when it listens may not do so yet."""

    def run_check() -> str:
        failure = "no time left"
        left = min(check.timeout, deadline - time.monotonic())
        until = time.monotonic() + left
        while left > 0:
            try:
                return _look(check, left)
            except (OSError, ValueError) as error:
                failure = str(error) or type(error).__name__
                if not isinstance(getattr(error, "reason", error), ConnectionRefusedError):  # as URLError
                    break
            time.sleep(min(_TRY_AGAIN_S, left))
            left = until - time.monotonic()
        return failure

    return run_check


def _look(check: "SmokeCheck", timeout: Seconds) -> str:
    """What is wrong. Raises OSError, ValueError."""
    if check.http is not None:
        return _http(check, check.http, timeout)
    if check.tcp is not None:
        return _tcp(check.tcp, timeout)
    return _exec(check, timeout)


def _http(check: "SmokeCheck", url: str, timeout: Seconds) -> str:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 (the file's own URL)
            status, body = response.status, response.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read(_MOST_BYTES)
    good = 200 <= status < 400 if check.status is None else status == check.status
    if not good:
        expected = f"got {status}, expected {check.status}"
        return f"status {status}, expected 200 to 399" if check.status is None else expected
    return _contains(check, body)


def _tcp(address: str, timeout: Seconds) -> str:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout):
        return ""


def _exec(check: "SmokeCheck", timeout: Seconds) -> str:
    # Not a pipe, which a process that stays behind would keep open.
    with open(os.memfd_create("output"), "w+b") as output:
        process = subprocess.Popen(
            check.exec, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"not within {round(timeout, 1):g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return f"exit code {code}" if code else _contains(check, output.read(_MOST_BYTES))


def _contains(check: "SmokeCheck", body: bytes) -> str:
    missing = check.contains is not None and check.contains not in body.decode(errors="replace")
    return f"it does not contain {check.contains!r}" if missing else ""


def _report(results: Sequence[Result], as_json: bool, junit: str | None) -> None:  # noqa: FBT001 (an option)
    if as_json:
        print(json.dumps({"steps": [result.as_dict() for result in results]}))
    elif junit != "-":
        rows = [_row(result) for result in results]
        print(table.render(("result", "step", "time", ""), rows, right=(2,)))
    if junit is not None:
        report.write(report.junit("smoke", results), junit)


def _row(result: Result) -> list[str]:
    state = "failed" if result.failure else "ok"
    return [state, result.name, f"{result.took:.2f}s", printable_word(result.failure)]
