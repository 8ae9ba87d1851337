"""The prompts of the classes; see `prompts.yaml`."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from fer_bench.errors import InvalidSuite

PROMPTS = Path(__file__).with_suffix(".yaml")


def read_prompts(classes: Sequence[str], path: Path = PROMPTS) -> list[list[str]]:
    """The sentences of each class.

    Raises:
        InvalidSuite: no set of the file has all the classes, or the file is not one.
    """
    try:
        sets = yaml.safe_load(path.read_text(encoding="utf-8"))
        for known in sets.values():
            if all(name in known for name in classes):
                return [_sentences(known[name]) for name in classes]
        best = max(sets.values(), key=lambda known: sum(name in known for name in classes))
        absent = [name for name in classes if name not in best]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise InvalidSuite(f"{path}: is not a file of prompts ({' '.join(str(error).split())}).") from None
    raise InvalidSuite(f"{path}: no set has prompts for {', '.join(absent)}; add some.")


def _sentences(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise ValueError(f"a class needs a list of sentences, not {value!r}")
    return value
