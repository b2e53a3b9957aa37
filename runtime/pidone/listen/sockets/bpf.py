"""Choose the socket of a reuseport group in the kernel: small classic-BPF programs and how to attach them.

Protocol: socket(7), SO_ATTACH_REUSEPORT_CBPF: the program's result is an index into the group, in the order
in which its sockets began to listen; an index that does not exist falls back to the kernel's own hash.
Instructions: linux/filter.h and linux/bpf_common.h. No privilege is needed.
"""

import array
import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

Instruction: TypeAlias = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant"""

BUCKETS: Final = 128
"""Client addresses are hashed into so many buckets, each of which belongs to one slot."""

_SO_ATTACH_REUSEPORT_CBPF: Final = 51  # asm-generic/socket.h; the same on x86-64 and arm64
_NETWORK_HEADER: Final = 0xFFF00000  # SKF_NET_OFF
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_LOAD_BYTE: Final = 0x30  # BPF_LD | BPF_B | BPF_ABS
_MULTIPLY: Final = 0x24  # BPF_ALU | BPF_MUL | BPF_K
_MODULO: Final = 0x94  # BPF_ALU | BPF_MOD | BPF_K
_SHIFT_RIGHT: Final = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_XOR_X: Final = 0xAC  # BPF_ALU | BPF_XOR | BPF_X
_TO_X: Final = 0x07  # BPF_MISC | BPF_TAX
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_GOLDEN_RATIO: Final = 0x9E3779B1  # Fibonacci hashing: the upper bits of the product are well mixed
_REFUSALS: Final = (errno.EPERM, errno.EACCES, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL)


def choose_at_random(indexes: Sequence[int]) -> list[Instruction]:
    """Each connection goes to any of the group's sockets named by `indexes`, all equally likely."""
    pick = [(_LOAD_WORD, 0, 0, _RANDOM), (_MODULO, 0, 0, len(indexes))]
    return pick + _look_up(indexes)


def choose_by_source(table: Sequence[int]) -> list[Instruction]:
    """Hash the client's address into one of BUCKETS, and take the socket that `table` names for it."""
    ipv6 = [
        (_LOAD_WORD, 0, 0, _NETWORK_HEADER + 8),
        (_TO_X, 0, 0, 0),
        (_LOAD_WORD, 0, 0, _NETWORK_HEADER + 12),
        (_XOR_X, 0, 0, 0),
        (_TO_X, 0, 0, 0),
        (_LOAD_WORD, 0, 0, _NETWORK_HEADER + 16),
        (_XOR_X, 0, 0, 0),
        (_TO_X, 0, 0, 0),
        (_LOAD_WORD, 0, 0, _NETWORK_HEADER + 20),
        (_XOR_X, 0, 0, 0),
        (_JUMP, 0, 0, 1),
    ]
    ipv4 = [(_LOAD_WORD, 0, 0, _NETWORK_HEADER + 12)]
    return [
        # A dual-stack group sees both families; the first half-byte of either header is its version.
        (_LOAD_BYTE, 0, 0, _NETWORK_HEADER),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, len(ipv6), 6),
        *ipv6,
        *ipv4,
        (_MULTIPLY, 0, 0, _GOLDEN_RATIO),
        (_SHIFT_RIGHT, 0, 0, 32 - (BUCKETS - 1).bit_length()),
        *_look_up(table),
    ]


def _look_up(table: Sequence[int], first: int = 0) -> list[Instruction]:
    """A binary search as code: return table[accumulator - first]."""
    if len(set(table)) == 1:
        return [(_RETURN, 0, 0, table[0])]
    middle = len(table) // 2
    low = _look_up(table[:middle], first)
    high = _look_up(table[middle:], first + middle)
    # Conditional jumps reach 255 instructions only, so a long way goes through an unconditional one.
    return [(_JUMP_IF_AT_LEAST, 0, 1, first + middle), (_JUMP, 0, 0, len(low)), *low, *high]


def attach(group: socket.socket, program: Sequence[Instruction]) -> bool:
    """Give the program to the whole group of this socket; False where the kernel (or gVisor) refuses."""
    code = array.array("B", b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    descriptor = struct.pack("@HP", len(program), code.buffer_info()[0])  # struct sock_fprog
    try:
        group.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, descriptor)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return False
    return True
