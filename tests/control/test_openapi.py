"""The API does what its OpenAPI description says, as schemathesis tries it."""

import subprocess
import sys
from pathlib import Path

import pytest
from control.operated import SLEEPER, operated

pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Generated requests, good and bad, get answers that are described, and never a 5xx by mistake."""
    (tmp_path / "token").write_text("token-of-the-test")
    with operated(tmp_path, SLEEPER, "--no-auto-exit", "--admin-token-file", str(tmp_path / "token")) as it:
        try_out(f"http://127.0.0.1:{it.port}", tmp_path)
        assert it.ask("/livez").status == 200
        assert not it.run.find(event="runtime.error")


def try_out(url: str, folder: Path) -> None:
    """Run schemathesis against a server whose token is known."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/api/openapi.json"),
            *(
                "--exclude-path",
                "/api/events",
                "--exclude-path",
                "/api/drain",
                "--max-examples",
                "15",
                "--phases",
                "examples,coverage,fuzzing",
            ),
            *(
                "--checks",
                "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            ),
            *("--generation-database", "none", "--header", "Authorization: Bearer token-of-the-test"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-2000:]
