"""`--set key=value`: settings applied to a suite's content, and complaints of its validation as sentences."""

from pathlib import Path
from typing import Any

import pydantic
import yaml

from fer_bench import registry
from fer_bench.errors import InvalidSuite, UnknownName
from fer_bench.suites.arguments import arguments_model
from fer_bench.suites.suite import Suite, TrainerOptions
from fer_bench.yaml_text import read_yaml


def apply_setting(setting: str, content: dict[str, Any], path: Path) -> None:
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


def refuse_unknown_keys(content: dict[Any, Any], model: type[pydantic.BaseModel], where: str) -> None:
    for key in content:
        if key not in model.model_fields:
            raise UnknownName("key", str(key), model.model_fields, where)
