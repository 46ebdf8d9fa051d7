"""Stories: what each event did, a page at a time."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import EventFilter, Expire, Ledger, Malformed, MemoryEventLog
from holdbook.domain.allocation import fold
from holdbook.replay.history import stories
from support.logs import append, granted, opened
from support.story import T0, Clock, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import StoryStep


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in which everything has happened."""
    clock = Clock()
    with Ledger.in_memory(clock=clock) as ledger:
        tell(ledger, clock)
        yield ledger


def about(ledger: Ledger, allocation: str) -> list[StoryStep]:
    """The story of one allocation."""
    return list(ledger.find(EventFilter(allocation=allocation)))


def changed(step: StoryStep) -> dict[str, Any]:
    """What changed, as pairs."""
    return {name: tuple(change) for name, change in step.changes.items()}


def time(seconds: int) -> str:
    """A time of the story, as JSON has it."""
    return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}.000000Z"


def test_what_each_event_changed(ledger: Ledger) -> None:
    """Each event of an allocation tells its command, and what of the allocation it changed, and nothing else."""
    steps = about(ledger, "a1")
    told = [(type(one.recorded.event).__name__, one.command, changed(one)) for one in steps]
    granted = {
        "state": (None, "active"),
        "owner": (None, "ann"),
        "quantities.cpu": (None, 20),
        "quantities.gpu": (None, 2),
        "deadline": (None, time(110)),
        "tags.job": (None, "7"),
    }
    renewed = {"deadline": (time(110), time(220))}
    resized = {"quantities.cpu": (20, 40), "quantities.gpu": (2, 1)}
    expired = {"state": ("active", "expired"), "ended_at": (None, time(220))}
    assert told == [
        ("Allocated", "allocate", granted),
        ("Allocated", "allocate", granted),
        ("Renewed", "renew", renewed),
        ("Renewed", "renew", renewed),
        ("Resized", "resize", resized),
        ("Resized", "resize", resized),
        ("Transferred", "transfer", {"owner": ("ann", "bob")}),
        ("Transferred", "transfer", {"owner": ("ann", "bob")}),
        ("Resized", "resize", {"quantities.cpu": (40, 30)}),
        ("Expired", "renew", expired),
        ("Expired", "renew", expired),
        ("ValidationFailed", "renew", {}),
    ]


def test_states_follow_one_another(ledger: Ledger) -> None:
    """What an allocation was before something is what it was after the last thing; in the end, it is as it is now."""
    for allocation_id in ("a1", "a2", "r1", "r2", "s1", "s2", "a4", "r3"):
        acts = [
            list(act)
            for _, act in groupby(
                about(ledger, allocation_id), lambda one: (one.recorded.command_id, type(one.recorded.event))
            )
        ]
        before = None
        for act in acts:
            assert {id(one.after) for one in act} == {id(act[0].after)}
            assert [one.before for one in act] == [before] * len(act)
            before = act[0].after
        assert before == fold(ledger.history(allocation_id))


def test_an_ending_has_its_reason(ledger: Ledger) -> None:
    """A reason that was given is told, and is one of the changes."""
    assert [one.reason for one in about(ledger, "a2")] == [None, "done"]
    assert changed(about(ledger, "r2")[-1]) == {
        "state": ("reserved", "voided"),
        "ended_at": (None, time(20)),
        "reason": (None, "no need"),
    }


def test_what_happens_to_a_pool(ledger: Ledger) -> None:
    """Of pools it is told which limits changed, and that one was closed; no allocation is told."""
    steps = [one for one in ledger.find() if one.recorded.event.subject is None]
    assert [(one.command, one.before, one.after) for one in steps] == [
        (command, None, None) for command in ("open_pool", "open_pool", "open_pool", "change_limits", "close_pool")
    ]
    opened, lowered, closed = steps[0], steps[3], steps[4]
    assert changed(opened) == {
        "limits.total": (None, 100),
        "limits.reserved": (None, 0),
        "limits.overcommit": (None, "1"),
        "limits.step": (None, 5),
    }
    assert changed(lowered) == {"limits.total": (8, 2), "limits.per_owner": (6, None)}
    assert (changed(closed), closed.reason) == ({"closed": (False, True)}, "moved")


