"""Which C compilers there are for the static launcher."""

import subprocess

_PROGRAM = b"#include <limits.h>\nint main(void) { return 0; }\n"


def compiles(compiler: str) -> bool:
    """Whether it makes static programs: the C library for another machine is a package of its own."""
    command = [compiler, "-static", "-x", "c", "-o", "/dev/null", "-"]
    try:
        return subprocess.run(command, input=_PROGRAM, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
