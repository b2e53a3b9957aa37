"""What the kernel lets a process do beyond an ordinary user's rights: capabilities(7), by name and number."""

from enum import IntEnum

from pidone import procfs


class Capability(IntEnum):
    """Those that something of pidone needs; numbers of linux/capability.h."""

    CHOWN = 0
    KILL = 5
    SETGID = 6
    SETUID = 7
    SYS_PTRACE = 19
    SYS_NICE = 23
    SYS_RESOURCE = 24

    def __str__(self) -> str:
        """As the manual and `docker run --cap-add` have it."""
        return f"CAP_{self.name}"


def effective(proc: str = "/proc") -> int | None:
    """The bit set that this process has now, CapEff of proc_pid_status(5); None if that cannot be read."""
    try:
        lines = procfs.read_bytes(f"{proc}/self/status").splitlines()
        return next((int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:")), None)
    except (OSError, ValueError, IndexError):  # no /proc, or one of another kind of kernel
        return None


def has(capability: Capability, held: int | None) -> bool:
    """Whether a bit set holds it; one that could not be read is given the benefit of the doubt."""
    return held is None or bool(held >> capability & 1)
