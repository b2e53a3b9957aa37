"""Memory limits, told as histories of samples: who is replaced when, and why."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervise.memory_history import FULL, MIB, NINETY, ROOMY, History, recycled, spec

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, MemoryShare
from pidone.host.memory import Memory
from pidone.supervise.memory.limits import check_guard, check_limits, resolve
from pidone.supervise.memory.policy import LONGEST_PAUSE, RETRY_DELAY, Act, Wish


def test_the_first_sample_above_the_limit_recycles() -> None:
    """By default one sample is enough, and the decision says what was measured against what."""
    history = History()
    assert history.sample(99) == []
    (decision,) = history.sample(101)
    assert decision == Wish(
        act=Act.REPLACE,
        who=InstanceId("api", 0, 1),
        message="the instance uses 101 MiB, max_memory_restart is 100 MiB: it is being replaced",
        fields={"instance": 0, "rss_bytes": 101 * MIB, "limit_bytes": 100 * MIB},
        reason="max_memory_restart",
        overlap=True,
    )


def test_samples_in_a_row() -> None:
    """With memory_samples = 3 a spike is forgiven; three in a row are not."""
    history = History(spec(max_memory_restart=100 * MIB, memory_samples=3))
    seen = [bool(history.sample(size)) for size in (120, 120, 80, 120, 120, 120)]
    assert seen == [False, False, False, False, False, True]


def test_a_decision_is_made_once() -> None:
    """While the replacement is under way the same instance is not asked for again."""
    history = History()
    assert recycled(history.sample(150))
    for size in (160, 170, 180):
        assert history.sample(size) == []


def test_one_instance_of_an_app_at_a_time() -> None:
    """Four instances over the limit are replaced one after the other, the largest first."""
    history = History(instances=4)
    sizes = {InstanceId("api", n, 1): (110 + n) * MIB for n in range(4)}
    order = []
    while due := recycled(history.sample_all(sizes)):
        (who,) = due
        order.append(who.index)
        assert recycled(history.sample_all(sizes)) == []
        del sizes[who]
        sizes[history.replace(who)] = 20 * MIB
    assert order == [3, 2, 1, 0]


def test_two_apps_do_not_wait_for_each_other() -> None:
    """One at a time is per app."""
    history = History(apps=("api", "worker"))
    due = history.sample_all({InstanceId("api", 0, 1): 200 * MIB, InstanceId("worker", 0, 1): 200 * MIB})
    assert {who.app for who in recycled(due)} == {"api", "worker"}


def test_old_gone_before_new_is_online() -> None:
    """When the old one has to stop first, the next instance waits until the new one is online."""
    history = History(instances=2)
    assert [who.index for who in recycled(history.sample(150, 120))] == [0]
    history.policy.gone(InstanceId("api", 0, 1))
    other = {InstanceId("api", 1, 1): 120 * MIB}
    assert history.sample_all(other) == []
    history.policy.online(InstanceId("api", 0, 2), history.now)
    assert [who.index for who in recycled(history.sample_all(other))] == [1]


def test_a_failed_replacement_is_tried_again_later() -> None:
    """The old instance stays; another one may be replaced meanwhile, the same one after a pause."""
    history = History(instances=2)
    (who,) = recycled(history.sample(150, 50))
    history.policy.postponed(who, history.now)
    assert history.sample(150, 50) == []
    (other,) = recycled(history.sample(150, 120))
    assert other.index == 1
    history.replace(other)
    history.now += RETRY_DELAY
    assert recycled(history.sample(150, 50)) == [who]


def test_a_recycle_that_is_never_heard_of_again_does_not_block_for_ever() -> None:
    """When a slot is scaled away in the middle of its replacement the others are watched on."""
    history = History(instances=2)
    (who,) = recycled(history.sample(150, 120))
    history.policy.gone(who)
    other = {InstanceId("api", 1, 1): 120 * MIB}
    assert history.sample_all(other) == []
    history.now += 300
    assert [w.index for w in recycled(history.sample_all(other))] == [1]


def test_samples_of_processes_that_are_not_online_are_ignored() -> None:
    """A starting instance, an old incarnation and an unknown app are nobody's business here."""
    history = History()
    strangers = [InstanceId("api", 0, 9), InstanceId("api", 5, 1), InstanceId("other", 0, 1)]
    assert history.sample_all(dict.fromkeys(strangers, 999 * MIB)) == []


