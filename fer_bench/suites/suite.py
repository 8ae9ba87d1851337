"""Suites: a YAML file of differences, validated whole before anything starts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import pydantic
import yaml

from fer_bench import registry
from fer_bench.errors import InvalidSuite, UnknownName
from fer_bench.predictions.fusion import Fusion, parse_rule
from fer_bench.protocols import Protocol
from fer_bench.suites.selection import RULES, Selection, default_selection
from fer_bench.yaml_text import read_yaml

if TYPE_CHECKING:
    from fer_bench.methods.base import Method

_STRICT = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)
_ENTRY_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


class TrainerOptions(pydantic.BaseModel):
    """What a suite may say to Lightning's trainer; the names and meanings are Lightning's.

    `max_epochs` replaces the method's own length of training, of every stage where there are several; results of
    shortened runs say so.
    """

    model_config = _STRICT

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: pydantic.PositiveInt = 1
    num_nodes: pydantic.PositiveInt = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    max_epochs: pydantic.PositiveInt | None = None
    accumulate_grad_batches: pydantic.PositiveInt = 1
    gradient_clip_val: pydantic.PositiveFloat | None = None


class Suite(pydantic.BaseModel):
    """What to run: every protocol x entry x fold x seed, an entry being a method with its arguments, or a fusion.

    Attributes:
        title: One line for the table's head.
        paper, table: What the suite reproduces, if anything.
        protocols: Protocol ids.
        methods: Entry name -> {method: id, any argument of its constructor, and `trainer` and `selection`, in which it
            differs from the others}.
        predictions: Entry name -> a file of somebody's predictions, in place of a method; a suite may leave the file to
            `--set predictions.NAME=FILE`.
        fusions: Entry name -> which of these it fuses, and how.
        reference: The entry that tables compare the others with.
        folds: Numbers of the folds to run; by default all of them, of as many divisions as `repeats` says.
        repeats: Of protocols that divide their samples anew several times, how many of the divisions to run.
        seeds: Training seeds.
        trainer: Differences from the trainer's defaults.
        loggers: Trackers that are told of every training besides its TensorBoard and CSV logs.
        selection: Which epoch is scored, see `fer_bench.suites.selection`; by default that of the task.
    """

    model_config = _STRICT

    title: str = ""
    paper: str | None = None
    table: str | None = None
    protocols: list[str] = pydantic.Field(min_length=1)
    methods: dict[str, dict[str, Any]] = {}
    predictions: dict[str, str | None] = {}
    fusions: dict[str, Fusion] = {}
    reference: str | None = None
    folds: list[pydantic.NonNegativeInt] | None = pydantic.Field(default=None, min_length=1)
    repeats: pydantic.PositiveInt = 1
    seeds: list[pydantic.NonNegativeInt] = pydantic.Field(default=[0], min_length=1)
    trainer: TrainerOptions = TrainerOptions()
    loggers: list[Literal["mlflow", "wandb"]] = []
    selection: Selection | None = None

    @property
    def entries(self) -> list[str]:
        """Names of all entries, in order."""
        return [*self.methods, *self.predictions, *self.fusions]

    def trainer_of(self, entry: str) -> TrainerOptions:
        """The trainer's options of one method entry."""
        own = self.methods.get(entry, {}).get("trainer", {})
        return TrainerOptions.model_validate({**self.trainer.model_dump(), **own})

    def selection_of(self, entry: str, protocol: Protocol) -> Selection:
        """Which epoch of one method entry is scored."""
        chosen: Selection | None = self.methods.get(entry, {}).get("selection", self.selection)
        return chosen or default_selection(protocol.task)

    def folds_of(self, protocol: Protocol) -> list[int]:
        """Numbers of the folds of a protocol that the suite runs."""
        if self.folds:
            return self.folds
        return list(range(protocol.num_folds // protocol.repeats * min(self.repeats, protocol.repeats)))

    def shortened(self, protocol: Protocol) -> str:
        """Which of a protocol's folds the suite runs, in words; empty where it runs all."""
        if self.folds:
            every = len(self.folds) == protocol.num_folds
            return "" if every else f"only folds {', '.join(map(str, self.folds))} of {protocol.num_folds}"
        return "" if self.repeats >= protocol.repeats else f"{self.repeats} of {protocol.repeats} divisions"

    def identities(self) -> Iterator[tuple[str, str, int, int]]:
        """(protocol, entry, fold, seed) of every cell, in the order they are tabulated."""
        for protocol in self.protocols:
            folds = self.folds_of(registry.find_protocol(protocol))
            for entry in self.entries:
                for fold in folds:
                    for seed in self.seeds:
                        yield protocol, entry, fold, seed


def read_suite(path: Path, settings: Sequence[str] = (), arguments: bool = True) -> Suite:
    """Read and validate a suite.

    Args:
        path: The YAML file.
        arguments: Whether those of methods are validated, too, for which torch has to be imported.
        settings: `key=value` overrides: `trainer.max_epochs=3`, `seeds=[0,1]`, `size=tiny` for every method entry that
            takes it, `mit-tiny.size=small` for one.

    Raises:
        InvalidSuite: the file is not a suite, or a value is of the wrong type.
        UnknownName: a key, method or protocol does not exist; the near misses are named.
    """
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSuite(f"{path}: is not readable YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(content, dict):
        raise InvalidSuite(f"{path}: a suite is a mapping with at least `protocols` and `methods`.")
    for setting in settings:
        _apply(setting, content, path)
    where = str(path)
    _refuse_unknown_keys(content, Suite, where)
    if isinstance(trainer := content.get("trainer"), dict):
        _refuse_unknown_keys(trainer, TrainerOptions, f"{where}: trainer")
    try:
        suite = Suite.model_validate(content)
    except pydantic.ValidationError as error:
        raise InvalidSuite(f"{where}: {first_complaint(error)}.") from None
    return _resolve(suite, where, arguments)


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
    """Length of the training that a method's arguments ask for, all its stages together."""
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


def _resolve(suite: Suite, where: str, arguments: bool) -> Suite:
    """Check what the model cannot: names, tasks, folds."""
    for name in suite.protocols:
        protocol = registry.find_protocol(name, where)
        for fold in suite.folds or ():
            if fold >= protocol.num_folds:
                raise InvalidSuite(f"{where}: folds: {name} has folds 0 to {protocol.num_folds - 1}, not {fold}.")
    if suite.reference is not None and suite.reference not in suite.entries:
        raise UnknownName("method entry", suite.reference, suite.entries, f"{where}: reference")
    for key in ("protocols", "folds", "seeds", "loggers"):
        values = getattr(suite, key) or []
        if len(set(values)) != len(values):
            raise InvalidSuite(f"{where}: {key}: every one may be named once.")
    if not suite.methods and not suite.predictions:
        raise InvalidSuite(f"{where}: needs `methods:`.")
    for entry in suite.entries:
        if suite.entries.count(entry) > 1:
            raise InvalidSuite(f"{where}: {entry} stands for two things; give one of them another name.")
        if not _ENTRY_NAME.fullmatch(entry):
            raise InvalidSuite(
                f"{where}: {entry!r} names a folder: use small letters, digits, '-', '_', '+' and '.' only."
            )
    for entry, fusion in suite.fusions.items():
        _check_fusion(suite, entry, fusion, where)
    for entry, options in suite.methods.items() if arguments else ():
        _check_method(suite, entry, options, where)
    return suite


def _check_fusion(suite: Suite, entry: str, fusion: Fusion, where: str) -> None:
    plain = [*suite.methods, *suite.predictions]
    for name in fusion.of:
        if name not in plain:
            raise UnknownName("entry", name, plain, f"{where}: {entry}: of")
    parse_rule(fusion.rule, len(fusion.of), f"{where}: {entry}: rule:")
    for protocol_id in suite.protocols:
        if registry.find_protocol(protocol_id).task == "disentanglement":
            raise InvalidSuite(f"{where}: {entry}: meshes cannot be fused, and {protocol_id} asks for them.")


def _check_method(suite: Suite, entry: str, options: dict[str, Any], where: str) -> None:
    name, _ = resolve_arguments(entry, options, where)
    if not isinstance(own := options.get("trainer", {}), dict):
        raise InvalidSuite(f"{where}: {entry}: trainer: give options, as in {{devices: 2}}, not {own!r}.")
    _refuse_unknown_keys(own, TrainerOptions, f"{where}: {entry}: trainer")
    try:
        suite.trainer_of(entry)
    except pydantic.ValidationError as error:
        raise InvalidSuite(f"{where}: {entry}: trainer: {first_complaint(error)}.") from None
    if (rule := options.get("selection")) is not None and rule not in RULES:
        raise UnknownName("selection", str(rule), RULES, f"{where}: {entry}")
    tasks = registry.load_method(name).tasks
    for protocol in map(registry.find_protocol, suite.protocols):
        if protocol.task not in tasks:
            made = " and ".join(tasks)
            raise InvalidSuite(
                f"{where}: {entry}: {name} is made for {made}, and {protocol.id} asks for {protocol.task}."
            )
        if protocol.task == "disentanglement" and suite.selection_of(entry, protocol) == "validation":
            why = f"{protocol.id} asks for meshes, of which there is no validation metric"
            raise InvalidSuite(f"{where}: {entry}: selection: {why}; say last, or nothing.")


def _apply(setting: str, content: dict[str, Any], path: Path) -> None:
    """Put one `key=value` where it belongs."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise InvalidSuite(f"--set {setting}: is not of the form key=value, as in --set trainer.max_epochs=3.")
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        raise InvalidSuite(f"--set {setting}: the value is not readable.") from None
    sections = [content.get(section) for section in ("methods", "fusions")]
    methods, fusions = (each if isinstance(each, dict) else {} for each in sections)
    head, _, rest = key.rpartition(".")
    if head == "trainer":
        content["trainer"] = {**(content.get("trainer") or {}), rest: value}
    elif head == "predictions":
        content[head] = {**(content.get(head) or {}), rest: value}
    elif head:
        section = fusions if head in fusions else methods
        if not isinstance(section.get(head), dict):
            raise UnknownName("method entry", head, map(str, [*methods, *fusions]), f"--set {setting}")
        section[head] = {**section[head], rest: value}
    elif key in Suite.model_fields:
        content[key] = value
    else:
        takers = {
            str(entry): arguments_model(registry.load_method(options["method"], f"{path}: {entry}")).model_fields
            for entry, options in methods.items()
            if isinstance(options, dict) and isinstance(options.get("method"), str)
        }
        if not any(key in fields for fields in takers.values()):
            known = {*Suite.model_fields, *(f"trainer.{name}" for name in TrainerOptions.model_fields)}
            raise UnknownName("key", key, known.union(*takers.values()), f"--set {setting}")
        for entry, fields in takers.items():
            if key in fields:
                methods[entry] = {**methods[entry], key: value}


def _refuse_unknown_keys(content: dict[Any, Any], model: type[pydantic.BaseModel], where: str) -> None:
    for key in content:
        if key not in model.model_fields:
            raise UnknownName("key", str(key), model.model_fields, where)


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
        told = str(first["ctx"]["error"])
        return f"{place}: {told}, not {first['input']!r}" if place else told
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}: {message}, not {first['input']!r}"
