"""FACET-VLM's attention across views, and its fusion of views guided by text (paper facet_vlm)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossViewAttention(nn.Module):
    """Cross-view self-attention (eq. 4): every patch attends to the patches of all views, with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, z: Tensor) -> Tensor:
        """Patches (B, M, d) to as many."""
        q, k, v = self.query(z), self.key(z), self.value(z)
        attended: Tensor = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return attended


class TextGuidedFusion(nn.Module):
    """Multiview text-guided fusion (eq. 15 to 18): a text attends to the patches of all views."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, z: Tensor, texts: Tensor) -> Tensor:
        """Patches (B, M, d) and texts (K, d) or (B, K, d) to one vector a text (B, K, d).

        With few texts and many patches it is cheaper to take the texts through the key's matrix, and the averages
        through the value's, than all patches through both; the result is the same.
        """
        requested = self.query(texts) @ self.key.weight  # (..., K, d)
        attention = torch.softmax(requested @ z.mT / z.shape[-1] ** 0.5, dim=-1)  # (B, K, M)
        found: Tensor = self.value(attention @ z)
        return found
