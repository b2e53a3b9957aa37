"""The API does what its OpenAPI description says, as schemathesis tries it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from control.operated import Operated, forwarded, operated
from harness import PYTHON

pytest.importorskip("schemathesis")

SPARES = [f"spare{number}" for number in range(40)]
"""Apps to be deleted: each can be only once."""
ANSWERING = """
import json, os, socket
channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
say = lambda value: channel.sendall(json.dumps(value).encode() + b"\\n")
say("ready")
for line in channel.makefile():
    say({"type": "axm:reply", "data": {"return": "done"}})
"""


def ecosystem(folder: Path) -> str:
    """Apps of every kind that an action needs."""
    (folder / "answering.py").write_text(ANSWERING)
    reader = 'script = "/bin/cat"\nstdin = "pipe"'
    answering = f'script = "{PYTHON}"\nargs = ["{folder}/answering.py"]\nwait_ready = true'
    spare = 'script = "/bin/sleep"\nargs = "1000"\nautostart = false'
    kinds = {
        "cat": reader,
        "ipc": answering,
        # What must run to be reached has a namespace that nothing else is asked of.
        "heard": f'namespace = "steady"\n{reader}',
        "asked": f'namespace = "steady"\n{answering}',
        **dict.fromkeys(SPARES, spare),
    }
    parts = [f'[[apps]]\nname = "{name}"\n{keys}\n' for name, keys in kinds.items()]
    return "".join(part + "ready_delay = 0\nkill_timeout = '300ms'\n" for part in parts)


def reachable(described: dict[str, Any]) -> dict[str, Any]:
    """The description with values that exist: what is made up alone finds no app, and nothing happens."""
    for path, item in described["paths"].items():
        targets = ["cat", "ipc", "cat:0", "default", "nobody"]
        if path.endswith(("/send", "/trigger")):
            targets = ["heard", "asked:0", "steady", "nobody"]
        elif path.endswith("/delete"):
            targets = SPARES[:20]
        item["parameters"] = [
            {**each, "schema": {"enum": targets}} if each["name"] == "target" else each
            for each in item.get("parameters", [])
        ]
        if "delete" in item:
            own = {"name": "target", "in": "path", "required": True, "schema": {"enum": SPARES[20:]}}
            item["delete"]["parameters"] = [own]
    body = ("requestBody", "content", "application/json", "schema")
    for verb, schema in {
        "scale": {"instances": {"enum": [1, 2, "+1", "-1", "max"]}},
        "signal": {"signal": {"enum": ["CONT", "SIGUSR1", 18, "nonsense"]}},
    }.items():
        at = described["paths"][f"/api/apps/{{target}}/{verb}"]["post"]
        for key in body:
            at = at[key]
        at["properties"] = schema
    apply = described["paths"]["/api/apply"]["post"]
    for key in body:
        apply = apply[key]
    apply["properties"] = {
        "verb": {"enum": ["restart", "reload", "never"]},
        "target": {"enum": ["cat", "nobody"]},
    }
    apply["required"] = ["verb", "target"]
    follow = next(p for p in described["paths"]["/api/logs"]["get"]["parameters"] if p["name"] == "follow")
    follow["schema"] = {"enum": ["0"]}  # a stream has no end; test_api.py follows some
    return described


def test_what_is_too_large_is_described(tmp_path: Path) -> None:
    """A path, a head and a body: refused before they are looked at, as each operation says."""
    with operated(tmp_path, ecosystem(tmp_path), ready=False) as it:
        paths = it.ask("/api/openapi.json").json["paths"]
        operations = [item[method] for item in paths.values() for method in item if method != "parameters"]
        assert it.ask("/api/history?points=" + "1" * 8000).status == 414
        assert operations
        for operation in operations:
            expected = {"414", "431", *(["413"] if "requestBody" in operation else [])}
            assert expected <= set(operation["responses"])


@pytest.mark.slow
@pytest.mark.parametrize("side", ["unix", "tcp"])
def test_schemathesis_finds_nothing(tmp_path: Path, side: str) -> None:
    """Generated requests, good and bad, get answers that are described, and never a 5xx by mistake.

    On the side that may act, every action is carried out; on the other, each is refused as it is described.
    """
    with operated(tmp_path, ecosystem(tmp_path), "--no-auto-exit", ready=False) as it:
        if side == "unix":
            with forwarded(it.socket) as port:
                try_out(it, tmp_path, f"http://127.0.0.1:{port}", "examples,coverage,fuzzing")
        else:
            try_out(it, tmp_path, f"http://127.0.0.1:{it.port}", "examples,fuzzing")
        assert it.ask("/livez").status == 200
        assert not it.run.find(event="runtime.error")
        done = {record["action"].split()[0] for record in it.run.find(event="control.request")}
        paths = it.ask("/api/openapi.json").json["paths"]
        actions = {path.rpartition("/")[2] for path, item in paths.items() if "post" in item}
        assert done == (set() if side == "tcp" else actions)


def try_out(it: Operated, folder: Path, url: str, phases: str) -> None:
    """Run schemathesis against a side of a runtime; drained, /readyz rightly says 503."""
    file = folder / "openapi.json"
    file.write_text(json.dumps(reachable(it.ask("/api/openapi.json").json)))
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(file), "--url", url),
            *("--exclude-path", "/api/events", "--exclude-path", "/readyz"),
            *("--phases", phases, "--max-examples", "2"),
            *(
                "--checks",
                "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            ),
            # The same requests each time: what chance finds is for who looks for it, not for a build.
            "--generation-deterministic",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("sendable.py"))},
    )
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-2000:]
