"""The arguments of a method entry, validated against its constructor's signature."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

import pydantic

from fer_bench import registry
from fer_bench.errors import InvalidSuite, UnknownName

if TYPE_CHECKING:
    from fer_bench.methods.base import Method


def resolve_arguments(entry: str, options: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """(method id, all its arguments with defaults filled in) of one method entry; raises as `read_suite`."""
    where = f"{where}: {entry}"
    options = {key: value for key, value in options.items() if key not in ("trainer", "selection")}
    name = options.pop("method", None)
    if not isinstance(name, str):
        raise InvalidSuite(f"{where}: needs `method:`, one of {', '.join(registry.methods())}.")
    model = arguments_model(registry.load_method(name, where))
    for key in options:
        if key not in model.model_fields:
            raise UnknownName(f"argument of {name}", str(key), model.model_fields, where)
    try:
        return name, model.model_validate(options).model_dump()
    except pydantic.ValidationError as error:
        raise InvalidSuite(f"{where}: {first_complaint(error)}.") from None


def total_epochs(arguments: dict[str, Any]) -> int:
    """Epochs of a method with these arguments, all stages together."""
    epochs = arguments["epochs"]
    return sum(epochs) if isinstance(epochs, (list, tuple)) else int(epochs)


@cache
def arguments_model(method: type[Method]) -> type[pydantic.BaseModel]:
    """A method's constructor as a model: its signature is its configuration."""
    constructor = method.__init__
    hints = get_type_hints(constructor)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(constructor).parameters.values())[2:]:  # past self and target
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    # Not strict: YAML has no tuples, and `learning_rate: 1` means 1.0. Text is still never taken for a number.
    config = pydantic.ConfigDict(extra="forbid", frozen=True)
    for key, (hint, default) in fields.items():
        if hint in (int, float, bool):
            fields[key] = (
                pydantic.StrictInt if hint is int else pydantic.StrictBool if hint is bool else float,
                default,
            )
    return pydantic.create_model(f"{method.__name__}_arguments", __config__=config, **fields)


def first_complaint(error: pydantic.ValidationError) -> str:
    """The first of pydantic's complaints as one sentence."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        *whole, last = first["loc"]
        return f"{'.'.join(map(str, whole))}: too few values" if isinstance(last, int) else f"needs `{place}:`"
    if first["type"] == "tuple_type":
        return f"{place}: give a list of values, as in [1, 2], not {first['input']!r}"
    if first["type"] == "value_error":  # raised by a check of ours, whose words are sentences already
        text = str(first["ctx"]["error"])
        return f"{place}: {text}, not {first['input']!r}" if place else text
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}: {message}, not {first['input']!r}"
