"""What a program started while an ecosystem is read needs: Node, bun."""

import resource
from contextlib import suppress


def allow_a_process() -> None:
    """To be called before a start: the child that reads an ecosystem may start none otherwise."""
    _lift(resource.RLIMIT_NPROC)


def allow_memory() -> None:
    """For `preexec_fn`: V8 reserves much more address space than the child that reads may have."""
    _lift(resource.RLIMIT_AS)


def _lift(which: int) -> None:
    with suppress(OSError, ValueError):  # a sandbox without prlimit64(2)
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (hard, hard))
