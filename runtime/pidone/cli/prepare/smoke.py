"""`smoke FILE`: start everything, wait until it is ready, run the file's checks, stop in order: for CI."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import click

from pidone.cli.operate import table
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.options import Argument, CommandSet, env_option, json_option
from pidone.ecosystem.problems import strip_controls
from pidone.ecosystem.spec import Seconds
from pidone.init.exitcodes import SIGNAL_BASE
from pidone.interpreter import module_argv
from pidone.logs.escape import printable, printable_word
from pidone.record import Record

if TYPE_CHECKING:
    from pidone.ecosystem.spec import SmokeCheck

_POLL_S: Final[Seconds] = 0.05
_LEAST_STOP: Final[Seconds] = 2.0
"""How long the stop may take even if no time is left; what is not down by then is killed."""
_KILL_TIME: Final[Seconds] = 5.0
_MOST_BYTES: Final = 1024 * 1024


class Result(Record, kw_only=True):
    """What became of one step."""

    name: str
    took: Seconds
    failure: str = ""


app = CommandSet()


@app.command("smoke")
@click.argument("file", cls=Argument, help="The ecosystem.")
@env_option
@click.option("--junit", metavar="FILE", help="Write JUnit XML there; - is stdout.")
@click.option("--timeout", metavar="S", type=float, default=120.0, help="For everything together.")
@json_option
def smoke(file: str, *, env: str | None, junit: str | None, timeout: Seconds, as_json: bool) -> int:
    """Start an ecosystem, wait until it is ready, run its checks, stop it: for CI."""
    deadline = time.monotonic() + timeout
    signal.signal(signal.SIGTERM, _interrupted)
    with tempfile.TemporaryDirectory(prefix="pidone-smoke-") as folder:
        results = _run(file, env, Path(folder), deadline)
    _report(results, as_json, junit)
    return 1 if any(result.failure for result in results) else 0


def _interrupted(number: int, frame: object) -> None:
    """A CI system that gives up must not leave the runtime behind."""
    del frame
    sys.exit(SIGNAL_BASE + number)


def _run(file: str, env_name: str | None, folder: Path, deadline: float) -> list[Result]:
    """Everything between the start and the stop; the runtime is never left behind."""
    path = str(folder / "control.sock")
    options = ("--socket", path, "--no-auto-exit", "--log-format", "text")
    environment = ("--env", env_name) if env_name else ()
    argv = module_argv("pidone", "start", *options, *environment, file)
    environ = {name: value for name, value in os.environ.items() if name != "PIDONE_SOCKET"}
    log = folder / "log"
    with log.open("wb") as output:
        began = time.monotonic()
        # Until the `try` nobody may interrupt us. The runtime unblocks for itself what it inherits blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environ)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            results = [_step("ready", lambda: _wait_ready(process, Client(path), deadline))]
            if not results[0].failure:
                results += [
                    _step(check.name, _checking(check, deadline)) for check in _checks(file, env_name)
                ]
        finally:
            stop = _step("stop", lambda: _stop(process, deadline))
    results.append(stop)
    if any(result.failure for result in results):
        sys.stderr.write("\n".join(map(printable, log.read_text(errors="replace").split("\n"))))
        sys.stderr.write(f"pidone: smoke failed after {time.monotonic() - began:.1f} s; the log is above\n")
    return results


def _step(name: str, action: Callable[[], str]) -> Result:
    began = time.monotonic()
    failure = action()
    return Result(name=name, took=time.monotonic() - began, failure=failure)


def _wait_ready(process: "subprocess.Popen[bytes]", runtime: Client, deadline: float) -> str:
    said = "it did not open its control socket"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"it ended with code {process.returncode}"
        try:
            ready, said = runtime.probe("readyz?verbose")
            apps = runtime.get("api", "apps")["apps"]
        except CommandError:  # not there yet
            time.sleep(_POLL_S)
            continue
        if ready:
            return ""
        given_up = [app["name"] for app in apps if app["state"] == "errored"]
        if given_up:
            return f"given up: {', '.join(given_up)}"
        time.sleep(_POLL_S)
    missing = [line for line in said.splitlines() if line.startswith("[-]")]
    return f"not ready in time: {', '.join(missing) or said}"


def _checks(file: str, env_name: str | None) -> "tuple[SmokeCheck, ...]":
    from pidone.ecosystem.load import load
    from pidone.ecosystem.options import LoadOptions
    from pidone.supervise.loading import in_child

    checks: tuple[SmokeCheck, ...] = in_child(lambda: load(Path(file), LoadOptions(env_name=env_name)).smoke)
    return checks


def _checking(check: "SmokeCheck", deadline: float) -> Callable[[], str]:
    def run_check() -> str:
        timeout = min(check.timeout, deadline - time.monotonic())
        if timeout <= 0:
            return "no time left"
        try:
            if check.http is not None:
                return _http(check, check.http, timeout)
            if check.tcp is not None:
                return _tcp(check.tcp, timeout)
            return _exec(check, timeout)
        except (OSError, ValueError) as error:
            return str(error) or type(error).__name__

    return run_check


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
    with tempfile.TemporaryFile() as output:  # not a pipe, which a process that stays behind would keep open
        process = subprocess.Popen(
            check.exec, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"not within {timeout:g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return f"exit code {code}" if code else _contains(check, output.read(_MOST_BYTES))


def _contains(check: "SmokeCheck", body: bytes) -> str:
    missing = check.contains is not None and check.contains not in body.decode(errors="replace")
    return f"it does not contain {check.contains!r}" if missing else ""


def _stop(process: "subprocess.Popen[bytes]", deadline: float) -> str:
    if process.poll() is not None:
        return ""
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(max(_LEAST_STOP, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # the second one kills what is left
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_TIME)
        process.kill()
        process.wait()
        return "it did not stop in time"
    return f"it ended with code {code}" if code else ""


def _report(results: Sequence[Result], as_json: bool, junit: str | None) -> None:  # noqa: FBT001 (an option)
    if as_json:
        print(json.dumps({"steps": [result.as_dict() for result in results]}))
    elif junit != "-":
        rows = [_row(result) for result in results]
        print(table.render(("result", "step", "time", ""), rows, right=(2,)))
    if junit is not None:
        text = _junit(results)
        if junit == "-":
            print(text)
        else:
            try:
                Path(junit).write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{junit}: {error.strerror}") from None


def _row(result: Result) -> list[str]:
    state = "failed" if result.failure else "ok"
    return [state, result.name, f"{result.took:.2f}s", printable_word(result.failure)]


def _junit(results: Sequence[Result]) -> str:
    """The XML that CI systems read: https://github.com/testmoapp/junitxml."""
    suite = ET.Element(
        "testsuite",
        name="pidone smoke",
        tests=str(len(results)),
        failures=str(sum(bool(result.failure) for result in results)),
        time=f"{sum(result.took for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(
            suite, "testcase", name=strip_controls(result.name), classname="smoke", time=f"{result.took:.3f}"
        )
        if result.failure:
            ET.SubElement(case, "failure", message=strip_controls(result.failure))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)
