"""What is known of a method entry before anything runs, and why it cannot run on some data."""

import json
from collections.abc import Sequence
from copy import copy as shallow_copy
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from fer_bench import registry
from fer_bench.errors import FerBenchError, InvalidSuite, WeightsNotFound
from fer_bench.methods.base import Method
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.records import Target
from fer_bench.representations.base import Representation
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.suite import TrainerOptions


class Unsuitable(FerBenchError):
    """A method and data that do not go together; nothing is wrong with either, and the rest of a suite can run."""


class Description(NamedTuple):
    """What is known of a method entry on some data before anything runs.

    Attributes:
        representation: What it sees, with nothing left open.
        parameters: Trainable ones; None where the data decide.
        weights, unsound: See `Method`.
        trains: Whether it has epochs to choose from.
    """

    representation: Representation
    parameters: int | None
    weights: str
    unsound: str
    trains: bool


@lru_cache(256)
def blueprint(method: str, arguments: str, target: Target) -> Method:
    """A method without memory for its weights (on PyTorch's meta device), shared by many: never change it.

    Args:
        arguments: Of its constructor, as JSON.
    """
    _, resolved = resolve_arguments("", {"method": method, **json.loads(arguments)}, "")  # JSON has no tuples
    with torch.device("meta"):
        return registry.load_method(method)(target, **resolved)


def describe(
    method: str, arguments: dict[str, Any], target: Target, offers: Sequence[frozenset[str]], fetch: bool = False
) -> Description:
    """Describe a method without allocating its weights.

    Args:
        offers: Modalities of each dataset that it is to be run on.
        fetch: Fetch the weights that it starts from.

    Raises:
        Unsuitable: none of its representations can be extracted from all of them, or it cannot use what can, or its
            weights cannot be had.
    """
    built = shallow_copy(blueprint(method, json.dumps(arguments), target))  # what it fetches may change it
    suitable = [r for r in built.representations if all(offered.intersection(r.takes) for offered in offers)]
    if not suitable:
        taken = " or a ".join(dict.fromkeys(kind for r in built.representations for kind in r.takes))
        offered = " and ".join(", ".join(sorted(each)) for each in offers)
        raise Unsuitable(f"{method} takes a {taken}, and the data offer {offered}")
    try:
        found = {suitable[0].resolve(offered) for offered in offers}
    except InvalidSuite as error:
        raise Unsuitable(str(error).removesuffix(".")) from None
    if len(found) > 1:
        raise Unsuitable(f"the datasets would be seen differently: {' and '.join(sorted(r.label for r in found))}")
    (representation,) = found
    if not built.shaped_by_data and (why := built.why_unsupported(representation.shape)):
        raise Unsuitable(f"{method} {why}")
    if fetch:
        try:
            built.fetch()
        except WeightsNotFound as error:
            raise Unsuitable(str(error).removesuffix(".")) from None
    parameters = None if built.shaped_by_data else built.num_parameters
    return Description(representation, parameters, built.weights, built.unsound, built.epochs > 0)


def check_suitable(method: str, protocol: Protocol, trainer: TrainerOptions) -> None:
    """Raise `Unsuitable` where a method needs samples that the protocol lacks, or more GPUs than there are."""
    if registry.load_method(method).auxiliary and protocol.auxiliary is None:
        others = " and ".join(name for name, other in PROTOCOLS.items() if other.auxiliary is not None)
        raise Unsuitable(
            f"{method} needs samples of the training subjects besides the classes, and {protocol.id} has none; "
            f"{others} have"
        )
    if trainer.accelerator != "cpu" and 0 < (here := torch.cuda.device_count()) < trainer.devices:
        raise Unsuitable(f"it asks for {trainer.devices} GPUs (trainer.devices), of which {here} are here")
