"""`docker logs` of real containers: one JSON record per line, nothing lost, split or reordered."""

from itertools import pairwise

from docker.containers import Container, Ecosystem

WRITERS, LINES = 4, 25_000

CHATTER = f"""
[[apps]]
name = "chatter"
script = "python3"
interpreter = "none"
instances = {WRITERS}
autorestart = false
args = ["-u", "-c", '''
import os, sys
lines = (f"line {{n}} " + "x" * (n % 200) + chr(10) for n in range({LINES}))
sys.stdout.write("".join(lines))
sys.stderr.write("the last word" + chr(10))
''']
"""

ODD = r"""
[[apps]]
name = "odd"
script = "python3"
interpreter = "none"
autorestart = false
args = ["-c", '''
import os
os.write(1, b"\xff\xfe not text\n")
os.write(1, b"nul \x00 and escape \x1b[31m\n")
os.write(1, b"long " + b"y" * 100000 + b"\n")
os.write(1, b"{\"level\": \"warning\", \"message\": \"mine\", \"order\": 7}\n")
os.write(1, b"no newline at the end")
''']
"""


def test_every_line_of_every_writer_arrives_in_order(runtime: str, ecosystem: Ecosystem) -> None:
    """A hundred thousand lines of four writers, each complete and in its order; and stderr beside them."""
    with Container(runtime, options=ecosystem(CHATTER)) as container:
        assert container.wait() == 0
        records = container.records
    for instance in range(WRITERS):
        said = [r for r in records if r.get("instance") == instance and r.get("stream") == "stdout"]
        assert [r["message"] for r in said] == [f"line {n} " + "x" * (n % 200) for n in range(LINES)]
        assert all(a["timestamp"] <= b["timestamp"] for a, b in pairwise(said))
    assert len([r for r in records if r.get("stream") == "stderr"]) == WRITERS


def test_odd_bytes_stay_one_record_a_line(runtime: str, ecosystem: Ecosystem) -> None:
    """What is not text, too long, JSON already, or without an end arrives as valid records."""
    with Container(runtime, options=ecosystem(ODD)) as container:
        assert container.wait() == 0
        said = [record for record in container.records if record.get("app") == "odd" and "stream" in record]
    assert "not text" in said[0]["message"]
    assert said[1]["message"].startswith("nul \0 and escape")
    long = [r for r in said if r["message"].startswith("long") or set(r["message"]) == {"y"}]
    assert "".join(r["message"] for r in long) == "long " + "y" * 100_000
    assert [r.get("partial", False) for r in long] == [True] * (len(long) - 1) + [False]
    assert [(r["level"], r["order"]) for r in said if r["message"] == "mine"] == [("warning", 7)]
    assert said[-1]["message"] == "no newline at the end"
