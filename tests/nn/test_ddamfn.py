"""DDAMFN's network."""

import pytest
import torch
from torch import nn

from fer_bench.nn.ddamfn import DDAMFNetwork, spread_of_heads


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("classes", "expected"), [(7, 4_187_421), (8, 4_187_936)])
def test_it_has_the_parameters_of_the_public_checkpoints(classes: int, expected: int) -> None:
    network = DDAMFNetwork(classes)
    assert parameters(network) == expected
    assert parameters(network.features) == 4_035_752
    names = network.state_dict()
    assert len(names) == 1190
    assert {name.partition(".")[0] for name in names} == {"features", "cat_head0", "cat_head1", "Linear", "fc", "bn"}
    of_head = {name.split(".")[2] for name in names if name.startswith("cat_head0.CoordAtt.")}
    assert of_head == {"Linear_h", "Linear_w", "conv1", "bn1", "conv2", "conv3", "Linear"}


def test_the_features_are_attended_to_before_they_are_summed_up() -> None:
    network = DDAMFNetwork(7).eval()
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        scores, maps = network(x)
        found, _ = network.features_of(x)
        plain = network.features(x)
        expected = network.Linear(plain * torch.maximum(*maps)).flatten(1)
    assert scores.shape == (2, 7)
    assert [m.shape for m in maps] == [(2, 512, 7, 7)] * 2
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(scores, found @ network.fc.weight.T + network.fc.bias)


def test_attention_weighs_rows_and_columns() -> None:
    head = DDAMFNetwork(7, heads=1).get_submodule("cat_head0").eval()
    with torch.no_grad():
        weights = head(torch.randn(1, 512, 7, 7))[0]
    # Each map is the product of a number of its row and one of its column.
    rank = torch.linalg.matrix_rank(weights.double(), rtol=1e-5)
    assert (rank == 1).all()
    assert weights.min() > 0
    assert weights.max() < 1


def test_how_far_heads_are_apart() -> None:
    a, b, c = (torch.full((2, 3, 7, 7), value) for value in (0.0, 1.0, 3.0))
    assert spread_of_heads([a]).item() == 0
    assert spread_of_heads([a, b]).item() == 1
    assert spread_of_heads([a, b, c]).item() == 1 + 9 + 4
