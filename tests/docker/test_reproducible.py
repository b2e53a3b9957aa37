"""Whoever builds an image again gets the layers that are published, digest by digest."""

import json

import pytest
from docker.images import BASE, build, docker


@pytest.mark.parametrize("target", ["runtime", "node"])
def test_two_builds_have_the_same_layers(target: str) -> None:
    """At another moment, from what is made anew: times of folders and files of the base are no exception."""
    first, second = (
        layers(
            build(
                target,
                f"pidone-test/{target}-{name}",
                "--no-cache-filter",
                f"pidone,{target}",
                NODE_IMAGE=BASE,
            )
        )
        for name in ("once", "again")
    )
    assert len(first) > 1
    assert first == second


def layers(image: str) -> list[str]:
    """Digests of an image's layers, its base's first."""
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found
