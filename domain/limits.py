"""The limits of a pool: what it enforces on every grant, and the capacity that follows from them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, model_validator

from holdbook.domain.errors import Malformed
from holdbook.domain.values import QUANTITY_MAX, Amount, Duration, Quantity

_OVERCOMMIT_DIGITS = 9
"""The most digits that an overcommit factor may have before the point, and after it."""


def _check_overcommit(value: object) -> Decimal:
    """Accept a decimal above 0, as text, whole number or `Decimal`; raises ValueError."""
    text = _plain_text(value)
    whole, point, fraction = text.partition(".")
    if _are_digits(whole) and (_are_digits(fraction) or not point) and Decimal(text) > 0:
        return Decimal(text)
    message = f'expected a decimal above 0 written as text, such as "1.5", up to {_OVERCOMMIT_DIGITS} digits a side'
    raise ValueError(message)


def _plain_text(value: object) -> str:
    """Write a number in digits, without exponent; give an empty text for anything that is no factor."""
    # The size is checked before the number is written: 1E+999999999 would fill the memory.
    if type(value) is int and abs(value) < 10**_OVERCOMMIT_DIGITS:
        return str(value)
    if type(value) is Decimal and abs(value.adjusted()) <= _OVERCOMMIT_DIGITS:
        return format(value, "f")
    return value if type(value) is str else ""


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _OVERCOMMIT_DIGITS


def _decimal_text(value: Decimal) -> str:
    """Write a factor without trailing zeros, so that equal factors have equal text."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


Overcommit = Annotated[
    Decimal, BeforeValidator(_check_overcommit), PlainSerializer(_decimal_text, return_type=str, when_used="json")
]


class Limits(BaseModel):
    """The limits of a pool. A limit that is None does not apply.

    Quantities are whole numbers in the pool's unit, from 1 unless it says otherwise, up to 2^63-1. Durations are a
    timedelta, or seconds in JSON, above 0. Raises `Malformed` for a value out of range, and for limits that contradict
    each other, such as ``min_size`` above ``max_size``.
    """

    # `model_copy` checks nothing. So limits are checked again where a command or an event takes them.
    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always")

    total: Amount
    """How much there is, from 0."""
    reserved: Amount = 0
    """How much of the total is kept back and never granted, from 0 up to ``total``."""
    overcommit: Overcommit = Decimal(1)
    """Exact decimal factor on what is not kept back, above 0, such as ``"1.5"``; a float is malformed."""
    min_size: Quantity | None = None
    """The least that one allocation may hold of this pool."""
    max_size: Quantity | None = None
    """The most that one allocation may hold of this pool."""
    step: Quantity | None = None
    """Granted quantities are multiples of this."""
    max_allocations: Quantity | None = None
    """The most allocations that may hold something of this pool at once."""
    per_owner: Quantity | None = None
    """The most that one owner may hold of this pool at once, over all its allocations."""
    default_ttl: Duration | None = None
    """Time to live of a grant, confirmation or renewal that names none."""
    max_ttl: Duration | None = None
    """The longest time to live, counted from the grant, the confirmation or the renewal."""

    def __init__(self, /, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
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
        """How much can be held at once: floor((total - reserved) x overcommit), computed in whole numbers."""
        numerator, denominator = self.overcommit.as_integer_ratio()
        return (self.total - self.reserved) * numerator // denominator
