"""The limits an app has in this container, in bytes, and what makes no sense about them."""

from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, MemoryShare
from pidone.host.memory import Memory
from pidone.record import Record

_MIB = 1 << 20


class Limits(Record, kw_only=True):
    """What an app may use; None is "no limit"."""

    hard: Bytes | None
    """`max_memory_restart`."""
    soft: Bytes | None
    """`memory_soft_limit`."""


def resolve(limit: MemoryLimit | None, *, ceiling: Bytes | None, instances: int) -> Bytes | None:
    """A limit in bytes; None if there is none, or it is a share of something unknown.

    Args:
        limit: As configured; `"80%/n"` is a share for all instances together.
        ceiling: The container's memory (`Memory.ceiling`).
        instances: How many instances the app has now.
    """
    if not isinstance(limit, MemoryShare):
        return limit
    if ceiling is None:
        return None
    return int(ceiling * limit.fraction / (max(1, instances) if limit.per_instance else 1))


def limits_of(app: AppSpec, *, ceiling: Bytes | None, instances: int) -> Limits:
    """Both limits of an app, each per instance."""
    return Limits(
        hard=resolve(app.max_memory_restart, ceiling=ceiling, instances=instances),
        soft=resolve(app.memory_soft_limit, ceiling=ceiling, instances=instances),
    )


def check_limits(app: AppSpec, *, ceiling: Bytes | None, instances: int) -> tuple[str, ...]:
    """What is wrong with an app's limits in this container, one line each.

    The ecosystem has compared what can be compared without knowing the container.
    """
    limits = limits_of(app, ceiling=ceiling, instances=instances)
    hard, soft = limits.hard, limits.soft
    problems = []
    if hard is not None and soft is not None and soft >= hard:
        problems.append(
            f"memory_soft_limit ({mib(soft)}) is not below max_memory_restart ({mib(hard)}): "
            "the instance would be replaced before it was asked to free memory"
        )
    shares = (("max_memory_restart", app.max_memory_restart), ("memory_soft_limit", app.memory_soft_limit))
    problems += [
        f"{key} has no effect: it is a share, and neither the container's nor the machine's memory is known"
        for key, limit in shares
        if isinstance(limit, MemoryShare) and ceiling is None
    ]
    for key, limit in (("max_memory_restart", hard), ("memory_soft_limit", soft)):
        if limit is not None and ceiling is not None and limit > ceiling:
            problems.append(
                f"{key} ({mib(limit)}) is above what the container has ({mib(ceiling)}): "
                "the kernel kills the process first"
            )
    return tuple(problems)


def check_guard(guard: MemoryLimit | None, memory: Memory) -> str:
    """What is wrong with `[runtime] memory_guard` in this container; empty if nothing is."""
    if guard is None:
        return ""
    if memory.limit is None:
        return "memory_guard has no effect: the container has no memory limit"
    limit = resolve(guard, ceiling=memory.ceiling, instances=1)
    if limit is not None and limit >= memory.limit:
        return (
            f"memory_guard ({mib(limit)}) is not below the container's limit ({mib(memory.limit)}): "
            "the kernel kills first"
        )
    return ""


def mib(size: Bytes) -> str:
    """A size for people."""
    return f"{size / _MIB:.1f} MiB" if size < 10 * _MIB else f"{size / _MIB:.0f} MiB"
