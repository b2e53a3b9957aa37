"""When an instance is due for replacement because of its age (`max_age`, `max_age_jitter`)."""

from collections.abc import Callable

from runtime.ecosystem.spec import Seconds
from runtime.errors import ConfigError


def expires_in(max_age: Seconds, jitter: Seconds, random: Callable[[], float]) -> Seconds:
    """Lifetime of one incarnation from its readiness on: `max_age` and up to `jitter` more.

    Instances that started together come due apart, each life drawing anew. `random` gives numbers in [0, 1).
    """
    return max_age + jitter * random()


def check_age(max_age: Seconds, *, ready_within: Seconds) -> None:
    """Raise ConfigError for an age at which instances would be replaced before they are of use."""
    if max_age <= ready_within:
        raise ConfigError(
            f"max_age ({max_age:g} s) must be longer than listen_timeout ({ready_within:g} s): "
            "instances would be replaced as soon as they are ready"
        )