def test_a_refusal_that_names_no_allocation() -> None:
    """It changes nothing, and there is nothing that it could have changed."""
    with Ledger.in_memory() as ledger:
        assert ledger.submit(Expire(pool="nowhere")).result().refusal is not None
        (step,) = ledger.find(EventFilter(refused=True))
    assert (step.command, step.before, step.after, step.changes) == ("expire", None, None, {})


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "[" * 10**5], ids=lambda text: str(text)[:9])
def test_a_command_that_cannot_be_read(text: str | None) -> None:
    """A story is told without the command that was tampered with; the events are what counts."""
    log = MemoryEventLog()
    append(log, [opened(1)])
    append(log, [granted(2, 2, allocation_id="x", command_id="c")._replace(command=text)])
    (step,) = stories.find(log, EventFilter(allocation="x"))
    assert (step.command, step.after and step.after.owner) == ("", "a")


@pytest.mark.parametrize("limit", [1, 3, 12, 13, 100])
@pytest.mark.parametrize("span", [1, 5, 50_000])
def test_pages_make_up_the_whole(ledger: Ledger, limit: int, span: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of any length, searched for in spans of any length, have all events together, each once, in order."""
    whole = about(ledger, "a1")
    monkeypatch.setattr(stories, "SPAN_EVENTS", span)
    found: list[StoryStep] = []
    after: int | None = 0
    while after is not None:
        page = ledger.find(EventFilter(allocation="a1"), after=after, limit=limit)
        assert page.position == 36
        assert len(page) == limit or page.next is None
        assert page
        found += page
        after = page.next
    assert found == whole


def test_progress_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that finds nothing for long tells how far it has come."""
    monkeypatch.setattr(stories, "SPAN_EVENTS", 10)
    told: list[tuple[int, int]] = []
    page = stories.find(ledger.log, EventFilter(actor="nobody"), progress=lambda *done: told.append(done))
    assert (page, page.next, page.position) == ([], None, 36)
    assert told == [(10, 36), (20, 36), (30, 36), (36, 36)]


def test_nothing_beyond(ledger: Ledger) -> None:
    """What is beyond a position is left out, a command of which a part is beyond it as a whole."""
    for upto, last in ((0, 0), (3, 3), (4, 3), (5, 5), (28, 24), (30, 30), (36, 36)):
        page = ledger.find(upto=upto)
        assert page.position == last
        assert [one.recorded.position for one in page] == list(range(1, last + 1))
    assert ledger.find(after=36) == []
    assert ledger.find(after=99, upto=5) == []


@pytest.mark.parametrize(
    ("paging", "parameter"),
    [
        ({"after": -1}, "after"),
        ({"after": True}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"upto": -1}, "upto"),
        ({"upto": 37}, "upto"),
        ({"upto": "9"}, "upto"),
    ],
)
def test_pages_that_are_none(ledger: Ledger, paging: dict[str, Any], parameter: str) -> None:
    """A cursor that no page has given, and a position that the log has not reached, are malformed."""
    with pytest.raises(Malformed) as caught:
        ledger.find(**paging)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("wanted", "parameter"),
    [
        ({"allocation": ""}, "allocation"),
        ({"owner": 7}, "owner"),
        ({"actor": " a"}, "actor"),
        ({"correlation": "\n"}, "correlation"),
        ({"pools": "gpu"}, "pools"),
        ({"pools": frozenset({""})}, "pools"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"job": 7}}, "tags.job"),
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 - the fault in question
        ({"until": datetime(2026, 1, 1)}, "until"),  # noqa: DTZ001 - the fault in question
        ({"code": "no_reason"}, "code"),
    ],
)
def test_questions_that_are_none(wanted: dict[str, Any], parameter: str) -> None:
    """A name, a time or a code that is none is malformed, and named."""
    with pytest.raises(Malformed) as caught:
        EventFilter(**wanted)
    assert caught.value.parameter == parameter


def test_questions_of_every_kind(ledger: Ledger) -> None:
    """Conditions combine: what is found meets them all."""
    found = ledger.find(EventFilter(pools=frozenset({"gpu"}), owner="bob", since=T0, actor=None))
    assert [(type(one.recorded.event).__name__, one.recorded.position) for one in found] == [
        ("Allocated", 6), ("Transferred", 18), ("Released", 23), ("Expired", 29),
    ]  # fmt: skip
    (refused,) = ledger.find(EventFilter(owner="eve"))
    assert (refused.command, refused.recorded.event.subject) == ("allocate", "a3")
