"""Every example: `docker build` of its Dockerfile as it stands, and the one line that proves it works.

`make test-examples` takes all ten, `make test-docker` one of each family. The official images that they begin
with are stand-ins here.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from docker.containers import PREFIX, Container
from docker.images import REPOSITORY, build, build_stand_in, docker
from harness import eventually
from npm import modules

EXAMPLES = REPOSITORY / "examples"
FAMILIES = ("flask", "express-cluster", "php-fpm-nginx")
"""One of each: what the others add to these takes minutes to install."""

NAMES = (
    sorted(each.parent.name for each in EXAMPLES.glob("*/Dockerfile"))
    if os.environ.get("EXAMPLES") == "all"
    else FAMILIES
)
BUNDLE = "ghcr.io/pidone/pidone:bundle"
SMOKE_S = 120


def official(image: str) -> str:
    """What stands in for an image of Docker's own library."""
    program = image.partition(":")[0]
    tag = f"pidone-test/official-{program}"
    if program == "postgres":
        return build_stand_in("postgres", tag)
    context = modules("node-22-npm", "node@22", "npm@11") if program == "node" else None
    return build_stand_in("official", tag, target=program, context=context)


@pytest.fixture(scope="module")
def bundle() -> str:
    """The `bundle` image."""
    return build("bundle", "pidone-test/bundle")


@pytest.fixture(scope="module", params=NAMES)
def example(
    request: pytest.FixtureRequest, bundle: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """An example's name and image: `docker build examples/NAME`, with our images in place of those named."""
    name = str(request.param)
    text = (EXAMPLES / name / "Dockerfile").read_text()
    bases = sorted({image for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if image != "scratch"})
    assert BUNDLE in text
    for image, ours in {BUNDLE: bundle, **{image: official(image) for image in bases}}.items():
        text = text.replace(image, ours)
    recipe = tmp_path_factory.mktemp(name) / "Dockerfile"
    recipe.write_text(text)
    tag = f"pidone-test/example-{name}"
    docker("buildx", "build", "--quiet", "--load", "--file", str(recipe), "--tag", tag, str(EXAMPLES / name))
    return name, tag


@contextmanager
def surroundings(name: str) -> Iterator[list[str]]:
    """The options of a `docker run`: Celery's broker is reached as `redis`."""
    if name != "django-celery":
        yield []
        return
    network = f"{PREFIX}examples"
    docker("network", "create", network)
    try:
        options = ["--network", network, "--network-alias", "redis"]
        with Container(build_stand_in("redis", "pidone-test/redis"), options=options):
            yield ["--network", network]
    finally:
        docker("network", "rm", network)


def test_one_line_proves_that_it_works(example: tuple[str, str]) -> None:
    """`docker run --rm example smoke ecosystem.toml`; of the job, the run itself, whose answer is 55."""
    name, image = example
    words = [] if name == "postgres-job" else ["smoke", "ecosystem.toml"]
    with surroundings(name) as options, Container(image, *words, options=options) as container:
        code = container.wait(SMOKE_S)
        said = "\n".join([*container.logs(), container.errors()])
    assert code == 0, said
    if name == "postgres-job":
        assert '"message":"55"' in said, said
    else:
        steps = re.findall(r"^(\w+) +(\S.*?) +[\d.]+s$", said, re.MULTILINE)
        assert {result for result, _ in steps} == {"ok"}, said
        assert [step for _, step in steps[:: len(steps) - 1]] == ["ready", "stop"], said


def test_the_container_is_healthy_and_stops_in_order(example: tuple[str, str]) -> None:
    """As it is run in production: its health check passes, and `docker stop` ends with 0."""
    name, image = example
    if name == "postgres-job":
        pytest.skip("ends by itself")
    check = docker("image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", image)
    assert check == '["CMD","pidone","health"]'
    with surroundings(name) as options, Container(image, options=options) as container:

        def healthy() -> bool:
            command = ["docker", "exec", container.name, "pidone", "health"]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        eventually(healthy, f"{name} to be healthy", SMOKE_S, every=0.2)
        assert container.stop(60) == 0, "\n".join(container.logs())
