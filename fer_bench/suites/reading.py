"""Reading a suite: the YAML file, the settings of `--set`, and everything that is checked before anything starts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from fer_bench import registry
from fer_bench.errors import InvalidSuite, UnknownName
from fer_bench.predictions.fusion import Fusion, parse_rule
from fer_bench.suites.arguments import first_complaint, resolve_arguments
from fer_bench.suites.selection import RULES
from fer_bench.suites.settings import apply_setting, refuse_unknown_keys
from fer_bench.suites.suite import Suite, TrainerOptions
from fer_bench.yaml_text import read_yaml

_ENTRY_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


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
        apply_setting(setting, content, path)
    where = str(path)
    refuse_unknown_keys(content, Suite, where)
    if isinstance(trainer := content.get("trainer"), dict):
        refuse_unknown_keys(trainer, TrainerOptions, f"{where}: trainer")
    try:
        suite = Suite.model_validate(content)
    except pydantic.ValidationError as error:
        raise InvalidSuite(f"{where}: {first_complaint(error)}.") from None
    return _resolve(suite, where, arguments)


def _resolve(suite: Suite, where: str, arguments: bool) -> Suite:
    """Check what the pydantic model cannot: names, tasks, folds."""
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
            raise InvalidSuite(f"{where}: {entry} names two things; give one of them another name.")
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
    refuse_unknown_keys(own, TrainerOptions, f"{where}: {entry}: trainer")
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
