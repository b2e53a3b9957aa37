#!/bin/sh
# Process 1 of the machine: a unified hierarchy with cpu, memory and pids, then the suite, then the end.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CORE_PATIENCE=600
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+cpu +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/suite
echo '+cpu +memory +pids' >/sys/fs/cgroup/suite/cgroup.subtree_control
python3 - <<'P'
import fcntl, socket, struct
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
P
stty -F /dev/ttyS0 -opost 2>/dev/null
echo "{\"name\": \"kernel\", \"release\": \"$(uname -r)\"}" >/dev/ttyS0
cd /src && python3 -B -m platforms.unified /opt/pidone/bin/pidone $(cat /src/names) >/dev/ttyS0 2>/dev/ttyS0
echo '{"name": "end"}' >/dev/ttyS0
python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
