"""When an instance is due for replacement because of its age (`max_age`, `max_age_jitter`)."""

from collections.abc import Callable

from pidone.ecosystem.spec import Seconds


def expires_in(max_age: Seconds, jitter: Seconds, random: Callable[[], float]) -> Seconds:
    """Lifetime of one incarnation from its readiness on: `max_age` and up to `jitter` more.

    Instances that started together come due apart, each life drawing anew. `random` gives numbers in [0, 1).
    """
    return max_age + jitter * random()
