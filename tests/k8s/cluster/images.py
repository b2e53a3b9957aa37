"""The images of the cluster: what the Docker suite builds from this checkout, as an archive."""

import subprocess
import tempfile
from pathlib import Path

from docker.images import BASE, build, build_stand_in, docker, ensure_base, ensure_plugins
from k8s.cluster import programs
from k8s.cluster.configuration import PAUSE

TAG = "k8s"
"""Not `latest`: the kubelet would ask a registry for it each time."""

BACKEND = f"pidone-test/backend:{TAG}"
NODE_API = f"pidone-test/node-api:{TAG}"
POSTGRES = f"pidone-test/postgres:{TAG}"
REDIS = f"pidone-test/redis:{TAG}"


def names() -> dict[str, str]:
    """The variables that tell the tests what the images are called."""
    return {
        "BACKEND_IMAGE": BACKEND,
        "NODE_API_IMAGE": NODE_API,
        "POSTGRES_IMAGE": POSTGRES,
        "REDIS_IMAGE": REDIS,
    }


def ensure(folder: Path) -> list[Path]:
    """Build every image with the engine that answers, and put them into one archive; its path."""
    ensure_base(BASE)
    ensure_plugins()
    build("backend", BACKEND)
    build_stand_in("node", "pidone-test/node-base")
    build("node-api", NODE_API, NODE_IMAGE="pidone-test/node-base")
    build_stand_in("postgres", POSTGRES)
    build_stand_in("redis", REDIS)
    _pause()
    archive = folder / "images.tar"
    docker("save", "--output", str(archive), BACKEND, NODE_API, POSTGRES, REDIS, PAUSE)
    return [archive]


def _pause() -> None:
    """One static program and nothing else."""
    with tempfile.TemporaryDirectory() as work:
        layer = Path(work) / "pause.tar"
        subprocess.run(["tar", "-C", programs.home() / "bin", "-cf", layer, "pause"], check=True)
        docker("import", "--change", 'ENTRYPOINT ["/pause"]', str(layer), PAUSE)
