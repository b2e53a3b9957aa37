"""Says nonsense on its IPC channel, of every kind, and dies in the middle of a message."""

import os
import time

channel = int(os.environ["NODE_CHANNEL_FD"])
for line in (
    b"this is not JSON\n",
    b"\xff\xfe\x00\n",
    b"[" * 100_000 + b"\n",
    b'{"cmd":"NODE_CLUSTER","act":"queryServer","port":"x","addressType":99,"seq":[]}\n',
    b'{"cmd":"NODE_CLUSTER","act":"queryServer","address":{},"port":-5,"addressType":4,"seq":1}\n',
    b'{"cmd":"NODE_CLUSTER","act":"close","key":{"a":1},"seq":2}\n',
    b'{"cmd":"NODE_HANDLE_ACK"}\n',
    b'{"cmd":"NODE_NO_SUCH_THING"}\n',
    b'{"cmd":17}\nnull\n"what"\n',
    b"x" * (3 << 20) + b"\n",
    b'{"half of a mess',
):
    rest = line
    while rest:
        rest = rest[os.write(channel, rest) :]
time.sleep(0.1)
os.abort()