def test_a_forgotten_app_is_left_alone() -> None:
    """A stopped app is not recycled, whatever is still measured."""
    history = History()
    history.policy.forget(("default", "api"))
    assert history.sample(500) == []


def test_jitter_lowers_the_limit_of_each_life_by_chance() -> None:
    """Equal instances with an equal leak come due at different times, and never above the limit."""
    values = iter([0.0, 0.5, 0.99])
    history = History(instances=3, random=lambda: next(values))
    assert history.sample(95, 95, 95) == []
    assert [who.index for who in recycled(history.sample(96, 96, 96))] == [2]


def test_share_of_the_container() -> None:
    """A share "80%" is of the container's limit, "80%/n" is that divided among the instances."""
    memory = Memory(limit=1000 * MIB, usage=1 * MIB, host_total=8000 * MIB)
    alone, divided = MemoryShare(fraction=0.8), MemoryShare(fraction=0.8, per_instance=True)
    assert resolve(alone, ceiling=memory.ceiling, instances=4) == 800 * MIB
    assert resolve(divided, ceiling=memory.ceiling, instances=4) == 200 * MIB
    assert resolve(alone, ceiling=None, instances=4) is None
    assert resolve(None, ceiling=memory.ceiling, instances=4) is None
    history = History(spec(max_memory_restart=divided), instances=4)
    assert history.sample(199, 10, 10, 10, memory=memory) == []
    assert [w.index for w in recycled(history.sample(10, 10, 201, 10, memory=memory))] == [2]


def test_scaling_changes_a_divided_share() -> None:
    """Twice the instances, half the memory for each."""
    memory = Memory(limit=1000 * MIB, usage=1 * MIB)
    app = spec(max_memory_restart=MemoryShare(fraction=0.8, per_instance=True))
    history = History(app, instances=2)
    assert history.sample(300, 300, memory=memory) == []
    history.policy.adopt(app, instances=4)
    assert recycled(history.sample(300, 300, memory=memory))


SOFT = spec(memory_soft_limit=80 * MIB, max_memory_restart=100 * MIB)


def test_soft_limit_asks_once_per_cool_down_and_tells_what_came_of_it() -> None:
    """The app is asked, gets time, and usage before and after is told; then not again for a minute."""
    history = History(SOFT)
    assert history.sample(70) == []
    (asked,) = history.sample(85)
    assert (asked.act, asked.who) == (Act.SOFTEN, InstanceId("api", 0, 1))
    assert asked.message == "the instance uses 85 MiB, memory_soft_limit is 80 MiB"
    for _ in range(4):
        assert history.sample(90) == []
    (told,) = history.sample(60)
    assert (told.act, told.level, told.event) == (Act.TELL, "info", "instance.memory_softened")
    assert told.message == "from 85 MiB to 60 MiB after it was asked to free memory"
    assert told.fields == {"instance": 0, "before_bytes": 85 * MIB, "after_bytes": 60 * MIB}
    for _ in range(54):
        assert history.sample(90) == []
    assert [wish.act for wish in history.sample(90)] == [Act.SOFTEN]


def test_the_hard_limit_does_not_wait_for_the_soft_one() -> None:
    """An app that does not shrink is replaced as soon as it crosses the hard limit."""
    history = History(SOFT)
    assert history.sample(90)[0].act is Act.SOFTEN
    assert recycled(history.sample(101))


def test_a_soft_limit_alone_never_recycles() -> None:
    """Without max_memory_restart an app is only ever asked."""
    history = History(spec(memory_soft_limit=80 * MIB))
    assert recycled([decision for _ in range(200) for decision in history.sample(500)]) == []


def lives(history: History, sizes: Iterator[float], limit: int = 100) -> Iterator[tuple[int, Wish]]:
    """Replace the one instance whenever it is asked for; yields the life and each decision, `limit` lives."""
    who = InstanceId("api", 0, 1)
    while who.incarnation <= limit:
        for decision in history.sample_all({who: int(next(sizes) * MIB)}):
            yield who.incarnation, decision
            if decision.act is Act.GIVE_UP:
                return
            if decision.act is Act.REPLACE:
                who = history.replace(who)


