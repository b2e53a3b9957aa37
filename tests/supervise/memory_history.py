"""The memory policy over written samples."""

from collections.abc import Callable
from typing import Any

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, MemoryLimit, MemoryShare
from pidone.host.memory import Memory
from pidone.supervise.memory.policy import Act, MemoryPolicy, Wish

MIB = 1 << 20
NINETY = MemoryShare(fraction=0.9)


def spec(name: str = "api", **keys: Any) -> AppSpec:
    """An app with these memory keys."""
    return AppSpec(name=name, argv=("/bin/app",), **keys)


LIMIT = spec(max_memory_restart=100 * MIB)
ROOMY = Memory(limit=4000 * MIB, usage=500 * MIB)
FULL = Memory(limit=1000 * MIB, usage=990 * MIB, inactive_file=50 * MIB)


class History:
    """A policy with a hand-turned clock, and a world in which replacements take as long as they are given."""

    def __init__(
        self,
        app: AppSpec = LIMIT,
        *,
        apps: tuple[str, ...] = ("api",),
        instances: int = 1,
        guard: MemoryLimit | None = None,
        random: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.now = 1000.0
        self.policy = MemoryPolicy(random=random, guard=guard)
        for name in apps:
            self.policy.adopt(app.but(name=name), instances=instances)
            for index in range(instances):
                self.policy.online(InstanceId(name, index, 1), self.now)

    def sample(self, *mib: float, app: str = "api", memory: Memory = ROOMY, lives: int = 1) -> list[Wish]:
        """A second later instance n of the app uses `mib[n]`."""
        return self.sample_all(
            {InstanceId(app, n, lives): int(size * MIB) for n, size in enumerate(mib)}, memory
        )

    def sample_all(self, sizes: dict[InstanceId, int], memory: Memory = ROOMY) -> list[Wish]:
        """A second later these sizes are measured."""
        self.now += 1
        return self.policy.judge(sizes, memory, self.now)

    def replace(self, who: InstanceId) -> InstanceId:
        """The replacement comes up, then the old one is gone."""
        successor = InstanceId(who.app, who.index, who.incarnation + 1)
        self.policy.online(successor, self.now)
        self.policy.gone(who)
        return successor


def recycled(decisions: list[Wish]) -> list[InstanceId]:
    """Who is to be replaced."""
    return [wish.who for wish in decisions if wish.act is Act.REPLACE and wish.who is not None]
