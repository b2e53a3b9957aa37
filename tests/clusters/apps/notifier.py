"""A daemon that speaks sd_notify: ready, alive for a while if it is told to hang, and what it is doing."""

import os
import socket
import time

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
beats = int(os.environ.get("BEATS", "1000000"))
notify.send(b"READY=1\nSTATUS=at work")
for _ in range(beats):
    notify.send(b"WATCHDOG=1")
    time.sleep(0.05)
time.sleep(3600)
