"""The clock and the maker of ids."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from holdbook.infrastructure.clock import new_id, system_clock


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version and variant are where RFC 9562 wants them, in the form that every UUID is written in."""
    ids = [UUID(text := new_id()) for _ in range(1000)]
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert str(UUID(text)) == text


def test_an_id_holds_the_time_it_was_made_at() -> None:
    """Its first 48 bits are the milliseconds since 1970."""
    before = system_clock()
    made = datetime.fromtimestamp((UUID(new_id()).int >> 80) / 1000, UTC)
    assert timedelta(milliseconds=-2) < made - before < timedelta(minutes=1)


def test_a_later_id_is_greater() -> None:
    """Text order is the order of making, however fast they are made."""
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_threads_make_different_ids() -> None:
    """Two that are made at once differ in what is random."""
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: [new_id() for _ in range(2000)], range(4)))
    assert len({one for ids in made for one in ids}) == 8000
