"""The one-shot migration."""

import json

from harness import Running, eventually
from sample.service import Service


def applied(run: Running) -> list[str]:
    """The migrations a finished run says it applied."""
    assert run.wait() == 0, run.err and run.err.text()
    return list(run.records[-1]["applied"])


def test_a_second_migration_finds_nothing_to_do(service: Service) -> None:
    """The migration is a job that may run at every start."""
    assert applied(service.start("migrate")) == ["0001_chat", "0002_analytics", "0003_jobs"]
    assert applied(service.start("migrate")) == []


def test_concurrent_migrations_apply_everything_once(service: Service) -> None:
    """When several containers start at once, one migrates and the others wait for it."""
    runs = [service.start("migrate") for _ in range(4)]
    assert sorted(applied(run) for run in runs) == [[], [], [], ["0001_chat", "0002_analytics", "0003_jobs"]]


def test_one_may_wait_for_the_migration_of_somebody_else(service: Service) -> None:
    """With `--wait` nothing is changed: it ends when another process has brought the schema up to date."""
    waiting = service.start("migrate", "--wait")
    eventually(lambda: any("state" in record for record in waiting.records))
    assert waiting.process.poll() is None
    assert applied(service.start("migrate")) == ["0001_chat", "0002_analytics", "0003_jobs"]
    assert waiting.wait() == 0


def test_an_api_on_an_old_schema_is_healthy_but_not_ready(service: Service) -> None:
    """Without the migration there is a database, so health is fine, and nothing to serve from it."""
    api = service.api()
    eventually(lambda: api.request("/health").status == 200, "the database to answer within a second")
    ready = api.request("/ready")
    assert (ready.status, ready.body["checks"]["schema"]["ok"]) == (503, False)
    service.migrate()
    eventually(lambda: api.request("/ready").status == 200, "the database to answer within a second")


def test_health_says_what_is_missing(service: Service) -> None:
    """An API whose database and Redis are away runs, answers, and names both."""
    api = service.api(
        CHAT_DATABASE_URL="postgresql+asyncpg://nobody@127.0.0.1:1/none", CHAT_REDIS_URL="redis://127.0.0.1:1"
    )
    health = api.request("/health")
    assert health.status == 503
    assert {name: check["ok"] for name, check in health.body["checks"].items()} == {
        "database": False,
        "bus": False,
    }
    assert api.request("/ready").status == 503
    assert api.post("hall", "1").status == 503


def test_every_line_of_output_is_a_json_object(service: Service) -> None:
    """Logs are for machines: uvicorn's as well as the service's own."""
    service.migrate()
    api = service.api()
    api.process.process.terminate()
    assert api.process.wait() == 0
    assert api.process.out is not None
    assert {json.loads(line)["service"] for line in api.process.out} == {"api"}
