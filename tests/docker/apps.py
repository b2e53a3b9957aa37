"""Ecosystems that several tests run: one app that sleeps, and one that tells which signals it gets."""

SLEEPER = '[[apps]]\nname = "sleeper"\nscript = "sleep"\nargs = ["3600"]\ninterpreter = "none"\n'

TELLTALE = r"""
[[apps]]
name = "telltale"
script = "python3"
interpreter = "none"
args = ["-u", "-c", '''
import signal, sys, time
ends = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
def tell(number, frame):
    print("got", number)
    if number in ends: sys.exit(0)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, tell)
print("ready")
while True: time.sleep(0.05)
''']
"""
