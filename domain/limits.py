"""What a pool enforces."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, model_validator

from holdbook.domain.errors import Malformed
from holdbook.domain.values import QUANTITY_MAX, Amount, Duration, Quantity

_OVERCOMMIT_DIGITS = 9
"""Digits of an overcommit factor before the point, and after it."""


def _check_overcommit(value: object) -> Decimal:
    text = _plain_text(value)
    whole, point, fraction = text.partition(".")
    if _are_digits(whole) and (_are_digits(fraction) or not point) and Decimal(text) > 0:
        return Decimal(text)
    message = f'expected a decimal above 0 written as text, such as "1.5", up to {_OVERCOMMIT_DIGITS} digits a side'
    raise ValueError(message)


def _plain_text(value: object) -> str:
    # Numbers are looked at before they are written out: some would fill the memory.
    if type(value) is int and abs(value) < 10**_OVERCOMMIT_DIGITS:
        return str(value)
    if type(value) is Decimal and abs(value.adjusted()) <= _OVERCOMMIT_DIGITS:
        return format(value, "f")
    return value if type(value) is str else ""


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _OVERCOMMIT_DIGITS


def _decimal_text(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


Overcommit = Annotated[
    Decimal, BeforeValidator(_check_overcommit), PlainSerializer(_decimal_text, return_type=str, when_used="json")
]


class Limits(BaseModel):
    """The limits of a pool; quantities in the pool's unit, durations as timedelta (seconds in JSON).

    Raises `Malformed` for a value out of range or limits that contradict each other.
    """

    # A copy made with `model_copy` was not checked; it is, where a command or an event takes it.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always")

    total: Amount
    """What there is, 0 to 2^63-1."""
    reserved: Amount = 0
    """What is kept back of it, up to ``total``."""
    overcommit: Overcommit = Decimal(1)
    """Exact factor on what is left, above 0; never a float."""
    min_size: Quantity | None = None
    """The least that one allocation may hold of this pool."""
    max_size: Quantity | None = None
    """The most that one allocation may hold of this pool."""
    step: Quantity | None = None
    """Granted quantities are multiples of this."""
    max_allocations: Quantity | None = None
    """The most allocations held at once."""
    per_owner: Quantity | None = None
    """The most that one owner may hold at once, over all its allocations."""
    default_ttl: Duration | None = None
    """Time to live of a request that names none."""
    max_ttl: Duration | None = None
    """The longest time to live, from the grant or the renewal."""

    def __init__(self, /, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.reserved > self.total:
            message = "reserved is above total"
        elif self.capacity > QUANTITY_MAX:
            message = f"the capacity, (total - reserved) x overcommit, is above {QUANTITY_MAX}"
        elif self.min_size and self.max_size and self.min_size > self.max_size:
            message = "min_size is above max_size"
        elif self.default_ttl and self.max_ttl and self.default_ttl > self.max_ttl:
            message = "default_ttl is above max_ttl"
        else:
            return self
        raise ValueError(message)

    @property
    def capacity(self) -> int:
        """What can be held at once: floor((total - reserved) x overcommit), in whole numbers throughout."""
        numerator, denominator = self.overcommit.as_integer_ratio()
        return (self.total - self.reserved) * numerator // denominator