def test_a_limit_below_the_start_size_is_found_out() -> None:
    """An app that needs 150 MiB is replaced three times, then the limit is named as the reason."""
    decisions = list(lives(History(), iter(lambda: 150.0, None)))
    *recycles, (life, last) = decisions
    assert len(recycles) == 3
    assert life == 4
    assert last.act is Act.GIVE_UP
    assert last.message == (
        "needs 150 MiB right after its start, above its max_memory_restart of 100 MiB; "
        "replaced 3 times in vain"
    )


def test_a_limit_that_shrank_below_the_size_is_told_once_and_tried_more_and_more_rarely() -> None:
    """It did fit: it works on, and is replaced after 30 s, a minute, two minutes, ... instead of each 2 s."""
    history = History(spec(max_memory_restart=MemoryShare(fraction=0.8)))
    who, recycles = InstanceId("api", 0, 1), []
    told: list[Wish] = []
    history.now += 60
    assert history.sample_all({who: 150 * MIB}, Memory(limit=400 * MIB, usage=0)) == []
    began = history.now
    while history.now < began + 2 * 3600:
        for decision in history.sample_all({who: 150 * MIB}, Memory(limit=160 * MIB, usage=0)):
            if decision.act is Act.REPLACE:
                recycles.append(history.now)
                who = history.replace(who)
            else:
                told.append(decision)
    assert [(each.act, each.level, each.event) for each in told] == [(Act.TELL, "warning", "config.warning")]
    assert "max_memory_restart has shrunk to 128 MiB" in told[0].message
    pauses = [later - earlier for earlier, later in pairwise(recycles[1:])]
    assert pauses == sorted(pauses)
    assert RETRY_DELAY <= pauses[0] < 2 * RETRY_DELAY
    assert LONGEST_PAUSE <= pauses[-1] < LONGEST_PAUSE + RETRY_DELAY
    assert len(recycles) < 20

    told.clear()
    assert history.sample_all({who: 150 * MIB}, Memory(limit=400 * MIB, usage=0)) == []  # it fits again
    for _ in range(20):
        for decision in history.sample_all({who: 150 * MIB}, Memory(limit=160 * MIB, usage=0)):
            if decision.act is Act.REPLACE:
                who = history.replace(who)
            else:
                told.append(decision)
    assert [each.act for each in told] == [Act.TELL]  # another time, told anew


def test_a_container_that_shrinks_before_anybody_was_judged_has_shrunk() -> None:
    """In the first moments: the app did fit, and is not given up."""
    history = History(spec(max_memory_restart=MemoryShare(fraction=0.8)))
    history.policy.resized(400 * MIB)
    who, told = InstanceId("api", 0, 1), []
    for _ in range(20):
        for decision in history.sample_all({who: 150 * MIB}, Memory(limit=160 * MIB, usage=0)):
            if decision.act is Act.REPLACE:
                who = history.replace(who)
            else:
                told.append(decision)
    assert [(each.act, each.event) for each in told] == [(Act.TELL, "config.warning")]


def test_an_app_that_loads_its_data_after_the_start_is_found_out_too() -> None:
    """Below the limit when ready and above it three seconds later, again and again, without growing on."""
    history = History()
    who, outcome = InstanceId("api", 0, 1), []
    for _ in range(40):
        age = history.now - history.policy._apps[who.key].lives[who].online_at
        size = 30.0 + 60 * min(age, 2)
        for decision in history.sample_all({who: int(size * MIB)}):
            outcome.append(decision.act)
            if decision.act is Act.REPLACE:
                who = history.replace(who)
        if Act.GIVE_UP in outcome:
            break
    assert outcome == [Act.REPLACE] * 3 + [Act.GIVE_UP]


def test_a_fast_leak_is_recycled_for_ever() -> None:
    """50 MB/s against a limit of 100 MB: hundreds of lives of two seconds, and it never gives up."""
    history = History()
    who, seen = InstanceId("api", 0, 1), 0
    for _ in range(1000):
        age = history.now + 1 - history.policy._apps[who.key].lives[who].online_at
        for decision in history.sample_all({who: int((20 + 50 * age) * MIB)}):
            assert decision.act is Act.REPLACE
            assert (
                decision.fields["rss_bytes"] <= 220 * MIB
            )  # once, the fourth life is looked at for one sample more
            who = history.replace(who)
            seen += 1
    assert seen > 400


