"""What the fidelity page of the face disentanglement calls equal, and no other test shows."""

from typing import Any

import pytest
import torch

from fer_bench import registry
from fer_bench.methods.face_disentanglement import FaceDisentanglement
from fer_bench.nn import face_networks
from fer_bench.nn.face_networks import IdentityDiscriminator
from fer_bench.papers.published import read_paper
from fer_bench.records import Target
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite

# The options of the commands in the public code's README, and its defaults, under the names that they have here.
COMA = {"latent": (4, 4), "batch_sizes": (32, 32), "epochs": (50, 300), "kl_epochs": 350, "neutral": 5}
BU3DFE = {
    **{"latent": (40, 40), "batch_sizes": (32, 8), "epochs": (100, 280), "kl_epochs": None, "neutral": 0.5},
    **{"reconstruction": 250, "kl": 3e-5, "adversarial": 1e-3, "consistency": 5e-2, "laplacian": 10, "use_bn": False},
    **{"discriminator_rate": 1e-4},
}
FACESCAPE = {
    **{"latent": (64, 64), "batch_sizes": (32, 32), "epochs": (100, 280), "kl_epochs": None, "neutral": 1},
    **{"reconstruction": 5000, "kl": 3e-5, "adversarial": 5e-4, "consistency": 1e-2, "use_bn": False},
    **{"discriminator_rate": 1e-4},
}
COMMANDS: dict[tuple[str, str], dict[str, Any]] = {
    ("table1", "ours"): {
        **COMA,
        **{"reconstruction": 600, "kl": 5e-7, "adversarial": 5e-4, "consistency": 5e-3, "laplacian": 1e-2},
        **{"use_bn": False, "discriminator_rate": 1e-4},
    },
    ("table1", "ours-ne-gt"): {
        **COMA,
        **{"reconstruction": 5000, "kl": 3e-3, "adversarial": 1e-5, "consistency": 7e-3, "laplacian": 0},
        **{"use_bn": True, "discriminator_rate": 1e-3},
    },
    ("table2", "ours"): BU3DFE,
    ("table2", "ours-ne-gt"): {**BU3DFE, "expression_truth": True},
    ("table3", "ours"): {**FACESCAPE, "laplacian": 1e-2},
    ("table3", "ours-ne-gt"): {**FACESCAPE, "laplacian": 0},
}


@pytest.mark.parametrize(("table", "entry"), COMMANDS)
def test_the_suites_have_the_commands_of_the_public_code(table: str, entry: str) -> None:
    suite = read_suite(registry.suites()[f"face_disentanglement/{table}"])
    _, arguments = resolve_arguments(entry, suite.methods[entry], "")
    expected = {**COMMANDS[table, entry], "neutral_truth": entry.endswith("ne-gt")}
    assert {key: arguments[key] for key in expected} == expected


def test_both_optimisers_and_their_schedule() -> None:
    method = FaceDisentanglement(Target("disentanglement", ()), discriminator_rate=2e-4)
    method.configure_for_input((12, 3), {"triangles": torch.tensor([[0, 1, 2]]).numpy()}.__getitem__)
    first, joint = method.stages
    method.on_stage_start(first)
    alone = method.configure_optimizers()
    assert isinstance(alone, torch.optim.Adam)
    assert (alone.param_groups[0]["lr"], alone.param_groups[0]["weight_decay"]) == (1e-4, 0)
    method.on_stage_start(joint)
    optimizers, schedules = method.configure_optimizers()  # type: ignore[misc]
    settings = [(type(o), o.param_groups[0]["lr"], o.param_groups[0]["weight_decay"]) for o in optimizers]
    assert settings == [(torch.optim.Adam, 1e-4, 1e-4), (torch.optim.Adam, 2e-4, 0)]
    assert [(s.step_size, s.gamma) for s in schedules] == [(50, 0.7)] * 2


def test_the_dropout_of_the_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def noted(x: torch.Tensor, rate: float, _: bool) -> torch.Tensor:
        assert x.shape[1] == 256  # after the second layer
        rates.append(rate)
        return x

    monkeypatch.setattr(face_networks, "dropped", noted)
    network, x = IdentityDiscriminator(), torch.randn(3, 20, 3)
    network(x, x, True)
    assert rates == [0.5]
    network(x, x, False)
    assert rates == [0.5]


def test_every_table_has_a_suite() -> None:
    sections = {section.heading: section.suites for section in read_paper("face_disentanglement").sections}
    for table in ("I", "II", "III", "IV"):
        assert sections[f"Table {table}"], table
