"""When an instance is due for replacement because of its age (`max_age`, `max_age_jitter`)."""

from collections.abc import Callable

from runtime.ecosystem.spec import Seconds
from runtime.errors import ConfigError


def expires_in(max_age: Seconds, jitter: Seconds, random: Callable[[], float]) -> Seconds:
    """Lifetime of one incarnation from its readiness on: `max_age`, give or take up to `jitter`.

    Instances that started together come due apart, each life drawing anew. `random` gives numbers in [0, 1).
    """
    return max_age + jitter * (2 * random() - 1)


def check_age(max_age: Seconds, jitter: Seconds, ready_within: Seconds) -> None:
    """Raise ConfigError for an age at which instances would be replaced before they are of use."""
    if jitter < 0 or jitter >= max_age:
        raise ConfigError(
            f"max_age_jitter ({jitter:g} s) must be at least 0 and below max_age ({max_age:g} s)"
        )
    if max_age - jitter <= ready_within:
        raise ConfigError(
            f"max_age ({max_age:g} s, less a jitter of {jitter:g} s) must be longer than listen_timeout "
            f"({ready_within:g} s): instances would be replaced as soon as they are ready"
        )
