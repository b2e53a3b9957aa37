"""/metrics as a scraper reads it."""

import signal
from pathlib import Path

from control.operated import SLEEPER, Operated, operated
from harness import eventually, free_port
from prometheus_client.openmetrics.parser import text_string_to_metric_families

APP, NAMESPACE = ("app", "api"), ("app_namespace", "default")


def scrape(it: Operated) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    reply = it.ask("/metrics", tcp=True)
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def test_everything_on_the_list_is_there(sleeping: Operated) -> None:
    """The exposition is valid OpenMetrics and has each metric that is promised."""
    sleeping.ask("/metrics")  # PSS is measured after the first question
    names = eventually(
        lambda: (
            found
            if "pidone_instance_tree_pss_bytes" in (found := {name for name, _ in scrape(sleeping)})
            else None
        )
    )
    expected = {
        "pidone_build_info", "pidone_ready", "pidone_orphans_reaped_total", "pidone_loop_lag_seconds",
        "pidone_events_total", "pidone_app_ready", "pidone_app_instances", "pidone_instance_up",
        "pidone_instance_ready", "pidone_instance_uptime_seconds", "pidone_instance_cpu_seconds_total",
        "pidone_instance_resident_memory_bytes", "pidone_instance_tree_rss_bytes",
        "pidone_instance_threads", "pidone_instance_open_fds", "pidone_instance_processes",
        "pidone_app_ready_duration_seconds_bucket", "pidone_app_ready_duration_seconds_count",
        "pidone_listen_backlog", "pidone_log_lines_total", "pidone_log_bytes_total",
        "pidone_log_dropped_lines_total", "pidone_container_cpus", "process_resident_memory_bytes",
        "process_cpu_seconds_total", "process_open_fds",
    }  # fmt: skip
    assert expected <= names


def test_restarts_and_exits_are_counted_by_reason(tmp_path: Path) -> None:
    """A crash counts as `signal` with the signal's name, a restart by hand as `request`."""
    with operated(tmp_path) as it:
        it.ask("/api/apps/api:0/signal", "POST", {"signal": "KILL"})
        eventually(lambda: it.app("api")["restarts"] == 1)
        it.ask("/api/apps/api:1/restart", "POST")
        eventually(lambda: it.app("api")["restarts"] == 2)
        samples = scrape(it)
        assert samples["pidone_app_restarts_total", (APP, NAMESPACE, ("reason", "signal"))] == 1
        assert samples["pidone_app_restarts_total", (APP, NAMESPACE, ("reason", "request"))] == 1
        exits = (APP, NAMESPACE, ("code", ""), ("signal", "SIGKILL"))
        assert samples["pidone_app_exits_total", exits] == 1


def test_planned_restarts_have_names_of_their_own(tmp_path: Path) -> None:
    """A reload, a changed ecosystem and a watched file; reloads are timed, namespaces are labels."""
    (tmp_path / "source").write_text("old")
    ecosystem = f"""
    [[apps]]
    name = "api"
    namespace = "shop"
    listen = [{free_port()}]
    script = "/bin/sleep"
    args = "1000"
    ready_delay = 0
    env = {{ A = "1" }}
    watch = ["source"]
    watch_delay = 0
    """
    shop = (APP, ("app_namespace", "shop"))
    with operated(tmp_path, ecosystem) as it:

        def restarts(reason: str) -> float:
            return scrape(it).get(("pidone_app_restarts_total", (*shop, ("reason", reason))), 0)

        assert it.command("reload", "api").returncode == 0
        assert restarts("request") == 1
        (tmp_path / "ecosystem.toml").write_text(ecosystem.replace('"1"', '"2"'))
        it.run.signal(signal.SIGHUP)
        eventually(lambda: restarts("config") == 1)

        def touch() -> bool:
            """Once in a while: what changes all the time is not acted on before it is quiet."""
            (tmp_path / "source").write_text("new")
            return restarts("watch") > 0

        eventually(touch, "the watched file to be noticed", every=1.0)
        eventually(lambda: scrape(it)["pidone_app_reload_duration_seconds_count", shop] >= 3)  # it is over
        samples = scrape(it)
        assert samples["pidone_app_ready_duration_seconds_count", shop] >= 4
        starts = [
            each for each in it.ask("/api/apps/api").json["events"] if each["event"] == "instance.start"
        ]
        assert {each["namespace"] for each in starts} == {"shop"}


def test_counts_do_not_depend_on_the_log_level(tmp_path: Path) -> None:
    """With log_level = error the events are not written, but counted."""
    ecosystem = SLEEPER + "\n[runtime]\nlog_level = 'info'\n"
    with operated(tmp_path, ecosystem) as it:
        assert scrape(it)["pidone_events_total", (("event", "instance.start"),)] == 2
        it.run.signal(signal.SIGTERM)
        assert it.run.wait() == 0
