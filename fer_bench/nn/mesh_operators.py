"""Linear maps between the vertices of meshes, and convolutions made of them."""

import torch
from torch import Tensor, nn


class SparseMap(nn.Module):
    """A fixed sparse matrix over vertices: (B, V, C) to (B, W, C).

    Args:
        rows, columns, values: Of its entries, (E,); those of one place are added.
        shape: W and V.
    """

    # Not a sparse tensor, which distributed training cannot copy to its processes.
    places: Tensor
    values: Tensor

    def __init__(self, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        matrix = torch.sparse_coo_tensor(
            torch.stack([rows, columns]), values.float(), shape, check_invariants=True
        ).coalesce()
        self.shape = shape
        # Copies, for what is a view of a sparse tensor cannot be exported.
        self.register_buffer("places", matrix.indices().clone(), persistent=False)
        self.register_buffer("values", matrix.values().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, vertices, channels = x.shape
        values = self.values.to(x.dtype)
        if torch.compiler.is_exporting():  # ONNX has no sparse matrices
            rows, seen = self.places
            place = rows[None, :, None].expand(batch, -1, channels)
            return x.new_zeros(batch, self.shape[0], channels).scatter_add(1, place, x[:, seen] * values[:, None])
        matrix = torch.sparse_coo_tensor(self.places, values, self.shape, is_coalesced=True, check_invariants=False)
        columns = x.transpose(0, 1).reshape(vertices, -1)
        return torch.sparse.mm(matrix, columns).view(self.shape[0], batch, channels).transpose(0, 1)


def edges(triangles: Tensor) -> Tensor:
    """(2, E) the ends of each edge of triangles (F, 3), both ways, once."""
    corners = triangles.long()
    sides = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    return torch.unique(torch.cat([sides, sides.flip(1)]), dim=0).T


def uniform_laplacian(triangles: Tensor, vertices: int) -> SparseMap:
    """How far each vertex is from the mean of its neighbours; one without neighbours is at no distance."""
    here, there = edges(triangles)
    degree = torch.bincount(here, minlength=vertices)
    itself = torch.arange(vertices)[degree > 0]
    values = torch.cat([torch.ones(len(itself)), -1 / degree[here].float()])
    return SparseMap(torch.cat([itself, here]), torch.cat([itself, there]), values, (vertices, vertices))


class ChebyshevConvolution(nn.Module):
    """A spectral convolution over the vertices of one mesh (Defferrard et al., NIPS 2016): (B, V, in) to (B, V, out).

    A sum over Chebyshev polynomials of the normalised graph Laplacian, whose largest eigenvalue is taken for 2, as CoMA
    does; each has its matrix of weights.

    Args:
        order: How many polynomials, K: a vertex sees others K - 1 edges away.
    """

    def __init__(self, inputs: int, outputs: int, order: int, triangles: Tensor, vertices: int) -> None:
        super().__init__()
        here, there = edges(triangles)
        root = torch.bincount(here, minlength=vertices).clamp(min=1).float().rsqrt()
        # 2 L / 2 - 1 of L = 1 - D^-1/2 A D^-1/2.
        self.laplacian = SparseMap(here, there, -root[here] * root[there], (vertices, vertices))
        self.weight = nn.Parameter(torch.empty(order, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.trunc_normal_(self.weight, std=0.1, a=-0.2, b=0.2)

    def forward(self, x: Tensor) -> Tensor:
        before, here = x, x
        out = x @ self.weight[0]
        for k, weight in enumerate(self.weight[1:], start=1):
            onward = self.laplacian(here)
            before, here = here, onward if k == 1 else 2 * onward - before
            out = out + here @ weight
        return out + self.bias
