"""The images of the cluster: what the Docker suite builds from this checkout, as archives."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from docker.images import BASE, build, build_stand_in, docker, ensure_base, ensure_plugins
from k8s.cluster import programs
from k8s.cluster.configuration import PAUSE

TAG = "k8s"
"""Not `latest`: the kubelet would ask a registry for it each time."""

BACKEND = f"pidone-test/backend:{TAG}"
NODE_API = f"pidone-test/node-api:{TAG}"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names for what the kernel calls machines."""

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


def make(folder: Path) -> Path:
    """Build the images with the engine that answers, and put them into one archive; its path."""
    ensure_base(BASE)
    ensure_plugins()
    build("backend", BACKEND)
    build_stand_in("node", "pidone-test/node-base")
    build("node-api", NODE_API, NODE_IMAGE="pidone-test/node-base")
    build_stand_in("postgres", POSTGRES)
    build_stand_in("redis", REDIS)
    archive = folder / "images.tar"
    docker("save", "--output", str(archive), BACKEND, NODE_API, POSTGRES, REDIS)
    return archive


def pause(folder: Path) -> Path:
    """The image of sandboxes: one static program and nothing else, so that it takes no engine to make it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as content:
        content.add(programs.home() / "bin/pause", "pause")
    config = {
        "os": "linux",
        "architecture": ARCHITECTURES[platform.machine()],
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    parts = {"manifest.json": _json(manifest), "config.json": _json(config), "layer.tar": layer.getvalue()}
    archive = folder / "pause.tar"
    with tarfile.open(archive, "w") as whole:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            whole.addfile(entry, io.BytesIO(data))
    return archive


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
