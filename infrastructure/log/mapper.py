"""Map events to stored rows and back: explicit type names, schema versions, upcasters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import JSONTranscoder, Mapper, Notification, StoredEvent
from pydantic import ValidationError
from pydantic_core import from_json

from holdbook.domain.errors import LogCorrupt, Malformed, UnknownEvent
from holdbook.domain.events import EVENTS, Event
from holdbook.domain.records import Recorded, StoredRow
from holdbook.domain.values import instant, instant_text
from holdbook.infrastructure.log.upcasters import UPCASTERS, Upcasters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventsourcing.domain import DomainEventProtocol

NO_HASH = bytes(32)
"""The hash of a row before it is chained."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event with its stream and version, in the form that the library's own tools read."""

    originator_id: str
    originator_version: int
    event: Event


class EventMapper(Mapper[str]):
    """Maps events to stored rows and back. It is also the library's mapper, for the library's tools.

    ``events`` are the types by stored name, ``upcasters`` as in `UPCASTERS`.
    """

    def __init__(self, events: Mapping[str, type[Event]] = EVENTS, upcasters: Upcasters = UPCASTERS) -> None:
        super().__init__(JSONTranscoder())  # the base class wants one; events are written by pydantic
        self._events = events
        self._names = {kind: name for name, kind in events.items()}
        self._upcasters = upcasters
        self.present = frozenset((name, kind.schema_version) for name, kind in events.items())
        """Each stored type name with the schema version that is written today."""

    def to_row(self, recorded: Recorded) -> StoredRow:
        """Make a row of an event and its envelope, with `NO_HASH` as its hash."""
        event = recorded.event
        return StoredRow(  # positional, as in `from_row`: keywords would take longer than the rest
            recorded.position,
            event.stream_id,
            recorded.version,
            self._names[type(event)],
            event.schema_version,
            recorded.command_id,
            recorded.ordinal,
            recorded.ordinals,
            event.subject,
            instant_text(recorded.occurred_at),
            instant_text(recorded.recorded_at),
            recorded.actor,
            recorded.correlation_id,
            recorded.causation_id,
            recorded.command,
            _data(event).decode(),
            NO_HASH,
        )

    def from_row(self, row: StoredRow) -> Recorded:
        """Make an event and its envelope of a row; raises `UnknownEvent` or `LogCorrupt`, naming the position."""
        event = self._decode(row.type, row.schema_version, row.data, row.position)
        try:
            return Recorded(
                row.position,
                row.version,
                row.command_id,
                row.ordinal,
                row.ordinals,
                instant(row.occurred_at),
                instant(row.recorded_at),
                row.actor,
                row.correlation_id,
                row.causation_id,
                row.command,
                event,
            )
        except ValueError as error:
            message = f"position {row.position}: {error}"
            raise LogCorrupt(message) from error

    def fields(self, name: str, schema_version: int, data: str, position: int) -> dict[str, Any]:
        """Parse a row's data into fields of the present schema version, without making an event of them.

        Raises `UnknownEvent` or `LogCorrupt`, naming the position.
        """
        kind = None if (name, schema_version) in self.present else self._type_of(name, schema_version, position)
        try:
            fields = from_json(data)
            if type(fields) is not dict:
                raise TypeError(f"expected an object, got {data!r}")  # noqa: TRY301 - reported as below
            return fields if kind is None else self._upcast(name, schema_version, kind.schema_version, fields)
        except (ValueError, TypeError, LookupError) as error:
            raise _unreadable(name, position, error) from error

    def upcast(self, name: str, schema_version: int, fields: dict[str, Any], position: int) -> dict[str, Any]:
        """Upcast fields that are parsed already to the present schema version; raises as `fields` does."""
        kind = self._type_of(name, schema_version, position)
        try:
            return self._upcast(name, schema_version, kind.schema_version, fields)
        except (ValueError, TypeError, LookupError) as error:
            raise _unreadable(name, position, error) from error

    def _type_of(self, name: str, schema_version: int, position: int) -> type[Event]:
        kind = self._events.get(name)
        if kind is None or not 1 <= schema_version <= kind.schema_version:
            raise UnknownEvent(name, schema_version, position)
        return kind

    def _decode(self, name: str, schema_version: int, data: str, position: int) -> Event:
        kind = self._type_of(name, schema_version, position)
        try:
            if schema_version == kind.schema_version:
                return kind.__pydantic_validator__.validate_json(data)  # type: ignore[no-any-return]  # an event
            return kind.model_validate(self._upcast(name, schema_version, kind.schema_version, from_json(data)))
        except (ValueError, TypeError, LookupError) as error:  # what an upcaster may raise on damaged data
            raise _unreadable(name, position, error) from error

    def _upcast(self, name: str, version: int, target: int, fields: dict[str, Any]) -> dict[str, Any]:
        for step in range(version, target):
            fields = self._upcasters[name, step](fields)
        return fields

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Make the library's stored event of a `StreamEvent`."""
        event: Event = domain_event.event  # type: ignore[attr-defined]  # a StreamEvent, which the protocol cannot say
        topic = topic_of(self._names[type(event)], event.schema_version)
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, topic, _data(event))

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[str]:
        """Make a `StreamEvent` of the library's stored event; raises `UnknownEvent` or `LogCorrupt`."""
        name, _, version = stored_event.topic.partition("@")
        event = self._decode(name, int(version or 1), stored_event.state.decode(), stored_event.originator_version)
        return StreamEvent(str(stored_event.originator_id), stored_event.originator_version, event)


def _unreadable(name: str, position: int, error: Exception) -> LogCorrupt:
    reason = Malformed.from_validation(error) if isinstance(error, ValidationError) else error
    return LogCorrupt(f"position {position}: the data of {name} cannot be read: {reason}")


def _data(event: Event) -> bytes:
    # The serializer behind `model_dump_json`, as the validator above is the one behind `model_validate_json`: going
    # through those methods takes twice as long.
    return event.__pydantic_serializer__.to_json(event)


def topic_of(name: str, schema_version: int) -> str:
    """Name a type and its schema version as a topic of the library: ``Allocated``, and later ``Allocated@2``."""
    return name if schema_version == 1 else f"{name}@{schema_version}"


def stored_event(row: StoredRow) -> StoredEvent:
    """Make the library's stored event of a row."""
    return StoredEvent(row.stream_id, row.version, topic_of(row.type, row.schema_version), row.data.encode())


def notification(row: StoredRow) -> Notification:
    """Make the library's notification of a row."""
    topic = topic_of(row.type, row.schema_version)
    return Notification(row.stream_id, row.version, topic, row.data.encode(), row.position)
