"""What programs do with a socket before and after they bind it, which ours has to bear in its place."""

import socket

import pytest
from harness import free_port
from listen.fleet import Fleet
from listen.raw import everybody_answers, raw

from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")

EVENTS = """
def answer():
    try:
        client, _ = server.accept()
    except BlockingIOError:
        return False
    client.recv(1000)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d 0" % os.getpid())
    client.close()
    return True
def turn():
    while True:
        for number, _ in events.poll(1):
            while number == server.fileno() and answer():
                pass
            if number == datagrams.fileno():
                try:
                    data, sender = datagrams.recvfrom(100)
                except BlockingIOError:
                    continue
                datagrams.sendto(data.upper(), sender)
server, datagrams = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setblocking(False)
datagrams.setblocking(False)
events = select.epoll()
"""
HABITS = {
    "registered before it is bound": EVENTS
    + """
events.register(server, select.EPOLLIN | select.EPOLLET)
server.bind(("127.0.0.1", port))
server.listen(5)
turn()
""",
    "registered and copied": EVENTS
    + """
first, server = server, socket.socket(fileno=os.dup(server.fileno()))
server.setblocking(False)
events.register(server, select.EPOLLIN)
first.bind(("127.0.0.1", port))
first.close()
server.listen(5)
turn()
""",
    "a copy is bound": """
first = socket.socket()
second = socket.socket(fileno=os.dup(first.fileno()))
first.bind(("127.0.0.1", port))
first.close()
second.listen(5)
serve(second)
""",
    "one device": """
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
server.bind(("0.0.0.0", port))
server.listen(5)
device = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
assert device.rstrip(b"\\0") == b"lo", device
serve(server)
""",
    "an address of nobody": """
server, other = socket.socket(), socket.socket()
other.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
other.bind(("192.0.2.77", port))
other.listen(5)
server.bind(("127.0.0.1", port))
server.listen(5)
serve(server, other)
""",
    "listens twice": """
server = socket.socket()
server.bind(("127.0.0.1", port))
server.listen(5)
server.listen(1000)
serve(server)
""",
    "handed to a worker": """
here, there = socket.socketpair()
worker = os.fork()
if worker == 0:
    _, numbers, _, _ = socket.recv_fds(there, 10, 1)
    os.getpid = os.getppid
    serve(socket.socket(fileno=numbers[0]))
signal.signal(signal.SIGTERM, lambda *_: (os.kill(worker, signal.SIGTERM), os._exit(0)))
server = socket.socket()
server.bind(("127.0.0.1", port))
server.listen(5)
socket.send_fds(here, [b"x"], [server.fileno()])
server.close()
while True:
    time.sleep(0.05)
""",
    "a child binds it": """
server = socket.socket()
child = os.fork()
if child == 0:
    server.bind(("127.0.0.1", port))
    os._exit(0)
os.waitpid(child, 0)
server.listen(5)
serve(server)
""",
    "how long accept() waits": """
server = socket.socket()
limits = {option: struct.pack("@ll", 3, 500_000) for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)}
for option, limit in limits.items():
    server.setsockopt(socket.SOL_SOCKET, option, limit)
server.bind(("127.0.0.1", port))
server.listen(5)
for option, limit in limits.items():
    assert server.getsockopt(socket.SOL_SOCKET, option, 16) == limit, option
serve(server)
""",
    "the first of the workers only binds": """
first = socket.socket()
first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
first.bind(("127.0.0.1", port))
worker = os.fork()
if worker == 0:
    os.getpid = os.getppid
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("127.0.0.1", port))
    server.listen(5)
    serve(server)
signal.signal(signal.SIGTERM, lambda *_: (os.kill(worker, signal.SIGTERM), os._exit(0)))
while True:
    time.sleep(0.05)
""",
}


@pytest.mark.parametrize("habit", HABITS)
def test_habit(fleet: Fleet, port: int, habit: str) -> None:
    """Two share it, and one is replaced."""
    app = raw(HABITS[habit], port=port)
    first, second = fleet.start_ready(app, 2)
    everybody_answers(fleet, [first, second], lambda: fleet.get(port).split()[0])
    third = fleet.start(app, 0)
    fleet.ready(third)
    first.handover.leave()
    first.signal(15)
    fleet.gone(first)
    everybody_answers(fleet, [second, third], lambda: fleet.get(port).split()[0])


THREADS = {
    "its first thread has ended": """
def has_ended():
    with open("/proc/%d/stat" % os.getpid()) as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"
def run():
    while not has_ended():
        time.sleep(0.01)
    open_and_serve()
threading.Thread(target=run).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)  # exit(2): of this thread
""",
    "a thread has descriptors of its own": """
def run():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    open_and_serve()
threading.Thread(target=run).start()
""",
}
OPEN = """
import ctypes, threading
def open_and_serve():
    server = socket.socket()
    server.bind(("127.0.0.1", port))
    server.listen(5)
    serve(server)
"""


@pytest.mark.skipif(not seccomp.is_at_least(6, 9), reason="a thread is looked at since Linux 6.9")
@pytest.mark.parametrize("habit", THREADS)
def test_threads(fleet: Fleet, port: int, habit: str) -> None:
    """The descriptors are those of the thread that calls."""
    members = fleet.start_ready(raw(OPEN + THREADS[habit], port=port), 2)
    everybody_answers(fleet, members, lambda: fleet.get(port).split()[0])


DATAGRAMS = """
events.register(datagrams, select.EPOLLIN)
datagrams.bind(("127.0.0.1", port))
server.bind(("127.0.0.1", port))
server.listen(5)
events.register(server, select.EPOLLIN)
turn()
"""


def test_datagrams_are_registered_before(fleet: Fleet, port: int) -> None:
    """As what is connected to."""
    fleet.start_ready(raw(EVENTS + DATAGRAMS, port=port), 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"hello", ("127.0.0.1", port))
        assert client.recv(100) == b"HELLO"


FROM = """
door = socket.socket()
door.bind(("127.0.0.1", 0))
door.listen(5)
mine = socket.socket()
mine.bind(("127.0.0.1", port))
mine.connect(door.getsockname())
print("from", mine.getsockname()[1], flush=True)
server = socket.socket()
server.bind(("127.0.0.1", int(os.environ["SERVES"])))
server.listen(5)
serve(server)
"""


def test_a_port_to_connect_from(fleet: Fleet, port: int) -> None:
    """A port that is bound, and not listened on, is its program's own."""
    serves = free_port()
    member = fleet.start(raw(FROM, port=port, env={"SERVES": str(serves)}))
    fleet.ready(member)
    assert f"from {port}\n" in member.text()
    assert fleet.get(serves).split()[0] == str(member.pid)


LOOKS = """
looks = socket.socket()
looks.bind(("127.0.0.1", port))
looks.close()
server = socket.socket()
server.bind(("127.0.0.1", int(os.environ["SERVES"])))
server.listen(5)
serve(server)
"""


def test_a_port_that_is_looked_at(fleet: Fleet, port: int) -> None:
    """A program that only binds a port, to see if it is free, leaves nothing that listens there."""
    serves = free_port()
    fleet.start_ready(raw(LOOKS, port=port, env={"SERVES": str(serves)}), 2)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
