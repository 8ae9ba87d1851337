"""`fer-bench data morphable`: EMOCA's or SMIRK's parameters of a dataset's photographs, as a table in its root."""

from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.commands import display
from fer_bench.commands.extraction import extract
from fer_bench.data.layouts import find_root
from fer_bench.errors import FerBenchError, UnknownName
from fer_bench.io.morphable_parameters import write_table
from fer_bench.launch.planning import Need
from fer_bench.nn.face_regressors import REGRESSORS, SIZE, Emoca, Smirk, load_regressor
from fer_bench.processes import fork_server
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.image import Image
from fer_bench.terminal import console

_OBTAIN = {
    "emoca": "EMOCA's are given after registration at emoca.is.tue.mpg.de (detail/checkpoints/*.ckpt of a model)",
    "smirk": "SMIRK's, SMIRK_em1.pt, are linked from github.com/georgeretsi/smirk",
}


def regress(
    name: str,
    root: Path | None,
    regressor: str,
    checkpoint: Path | None,
    batch_size: int,
    workers: int,
    skip_broken: bool,
) -> None:
    """Write `<root>/<regressor>.parquet`, a row a photograph, where the representation `morphable` looks for it.

    Raises:
        UnknownName: there is no such dataset or regressor.
        FerBenchError: the weights are not there, the dataset has no photographs, or the table is there already.
        InvalidFile: the weights are damaged, or of another network.
    """
    if regressor not in REGRESSORS:
        raise UnknownName("regressor", regressor, REGRESSORS, "--regressor")
    module, folder = registry.dataset_module(name), find_root(name, root)
    if checkpoint is None or not checkpoint.is_file():
        given = "no --checkpoint was given" if checkpoint is None else f"{checkpoint}: there is no such file"
        raise FerBenchError(f"{given}; the weights are licensed and not distributed here. {_OBTAIN[regressor]}.")
    table = folder / f"{regressor}.parquet"
    if table.exists():
        raise FerBenchError(f"{table}: is there already; delete it to regress its parameters again.")
    dataset = registry.load_dataset(name)
    seen = Image(size=SIZE, alignment=cast(Literal["emoca", "smirk"], regressor)).resolve(dataset.offers(folder))
    network = load_regressor(regressor, checkpoint)
    if workers > 1:
        fork_server(module)
    (entry,) = extract(Need(dataset, dataset.source(folder), (seen,)), workers, skip_broken)
    rows = parameters_of(network, entry, batch_size, f"regressing {name}")
    write_table(table, network.vector, rows)
    message = f"; {len(entry.broken)} photographs that cannot be read are not in it" if entry.broken else ""
    console.print(
        f"wrote {table}: {network.vector} of {len(rows)} photographs{message}", highlight=False, soft_wrap=True
    )


def parameters_of(
    network: Emoca | Smirk, entry: CacheEntry, batch_size: int, what: str
) -> dict[str, NDArray[np.float32]]:
    """Sample id -> its vector, of a cache entry of photographs, on a GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    array, ids = entry.open(), list(entry.rows)
    places = np.array([entry.rows[i][0] for i in ids], dtype=np.int64)
    network.to(device).eval()
    found: dict[str, NDArray[np.float32]] = {}
    with display.reported(console, what) as report, torch.inference_mode():
        for start in range(0, len(ids), batch_size):
            photos = torch.from_numpy(array[places[start : start + batch_size]]).to(device)
            vectors = network(photos.float() / 255).float().cpu().numpy()
            found |= dict(zip(ids[start : start + batch_size], vectors, strict=True))
            report(len(found), len(ids))
    return found
