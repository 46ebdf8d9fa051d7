"""The mapper: stored names, schema versions, upcasters, and the library's own face."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import pytest

from holdbook import LogCorrupt, UnknownEvent
from holdbook.domain.events import EVENTS, Event
from holdbook.infrastructure.log.mapper import EventMapper, StreamEvent
from support.logs import granted, opened

if TYPE_CHECKING:
    from eventsourcing.domain import DomainEventProtocol

    from holdbook.infrastructure.log.upcasters import Upcasters


class Moved(Event):
    """An event at its third version."""

    schema_version: ClassVar[int] = 3
    pool: str
    metres: int
    by: str

    @property
    def stream_id(self) -> str:
        """Name its stream."""
        return f"pool:{self.pool}"


STEPS: Upcasters = {
    ("Moved", 1): lambda fields: {**fields, "by": "nobody"},
    ("Moved", 2): lambda fields: {"pool": fields["pool"], "by": fields["by"], "metres": fields["feet"] // 3},
}
MAPPER = EventMapper({"Moved": Moved}, STEPS)


def test_upcasting_goes_one_version_a_step() -> None:
    """An old version is read through every step to the present one, and the present one as it is."""
    row = EventMapper().to_row(opened(7))
    row = row._replace(type="Moved", stream_id="pool:x")
    found = [
        MAPPER.from_row(row._replace(schema_version=version, data=data)).event
        for version, data in (
            (1, '{"pool":"x","feet":9}'),
            (2, '{"pool":"x","feet":9,"by":"nobody"}'),
            (3, '{"pool":"x","metres":3,"by":"nobody"}'),
        )
    ]
    assert found == [Moved(pool="x", metres=3, by="nobody")] * 3


def test_a_later_version_is_unknown() -> None:
    """A version that a newer program wrote stops the reader."""
    row = EventMapper().to_row(opened(7))._replace(type="Moved", schema_version=4)
    with pytest.raises(UnknownEvent, match="'Moved' of schema version 4 at position 7"):
        MAPPER.from_row(row)


@pytest.mark.parametrize("data", ['{"pool":', '{"pool":"x","feet":9,"by":"nobody","surprise":1}'])
def test_old_data_that_cannot_be_read(data: str) -> None:
    """Old data that are no JSON, or that no step makes fit, are an error that names the position."""
    mapper = EventMapper({"Moved": Moved}, {**STEPS, ("Moved", 2): lambda fields: fields})
    row = EventMapper().to_row(opened(7))._replace(type="Moved", schema_version=1, data=data)
    with pytest.raises(LogCorrupt, match="position 7: the data of Moved cannot be read"):
        mapper.from_row(row)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_stored_names_are_the_class_names(name: str) -> None:
    """Every event type is stored under the name of its class."""
    assert EVENTS[name].__name__ == name


def test_the_library_reads_and_writes_our_events() -> None:
    """The library's tools get an event with its stream and version, and give it back the same."""
    mapper = EventMapper()
    event = granted(5, 3, allocation_id="a", command_id="c").event
    stored = mapper.to_stored_event(cast("DomainEventProtocol[str]", StreamEvent("pool:gpu", 3, event)))
    assert (stored.originator_id, stored.originator_version, stored.topic) == ("pool:gpu", 3, "Allocated")
    assert mapper.to_domain_event(stored) == StreamEvent("pool:gpu", 3, event)


def test_the_topic_tells_the_version() -> None:
    """For the library an event's topic is its name, with its schema version from the second on."""
    moved = Moved(pool="x", metres=3, by="nobody")
    stored = MAPPER.to_stored_event(cast("DomainEventProtocol[str]", StreamEvent("pool:x", 1, moved)))
    assert stored.topic == "Moved@3"
    assert MAPPER.to_domain_event(stored) == StreamEvent("pool:x", 1, moved)
