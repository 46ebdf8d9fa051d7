"""Commands about allocations, one of the ledger's commands each."""

from dataclasses import dataclass
from typing import Annotated, Any

from typer import Option, Typer

from bursar.domain.commands import Allocate, Confirm, Expire, Release, Renew, Reserve, Resize, Transfer, Void
from bursar.infrastructure.cli.issuing import issue
from bursar.infrastructure.cli.options import (
    AllocationId,
    Issuing,
    Quantities,
    ReasonOption,
    TagOption,
    TokenOption,
    TtlOption,
    command,
)
from bursar.infrastructure.cli.parsing import duration, pairs, quantities

top = Typer()

OwnerOption = Annotated[str, Option(metavar="NAME", help="Who the resource is for.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What may be said with a request."""

    ttl: TtlOption = None
    tag: TagOption = None
    allocation_id: Annotated[
        str | None, Option("--id", metavar="ID", help="Id of the allocation. Default: a fresh one.")
    ] = None
    wait: Annotated[
        str | None,
        Option(
            metavar="TIME",
            help="Wait for what is not free now, first come, first served, so long at most: 30s, 5m, 1h30m.",
        ),
    ] = None

    def fields(self, words: list[str], owner: str) -> dict[str, Any]:
        """Make the command's fields; raises `Malformed`."""
        return {
            "quantities": quantities(words),
            "owner": owner,
            "ttl": duration("ttl", self.ttl),
            "tags": pairs("tags", "KEY=VALUE", self.tag),
            "allocation_id": self.allocation_id,
            "wait": duration("wait", self.wait),
        }


@command(
    top,
    "allocate",
    "bursar allocate gpu=2 cpu=8000 --owner trainer-17 --ttl 30m --tag job=42",
    "bursar allocate gpu=1 --owner trainer-17 --id job-42 --dry-run",
    "bursar allocate gpu=8 --owner trainer-18 --wait 10m",
)
def allocate(asked: Quantities, owner: OwnerOption, grant: Grant, *, options: Issuing) -> None:
    """Hold quantities of one or more pools, all or nothing."""
    issue(options, Allocate(**grant.fields(asked, owner), **options.envelope))


@command(top, "reserve", "bursar reserve gpu=2 --owner trainer-17 --ttl 60s --id job-42")
def reserve(asked: Quantities, owner: OwnerOption, grant: Grant, *, options: Issuing) -> None:
    """Hold quantities until a deadline, to be confirmed or voided."""
    issue(options, Reserve(**grant.fields(asked, owner), **options.envelope))


@command(top, "confirm", "bursar confirm job-42 --ttl 30m")
def confirm(name: AllocationId, ttl: TtlOption = None, token: TokenOption = None, *, options: Issuing) -> None:
    """Make a reservation an allocation; its time to live starts anew."""
    issue(options, Confirm(allocation_id=name, ttl=duration("ttl", ttl), token=token, **options.envelope))


@command(top, "void", "bursar void job-42 --reason 'the provider failed'")
def void(name: AllocationId, reason: ReasonOption = None, token: TokenOption = None, *, options: Issuing) -> None:
    """Give a reservation up."""
    issue(options, Void(allocation_id=name, reason=reason, token=token, **options.envelope))


@command(top, "renew", "bursar renew job-42 --ttl 30m --token 1:42")
def renew(name: AllocationId, ttl: TtlOption = None, token: TokenOption = None, *, options: Issuing) -> None:
    """Move an allocation's deadline to now plus the time to live."""
    issue(options, Renew(allocation_id=name, ttl=duration("ttl", ttl), token=token, **options.envelope))


@command(top, "resize", "bursar resize job-42 gpu=4")
def resize(name: AllocationId, asked: Quantities, token: TokenOption = None, *, options: Issuing) -> None:
    """Give an allocation other quantities of pools that it has; pools not named keep theirs."""
    fields: dict[str, Any] = {"allocation_id": name, "quantities": quantities(asked), "token": token}
    issue(options, Resize(**fields, **options.envelope))


@command(top, "transfer", "bursar transfer job-42 --to trainer-18")
def transfer(
    name: AllocationId,
    to: Annotated[str, Option(metavar="NAME", help="The new owner.", show_default=False)],
    token: TokenOption = None,
    *,
    options: Issuing,
) -> None:
    """Make another owner the owner of an allocation."""
    issue(options, Transfer(allocation_id=name, to=to, token=token, **options.envelope))


@command(
    top,
    "release",
    "bursar release job-42 --reason done",
    "bursar release job-42 --force --reason 'its service is gone, ticket 311'",
)
def release(
    name: AllocationId,
    reason: ReasonOption = None,
    token: TokenOption = None,
    force: Annotated[  # noqa: FBT002 - an option
        bool, Option("--force", help="End whatever is open under that id, a reservation too; wants a reason.")
    ] = False,
    *,
    options: Issuing,
) -> None:
    """End an allocation.

    By force it is a correction: recorded as such, with the actor and the reason.
    """
    issue(options, Release(allocation_id=name, reason=reason, token=token, force=force, **options.envelope))


@command(top, "expire", "bursar expire", "bursar expire --pool gpu")
def expire(
    pool: Annotated[str | None, Option(metavar="NAME", help="The pool. Default: all.")] = None, *, options: Issuing
) -> None:
    """Record the expiry of what is due."""
    issue(options, Expire(pool=pool, **options.envelope))
