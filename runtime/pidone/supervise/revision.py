"""What a file that was read again means for an app that is there: which change, and by which wish."""

from pidone.ecosystem.spec import AppSpec
from pidone.supervise.app import App
from pidone.supervise.plan import can_overlap
from pidone.supervise.wanted import Exchange, Replacement, Run


def run_of(spec: AppSpec) -> Run:
    """What is wanted of an app that nobody has said anything about."""
    return Run.WAITING if spec.autostart else Run.OFF


def same_but_count(one: AppSpec, other: AppSpec) -> bool:
    """Whether no process of one would be another one under the other."""
    return (
        one.but(
            instances=other.instances,
            max_follows=other.max_follows,
            wait_for=other.wait_for,
            wait_for_timeout=other.wait_for_timeout,
            wait_for_interval=other.wait_for_interval,
            on_wait_timeout=other.on_wait_timeout,
            remote=other.remote,
        )
        == other
    )


def change(app: App, spec: AppSpec, count: int, *, beside: bool) -> None:
    """Without a gap where old and new can serve side by side; stop and start elsewhere.

    Not `beside`: they cannot for this once, whatever the two are.
    """
    wanted = app.wanted
    if beside and wanted.is_on and not app.is_down and can_overlap(app.spec) and can_overlap(spec):
        app.replace(Replacement(spec=spec, count=count, reason="config"))
        return
    if wanted.exchange is not None:
        app.become(wanted.exchange.but(spec=spec, count=count))
        return
    if wanted.is_on:  # it need not wait for what it did not wait for before
        run = Run.ON if spec.depends_on == app.spec.depends_on else Run.WAITING
    elif wanted.run is Run.WAITING:
        run = Run.WAITING
    elif wanted.was_stopped:
        run = Run.OFF  # whoever stopped it starts it again
    else:
        run = run_of(spec)
    stopped = frozenset(slot for slot in wanted.stopped_slots if slot < count)
    rests = wanted.was_stopped and run is Run.OFF
    app.become(Exchange(spec, count, run, was_stopped=rests).without(stopped))
