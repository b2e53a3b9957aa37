"""A line of /proc/PID/stat, proc_pid_stat(5), for all who read it. Fields count from the state, number 3."""

STATE, PPID, PGRP, SESSION = range(4)
CPU_TIMES = slice(11, 15)
"""User and system time, then those of children that were waited for, in clock ticks."""
NICE, THREADS, START_TICKS, RSS_PAGES = 16, 17, 19, 21


def fields(line: str) -> list[str]:
    """From the state on. What is before it ends at the last parenthesis: a name may hold any byte."""
    return line.rpartition(")")[2].split()
