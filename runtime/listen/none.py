"""The outfitter of an ecosystem in which nothing is shared."""

from runtime.ecosystem.spec import AppSpec
from runtime.supervise.collaborators import InstanceId, NoEquipment, Report


class NoPorts:
    """Gives every process its command line and nothing else."""

    def open(self, app: AppSpec) -> None: ...

    def equip(self, app: AppSpec, who: InstanceId, report: Report) -> NoEquipment:
        return NoEquipment(app.argv)

    def retire(self, app: AppSpec, index: int) -> None: ...

    def close(self, app: AppSpec) -> None: ...
