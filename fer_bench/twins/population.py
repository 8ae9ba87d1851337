"""The people of a twin: each is a function of the dataset, the seed and a name."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.expression_recipes import Style
from fer_bench.twins.face import FaceModel
from fer_bench.twins.identity import generator
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.sculpt_mesh import SKIN
from fer_bench.twins.texture import Complexion, paint


@dataclass(frozen=True, eq=False)
class Person:
    """One person.

    Attributes:
        identity: (K,) identity weights.
        style: How this person expresses.
        complexion: The colours.
        albedo: (H, W, 3) uint8 texture without shading.
        neutral: (V, 3) the face without any expression, mm; the head's frame (pupils at y = 0, +z forward).
    """

    identity: NDArray[np.float64]
    style: Style
    complexion: Complexion
    albedo: NDArray[np.uint8]
    neutral: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Population:
    """Everybody that a dataset, a face model and a seed make.

    Attributes:
        dataset: The dataset's id: two datasets' twins hold different people.
        model: The face model.
        seed: Another seed gives other people.
        texture_pixels: Width and height of an albedo.
    """

    dataset: str
    model: FaceModel
    seed: int
    texture_pixels: int = 192

    def rng(self, *key: str | int) -> np.random.Generator:
        """The randomness of a sample, by its name: the same in whichever process and order it is made."""
        return generator(self.dataset, self.seed, *key)

    @lru_cache(maxsize=4)  # noqa: B019 - work comes person by person, and a population lives as long as the process
    def person(self, name: str, darkness: float | None = None) -> Person:
        """The person behind a name.

        Args:
            name: A subject of the dataset.
            darkness: Of the skin, 0..1; by default drawn from the name.
        """
        if darkness is None:
            darkness = float(self.rng(name, "darkness").beta(1.1, 1.6))
        rng = self.rng(name)
        identity = rng.standard_normal(len(self.model.identity))
        style = Style.draw(rng)
        complexion = Complexion.draw(rng, darkness)
        albedo = paint(self.model, complexion, rng, self.texture_pixels)
        neutral = self.model.vertices(identity, np.zeros(len(self.model.expression)))
        return Person(identity, style, complexion, albedo, neutral)

    def shape(self, person: Person, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """(V, 3) millimetres: a person's face under (53,) expression weights."""
        # Not a product of matrices: it would start threads in every worker process, which wait for each other's cores.
        return person.neutral + np.einsum("e,evx->vx", weights, self.model.expression)

    @cached_property
    def landmarks83(self) -> NDArray[np.int64]:
        """(83,) template vertices in the order of BU-3DFE's landmark files."""
        model = self.model
        return landmarks83(model.template, model.triangles, model.parts == SKIN, model.landmarks68)
