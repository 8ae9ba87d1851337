"""What the fidelity page of Ig3D calls equal, and no other test shows."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from fer_bench import registry
from fer_bench.cells.fused_cells import _faults
from fer_bench.expressions import EXPRESSIONS
from fer_bench.io.morphable_parameters import VECTORS
from fer_bench.methods.cage import CAGE
from fer_bench.methods.morphable_mlp import MorphableMLP
from fer_bench.metrics import score
from fer_bench.nn.photo_augmentation import PhotoAugmentation, Recipe
from fer_bench.papers.published import read_paper
from fer_bench.records import Target
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite

EIGHT = Target("classification", EXPRESSIONS)
AFFECT = Target("valence_arousal", ("valence", "arousal"))

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {  # of the public scripts
    ("table2", "emoca-short"): {"expression_weight": 2, "vector": "emoca-156"},
    ("table2", "emoca-full"): {"expression_weight": 1, "objective": "mixture"},
    ("table2", "smirk-short"): {
        **{"network": "residual", "objective": "errors", "masking": 0.1, "batch_size": 256, "epochs": (80, 0)},
        "step_size_up": 2241,
    },
    ("table4", "emoca"): {"expression_weight": 2, "vector": "emoca-156"},
    ("table4", "intermediate-emoca"): {
        **{"heads": 1, "optimizer": "adamw", "batch_size": 64, "epochs": (80, 0), "step_size_up": 2241},
        **{"learning_rate": (1e-6, 1e-4), "weight_decay": 1e-2, "augmentation": None, "rated": True},
    },
    ("table4", "intermediate-smirk"): {
        **{"heads": 1, "optimizer": "adam", "weight_decay": 0, "batch_size": 256, "learning_rate": (1e-6, 1e-4)},
    },
    ("table5", "intermediate-emoca"): {"heads": 1, "rated": False, "augmentation": None, "step_size_up": 2241},
    ("table5", "intermediate-smirk"): {"heads": 2, "rated": False, "augmentation": None, "step_size_up": 2241},
    ("table7", "emoca"): {
        **{"learning_rate": (1e-5, 5e-4), "weight_decay": 1e-2, "step_size_up": 2241, "epochs": (20, 20)},
        **{"dropout": (0, 0), "batch_size": 64},
    },
    ("table7", "intermediate-emoca"): {
        **{"learning_rate": (1e-5, 5e-4), "weight_decay": 1e-2, "step_size_up": 234, "epochs": (20, 20)},
        **{"masking": 0, "sampling": "rarest", "batch_size": 64},
    },
}


@pytest.mark.parametrize(("table", "entry"), SETTINGS)
def test_the_suites_have_the_settings_of_the_scripts(table: str, entry: str) -> None:
    suite = read_suite(registry.suites()[f"ig3d/{table}"])
    _, arguments = resolve_arguments(entry, suite.methods[entry], "")
    expected = SETTINGS[table, entry]
    assert {key: arguments[key] for key in expected} == expected


def test_the_three_d_classifier_has_the_papers_table_1() -> None:
    method = MorphableMLP(EIGHT)
    made: Any = method.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 1e-5
    assert (schedule.base_lrs[0], schedule.max_lrs[0], schedule.cycle_momentum) == (1e-6, 1e-4, False)
    assert method.step_size_up is None  # half an epoch
    assert (method.batch_size, method.epochs) == (64, 100)


def test_dropout_is_the_papers() -> None:
    layers = list(MorphableMLP(EIGHT).trunk)
    places = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert [layers[place].p for place in places] == [0.5, 0.4]  # type: ignore[union-attr]
    linear = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    assert linear[0] < places[0] < linear[1] < places[1] < linear[2]


def test_the_classifiers_of_cage() -> None:
    method = CAGE(AFFECT, pretrained=False)
    kinds = [nn.LayerNorm, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    for classifier, dropout, outputs in ((method.combined, 0.0, 10), (method.affect, 0.3, 2)):
        assert classifier is not None
        assert [type(layer) for layer in classifier] == kinds
        assert classifier[3].p == dropout
        assert classifier[4].out_features == outputs and classifier[4].bias is None
    assert (method.learning_rate, method.batch_size, [stage.epochs for stage in method.stages]) == (4e-5, 128, [20, 20])


def test_the_parts_are_in_the_order_of_the_public_files() -> None:
    assert [VECTORS[name] for name in ("emoca-334", "smirk-358")] == [
        (("exp", 50), ("pose", 6), ("tex", 50), ("detail", 128), ("shape", 100)),
        (
            *(("pose_params", 3), ("shape_params", 300), ("expression_params", 50)),
            *(("eyelid_params", 2), ("jaw_params", 3)),
        ),
    ]
    assert VECTORS["emoca-156"] == (("exp", 50), ("pose", 6), ("shape", 100))
    assert VECTORS["smirk-353"] == (("pose_params", 3), ("shape_params", 300), ("expression_params", 50))


def flat(steps: Iterable[Any]) -> Iterator[Any]:
    """Transforms, those inside others too."""
    for step in steps:
        yield from flat(step.transforms) if hasattr(step, "transforms") else [step]


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [
        ("ddamfn-affectnet", [v2.RandomHorizontalFlip, v2.RandomAffine, v2.RandomErasing]),
        ("ddamfn-rafdb", [v2.RandomHorizontalFlip, v2.RandomRotation, v2.RandomCrop, v2.RandomErasing]),
        (
            "cage",
            [
                *(v2.RandomHorizontalFlip, v2.RandomGrayscale, v2.RandomRotation, v2.ColorJitter),
                *(v2.RandomPerspective, v2.RandomErasing),
            ],
        ),
    ],
)
def test_augmentations_of_the_scripts(recipe: Recipe, kinds: list[type[nn.Module]]) -> None:
    augmentation = PhotoAugmentation(recipe)
    found: dict[Any, Any] = {type(step): step for step in flat([augmentation.before, augmentation.after])}
    assert set(found) == set(kinds)
    if recipe == "ddamfn-affectnet":
        affine = found[v2.RandomAffine]
        assert augmentation.before.transforms[1].p == 0.7
        assert (affine.degrees, affine.translate, affine.scale) == ([-20.0, 20.0], (0.2, 0.2), (0.8, 1.0))
    if recipe == "ddamfn-rafdb":
        assert found[v2.RandomRotation].degrees == [-5.0, 5.0] and set(found[v2.RandomCrop].padding) == {8}
        assert augmentation.before.transforms[1].p == 0.2
        assert found[v2.RandomErasing].scale == (0.02, 0.25)
    if recipe == "cage":
        assert found[v2.RandomErasing].scale == (0.02, 0.2) and found[v2.RandomErasing].p == 0.5
        assert found[v2.RandomPerspective].distortion_scale == 0.2 and found[v2.ColorJitter].hue == (-0.1, 0.1)
        assert found[v2.RandomGrayscale].p == 0.01 and found[v2.RandomRotation].degrees == [-10.0, 10.0]


def test_a_given_weight_is_unsound() -> None:
    assert "may have been chosen on the tested samples" in _faults("weighted:0.6", None, False)[0]
    assert _faults("weighted", None, False) == _faults("mean", None, False) == []
    assert len(_faults("weighted:0.65", 128, False)) == 2


def test_the_concordance_of_table_7() -> None:
    """Of both in one list, the covariance over one less and the variances over their number."""
    rng = np.random.default_rng(0)
    truth, outputs = rng.uniform(-1, 1, (30, 2)), rng.uniform(-1, 1, (30, 2))
    p, t = outputs.ravel(), truth.ravel()
    expected = 2 * np.cov(p, t)[0, 1] / (p.var() + t.var() + (p.mean() - t.mean()) ** 2)
    assert score("valence_arousal", outputs, truth, ())["ccc_published"] == pytest.approx(expected)


def test_every_table_has_a_suite() -> None:
    sections = {section.heading: section.suites for section in read_paper("ig3d").sections}
    for number in range(2, 9):
        assert sections[f"Table {number}"], number
