"""`make test-docker`: have an engine, the base images and the plugins, then run the tests of this folder."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from docker.engine import EngineError, running_engine
from docker.images import SUITES, ensure_base, ensure_plugins

HERE = Path(__file__).parent


def main(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments; its exit code. Raises SystemExit where there can be no engine."""
    try:
        return _run(arguments)
    except EngineError as error:
        raise SystemExit(f"test-docker: {error}") from error


def _run(arguments: Sequence[str]) -> int:
    with running_engine():
        for image in SUITES:
            ensure_base(image)
        ensure_plugins()
        targets = (
            arguments
            if any(Path(word.partition("::")[0]).exists() for word in arguments)
            else [str(HERE), *arguments]
        )
        return subprocess.run([sys.executable, "-m", "pytest", *targets], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
