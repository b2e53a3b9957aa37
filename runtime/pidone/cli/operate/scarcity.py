"""Who goes first where memory is short: whoever asks the runtime, not the runtime.

A command beside it in the same container may be what is too much (`--memory 24m`), and the kernel then ends
the largest: process 1, and everybody with it.
"""

_FIRST = b"1000"
"""The highest oom_score_adj of proc_pid_oom_score_adj(5): before all others."""


def give_way() -> None:
    """Let the kernel end this process first; it may be started again at any time."""
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(_FIRST)
    except OSError:  # no /proc, or a sandbox's: it is as likely then as everybody else
        return
