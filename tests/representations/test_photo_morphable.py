"""Two inputs in one row."""

import numpy as np
import pytest
import torch

from fer_bench.errors import InvalidSuite
from fer_bench.representations.image import Image
from fer_bench.representations.morphable import Morphable
from fer_bench.representations.photo_morphable import PhotoMorphable


def test_what_is_packed_comes_out_bit_for_bit() -> None:
    kind = PhotoMorphable(size=16, vector="smirk-353")
    photos = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    vectors = torch.randn(5, 353)
    rows = kind.pack(photos, vectors)
    assert rows.shape == (5, *kind.shape)
    assert rows.numpy().dtype == kind.dtype
    found = kind.unpack(rows[1:4])
    assert torch.equal(found[0], photos[1:4])
    assert torch.equal(found[1], vectors[1:4])


def test_it_is_both_parts() -> None:
    kind = PhotoMorphable(size=64, alignment="box", vector="emoca-334", missing="zero")
    assert kind.photo == Image(size=64, alignment="box")
    assert kind.parameters == Morphable(vector="emoca-334", missing="zero")
    assert kind.label == f"{kind.photo.label}-{kind.parameters.label}"
    assert kind.digest != PhotoMorphable(size=64, alignment="box", vector="emoca-334").digest


def test_the_picture_shows_both() -> None:
    kind = PhotoMorphable(size=32)
    row = kind.pack(torch.full((1, 3, 32, 32), 200, dtype=torch.uint8), torch.randn(1, 156))[0].numpy()
    picture = kind.picture(row)
    assert picture.dtype == np.uint8
    assert (picture[:32, :32] == 200).all()
    assert picture.shape == (132, 312, 3)


@pytest.mark.parametrize("options", [{"size": 0}, {"vector": "emoca-1"}, {"missing": "no"}])
def test_what_a_part_refuses_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidSuite):
        PhotoMorphable(**options)  # type: ignore[arg-type]
