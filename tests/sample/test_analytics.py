"""Aggregator and worker: what is counted, is counted once."""

import signal

from harness import eventually
from sample.service import Service, counted, wait_counted


def test_the_aggregator_counts_messages_and_joins(migrated: Service) -> None:
    """Events of all instances arrive through the stream."""
    here, there = migrated.two_apis()
    migrated.start("aggregator")
    with there.join("hall", "bob"):
        for n in range(10):
            (here, there)[n % 2].post("hall", f"k{n}")
        wait_counted(here, "hall", 10)
        eventually(lambda: counted(here, "hall", "joins") == 1, "the join is counted")


def test_kill_9_in_the_middle_counts_nothing_twice_or_never(migrated: Service) -> None:
    """Counts and offset are one transaction: the next aggregator continues where the last committed."""
    api = migrated.api()
    for n in range(60):
        if n % 30 == 0:
            aggregator = migrated.start("aggregator")
            aggregator.expect(message="started")
        api.post("hall", f"k{n}")
        if n % 30 == 29:
            aggregator.signal(signal.SIGKILL)
            assert aggregator.wait() == 128 + signal.SIGKILL
    migrated.start("aggregator")
    wait_counted(api, "hall", 60)
    api.post("hall", "one more")  # what had been counted twice would show by now
    wait_counted(api, "hall", 61)
    assert counted(api, "hall") == 61


def test_a_second_aggregator_by_mistake_counts_nothing_twice(migrated: Service) -> None:
    """Only one of two readers of the same offset can move it."""
    api = migrated.api()
    for aggregator in [migrated.start("aggregator") for _ in range(2)]:
        aggregator.expect(message="started")
    for n in range(100):
        api.post("hall", f"k{n}")
    wait_counted(api, "hall", 100)
    api.post("hall", "one more")  # what had been counted twice would show by now
    wait_counted(api, "hall", 101)
    assert counted(api, "hall") == 101


def test_events_collected_before_a_stop_are_not_lost(migrated: Service) -> None:
    """An instance that leaves sends what it has collected, and nothing of it twice."""
    api = migrated.api()
    for n in range(10):
        api.post("hall", f"k{n}")
    api.process.signal(signal.SIGTERM)
    assert api.process.wait() == 0
    migrated.start("aggregator")
    other = migrated.api(1)
    wait_counted(other, "hall", 10)
    assert counted(other, "hall") == 10


def test_the_worker_rolls_up_on_request(migrated: Service) -> None:
    """The roll-up counts the messages themselves, so it needs no aggregator and repairs what one missed."""
    api = migrated.api()
    worker = migrated.start("worker")
    worker.expect(message="job done", job="rollup")  # the first one is due at once
    for n in range(5):
        api.post("hall", f"k{n}", author=f"author {n % 2}")
    assert api.request("/jobs/rollup", {}).status == 202
    eventually(lambda: api.request("/rooms/hall/stats").body["hours"], "the roll-up")
    hours = api.request("/rooms/hall/stats").body["hours"]
    assert (sum(hour["messages"] for hour in hours), hours[0]["authors"]) == (5, 2)
    assert api.request("/jobs/sweep", {}).status == 404


def test_two_workers_do_a_job_once(migrated: Service) -> None:
    """Taking a job moves its due time in the same transaction."""
    workers = [migrated.start("worker") for _ in range(2)]
    for worker in workers:
        worker.expect(message="started")
    eventually(lambda: sum(len(worker.find(message="job done")) for worker in workers) >= 2, "both jobs")
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    done = sorted(record["job"] for worker in workers for record in worker.find(message="job done"))
    assert done == ["cleanup", "rollup"]
