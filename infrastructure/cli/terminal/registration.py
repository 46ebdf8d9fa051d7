"""Makes functions commands of the command line.

A parameter of such a function may be a dataclass, which is a group of options: the command gets one option for each
field of it.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any

from typer import Context, Typer

from holdbook.infrastructure.cli.terminal.options import CommonOptions


class ReaderGone(Exception):
    """The reader of the standard output has closed it."""


def command(app: Typer, name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of an application, with examples under its help."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        word = "Example" if len(examples) == 1 else "Examples"
        app.command(name, epilog="\n\n".join(f"{word if n == 0 else ''}  {e}" for n, e in enumerate(examples)))(
            spread(function)
        )
        return function

    return register


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """Give a function one parameter for each field of its groups of options.

    Raises `ReaderGone` where the function meets a closed pipe.
    """
    given = signature(function).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in given.items() if is_dataclass(one.annotation)}
    flat = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=Context)]
    for name, one in given.items():
        if name in groups:
            flat += _options_of(groups[name])
        elif one.annotation is not Context:
            flat.append(one.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(*, context: Context, **values: object) -> None:
        for name, group in groups.items():
            inside = {field.name: values.pop(field.name) for field in fields(group) if field.name != "settings"}
            settings = {"settings": context.obj} if issubclass(group, CommonOptions) else {}
            values[name] = group(**settings, **inside)
        if "context" in given:
            values["context"] = context
        try:
            function(**values)
        except BrokenPipeError:
            raise ReaderGone from None

    run.__signature__ = signature(function).replace(parameters=flat)  # type: ignore[attr-defined]  # for Typer to read
    run.__annotations__ = {one.name: one.annotation for one in flat}
    return run


def _options_of(group: type[Any]) -> list[Parameter]:
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, annotation=field.type, default=field.default)
        for field in fields(group)
        if field.name != "settings"
    ]
