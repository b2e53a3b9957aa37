"""The Dockerfiles that the documents show, built as they stand, but from our stand-ins."""

import json
import re
from pathlib import Path

import pytest
from docker.containers import Container
from docker.images import REPOSITORY, build, build_stand_in, docker
from harness import eventually

CONFIG = """
module.exports = {
  apps: [{ name: 'api', script: './server.js', instances: 'max', exec_mode: 'cluster' }],
};
"""
SERVER = """
require('node:http').createServer((_, response) => response.end('hello')).listen(3000);
process.on('SIGINT', () => process.exit(0));
"""
CPUS = 2


def dockerfile(document: str) -> str:
    """The first Dockerfile of a document; of a diff, what it is afterwards."""
    text = (REPOSITORY / "docs" / document).read_text()
    found = re.search(r"```(?:dockerfile|diff)\n(.*?FROM .*?)```", text, re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if not line.startswith("-")]
    shown = "\n".join(line[1:] if line[:1] in "+ " else line for line in lines)
    assert "node:22-alpine" in shown
    assert "pidone:bundle" in shown
    return shown


@pytest.fixture(params=["docker.md", "pm2.md"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An image with a small Node service, by the document's Dockerfile."""
    node, bundle = build_stand_in("node", "pidone-test/node-base"), build("bundle", "pidone-test/bundle")
    recipe = dockerfile(request.param).replace("node:22-alpine", node).replace("pidone:bundle", bundle)
    for name, text in (
        ("Dockerfile", recipe),
        ("ecosystem.config.js", CONFIG),
        ("server.js", SERVER),
    ):
        (tmp_path / name).write_text(text)
    tag = "pidone-test/documented"
    docker("buildx", "build", "--quiet", "--load", "--tag", tag, str(tmp_path))
    return tag


def test_it_does_what_the_document_promises(image: str) -> None:
    """As many instances as there are CPUs come online, PM2's commands work, and a stop ends with 0."""
    with Container(image, options=["--cpus", str(CPUS), "--read-only", "--tmpfs", "/tmp"]) as container:

        def online() -> int:
            """Told in records on stdout or as text on stderr, by the name that the document's command has."""
            return "\n".join([*container.logs(), container.errors()]).count("instance.online")

        eventually(lambda: online() == CPUS, "the instances to be online")
        assert container.exec("cat", "/proc/1/comm") in ("pidone", "pm2-runtime")  # as it was called
        pm2 = "/opt/pidone/bin/pm2"
        listed = json.loads(container.exec(pm2, "jlist"))
        assert [(one["name"], one["pm2_env"]["status"]) for one in listed] == [("api", "online")] * CPUS
        container.exec(pm2, "reload", "api")
        eventually(lambda: online() == 2 * CPUS, "their successors to be online")
        assert container.stop() == 0