def test_a_late_recycle_clears_the_suspicion() -> None:
    """Early recycles count only in a row; one life that lasted starts the count anew."""
    history = History()
    who, outcome = InstanceId("api", 0, 1), []
    for life in range(12):
        history.now += 60 if life % 3 == 2 else 0
        (decision,) = history.sample_all({who: 150 * MIB})
        outcome.append(decision.act)
        who = history.replace(who)
    assert outcome == [Act.REPLACE] * 12


def test_an_app_that_gave_up_is_watched_again_with_another_limit() -> None:
    """A new limit is a new chance."""
    history = History()
    list(lives(history, iter(lambda: 150.0, None)))
    who = InstanceId("api", 0, 4)
    assert history.sample_all({who: 150 * MIB}) == []
    history.policy.adopt(spec(max_memory_restart=120 * MIB), instances=1)
    assert recycled(history.sample_all({who: 150 * MIB})) == [who]


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        (spec(memory_soft_limit=MemoryShare(fraction=0.5), max_memory_restart=200 * MIB), "250 MiB"),
        (spec(memory_soft_limit=99, max_memory_restart=98), "is not below"),
        (spec(max_memory_restart=900 * MIB), "above what the container has"),
        (spec(memory_soft_limit=900 * MIB), "above what the container has"),
    ],
)
def test_limits_that_make_no_sense_here(app: AppSpec, problem: str) -> None:
    """Each is one line that names the keys and the sizes."""
    (line,) = check_limits(app, ceiling=500 * MIB, instances=1)
    assert problem in line


def test_sensible_limits_have_no_problems() -> None:
    """Nothing to say, also where the container's memory is not known."""
    assert check_limits(SOFT, ceiling=500 * MIB, instances=1) == ()
    assert check_limits(SOFT, ceiling=None, instances=1) == ()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["sample", "online", "gone", "postponed", "forget", "adopt"]),
        st.integers(0, 2),
        st.integers(1, 3),
        st.integers(0, 300),
    ),
    max_size=60,
)


def test_a_share_of_something_unknown_is_told() -> None:
    """Where there is no /proc, nobody can say how much 80% is."""
    app = spec(max_memory_restart=NINETY)
    (line,) = check_limits(app, ceiling=None, instances=1)
    assert line.startswith("max_memory_restart has no effect: it is a share")


def test_a_guard_that_cannot_work_is_told() -> None:
    """Without a limit of the container there is nothing to guard; at the limit it is too late."""
    share = MemoryShare(fraction=0.9)
    assert "no effect" in check_guard(share, Memory(host_total=800 * MIB))
    assert "kernel kills first" in check_guard(500 * MIB, Memory(limit=500 * MIB))
    assert check_guard(share, Memory(limit=500 * MIB)) == ""
    assert check_guard(400 * MIB, Memory(limit=500 * MIB)) == ""
    assert check_guard(None, Memory()) == ""


@given(EVENTS)
def test_any_history_recycles_at_most_one_instance_of_an_app_at_a_time(
    events: list[tuple[str, int, int, int]],
) -> None:
    """Whatever happens in whatever order, no two replacements of one app overlap, and nothing raises."""
    history = History(SOFT, instances=3, guard=NINETY)
    under_way: InstanceId | None = None
    for event, index, incarnation, size in events:
        who = InstanceId("api", index, incarnation)
        if event == "sample":
            memory = FULL if size > 200 else ROOMY
            due = recycled(history.sample(*[size] * 3, memory=memory, lives=incarnation))
            assert len(due) <= 1
            assert not (due and under_way)
            under_way = due[0] if due else under_way
        elif event == "online":
            history.policy.online(who, history.now)
            app = history.policy._apps.get(("default", "api"))
            under_way = app.recycling if app else None
        elif event == "forget":
            history.policy.forget(("default", "api"))
            under_way = None
        elif event == "adopt":
            history.policy.adopt(SOFT, instances=3)
        else:
            if event == "gone":
                history.policy.gone(who)
            else:
                history.policy.postponed(who, history.now)
            app = history.policy._apps.get(("default", "api"))
            under_way = app.recycling if app else None
