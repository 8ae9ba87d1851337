"""The questions the suite can put to a method, by id: `bu3dfe-s1-cv10@1`."""

from fer_bench.protocols import affectnet, bosphorus, bp4d, bu3dfe, bu4dfe, coma, facescape, fourdme, rafdb
from fer_bench.protocols.base import Protocol

_DATASETS = (bu3dfe, bosphorus, bu4dfe, bp4d, coma, facescape, affectnet, rafdb, fourdme)
PROTOCOLS: dict[str, Protocol] = dict(sorted((p.id, p) for dataset in _DATASETS for p in dataset.PROTOCOLS))

__all__ = ["PROTOCOLS", "Protocol"]
