"""The questions the suite can put to a method, by id: `bu3dfe-s1-cv10@1`."""

from __future__ import annotations

from fer_bench.protocols import bu3dfe
from fer_bench.protocols.base import Protocol

PROTOCOLS: dict[str, Protocol] = {protocol.id: protocol for protocol in (*bu3dfe.PROTOCOLS,)}

__all__ = ["PROTOCOLS", "Protocol"]
