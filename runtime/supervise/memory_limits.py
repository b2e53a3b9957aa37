"""What an app allows itself in memory: limits as written in the file, made into bytes for this container."""

import re
from dataclasses import dataclass

from runtime.ecosystem.spec import Bytes, Seconds
from runtime.errors import ConfigError

_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*(/\s*n)?\s*", re.IGNORECASE | re.ASCII)
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryLimit:
    """Exactly one of `bytes` and `share` is set."""

    bytes: Bytes | None = None
    share: float | None = None
    """Of the container's limit, or of the machine's RAM where there is none; 0.8 for `"80%"`."""
    per_instance: bool = False
    """Written as `"80%/n"`: the share is for all instances together."""

    def resolve(self, ceiling: Bytes | None, instances: int) -> Bytes | None:
        """The limit of one instance in bytes; None for a share of something unknown."""
        if self.share is None:
            return self.bytes
        if ceiling is None:
            return None
        return int(ceiling * self.share / (max(1, instances) if self.per_instance else 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPolicy:
    """The memory keys of one app."""

    restart: MemoryLimit | None = None
    """`max_memory_restart`."""
    soft: MemoryLimit | None = None
    """`memory_soft_limit`."""
    interval: Seconds = 1.0
    """`memory_interval`: time between two samples."""
    samples: int = 1
    """`memory_samples`: this many samples in a row above the limit."""
    jitter: float = 0.05
    """`memory_jitter`: the limit of each incarnation is lower by a random share of up to this."""
    soft_cooldown: Seconds = 60.0
    """`memory_soft_cooldown`: the soft action comes at most once in this time."""
    soft_settle: Seconds = 5.0
    """How long the soft action gets before its effect is told."""
    retry_delay: Seconds = 30.0
    """Pause after a replacement that did not come up."""
    start_window: Seconds = 10.0
    """A recycle this soon after readiness suggests that the app starts above its limit."""
    start_recycles: int = 3
    """This many such recycles in a row, and the next one is watched for whether it grows at all."""
    start_samples: int = 3
    """Samples above the limit without growth that prove it."""

    @property
    def early_until(self) -> Seconds:
        """Age up to which a recycle is "right after the start": enough for all the samples it needs."""
        return max(self.start_window, (self.samples + self.start_samples + 1) * self.interval)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardPolicy:
    """`[runtime] memory_guard`: recycle the largest instance before the kernel kills one of its choice."""

    share: float = 0.9
    samples: int = 1
    cooldown: Seconds = 10.0
    """Pause between two actions, so that the effect of one is seen before the next."""


def parse_share(text: str, key: str) -> MemoryLimit:
    """`"80%"` or `"80%/n"`. Raises ConfigError, naming `key`, for anything else."""
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ConfigError(f'{key}: expected a share such as "80%" or "80%/n", not {text!r}')
    share = float(match[1]) / 100
    if not 0 < share <= 1:
        raise ConfigError(
            f"{key}: a share of the container's memory is above 0% and at most 100%, not {text!r}"
        )
    return MemoryLimit(share=share, per_instance=match[2] is not None)


def check_policy(policy: MemoryPolicy, *, ceiling: Bytes | None, instances: int) -> tuple[str, ...]:
    """What is wrong with the limits in this container, one line each for a warning or an error."""
    hard = policy.restart.resolve(ceiling, instances) if policy.restart else None
    soft = policy.soft.resolve(ceiling, instances) if policy.soft else None
    problems = []
    if hard is not None and soft is not None and soft >= hard:
        problems.append(
            f"memory_soft_limit ({mib(soft)}) is not below max_memory_restart ({mib(hard)}): "
            "the instance would be replaced before it was ever asked to collect garbage"
        )
    for key, limit in (("max_memory_restart", hard), ("memory_soft_limit", soft)):
        if limit is not None and limit <= 0:
            problems.append(f"{key} must be above zero, not {limit}")
        elif limit is not None and ceiling is not None and limit > ceiling:
            problems.append(
                f"{key} ({mib(limit)}) is above the container's own limit ({mib(ceiling)}): "
                "the kernel kills the process first"
            )
    return tuple(problems)


def mib(size: Bytes) -> str:
    """A size for people."""
    return f"{size / _MIB:.1f} MiB" if size < 10 * _MIB else f"{size / _MIB:.0f} MiB"
