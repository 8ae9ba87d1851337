"""The stage `stress` of a cell: its test fold, perturbed, predicted by the network that was scored.

It has a folder of its own in the cell's, `stress/`, with a status and a lock like a cell's, so that whatever happens to
it leaves the cell done. A condition is `<condition>.parquet`, in the form of `predictions.parquet`, and then
`<condition>.json`; what is there and still answers the same question is kept.
"""

from dataclasses import asdict, replace
from pathlib import Path

from fer_bench.cells.cell import Cell
from fer_bench.cells.fit import build, load_checkpoint
from fer_bench.cells.score import measure_file, predict, predictor, versions, write_predictions
from fer_bench.cells.stress_outcome import Outcome
from fer_bench.errors import FerBenchError
from fer_bench.geometry.perturbations import DECK, Stress
from fer_bench.records import read_json, write_json
from fer_bench.representations.cache_entry import CacheEntry


def conditions(member: str) -> list[Stress]:
    """All conditions of a member, mildest first."""
    return [stress for severity in DECK[member].severities for stress in severity.conditions]


def examine(staged: Cell) -> None:
    """Predict the test fold under every condition that `stress/asked.json` names.

    Raises:
        InvalidFile: the checkpoint, or an extracted condition, is missing or damaged.
        FerBenchError: nothing could be extracted of the fold under a condition.
        RuntimeError: the predicted ids are not those of the fold that could be extracted.
    """
    cell = replace(staged, folder=staged.folder.parent)
    data, method = build(cell)
    method.load_state_dict(load_checkpoint(cell.checkpoints / "best.ckpt")["state_dict"])
    trainer = predictor(cell)
    requested = read_json(staged.folder / "asked.json")["conditions"]
    for done, one in enumerate(requested):
        staged.report("running", epoch=done, epochs=len(requested))
        entry = CacheEntry(Path(one["cache"]))
        stressed = data.tested_on(entry)
        if not stressed.fold.test:
            raise FerBenchError(f"no test sample of {cell.id} could be extracted under {one['condition']}.")
        ids, predicted = predict(trainer, method, stressed.predict_dataloader())
        if sorted(ids) != sorted(stressed.fold.test) or set(data.fold.test) != {*ids, *entry.broken}:
            raise RuntimeError(f"{cell.id}: predicted {len(ids)} samples under {one['condition']}, not the fold's")
        path = staged.folder / f"{one['condition']}.parquet"
        # What vouches for the predictions must not outlive those it was written for.
        path.with_suffix(".json").unlink(missing_ok=True)
        write_predictions(path, stressed, ids, predicted["output"])
        found = Outcome(
            condition=one["condition"],
            stress=one["stress"],
            representation_digest=one["digest"],
            protocol_digest=cell.protocol_digest,
            n=len(ids),
            broken=len(entry.broken),
            metrics=measure_file(path, data.protocol),
            versions=versions(),
        )
        write_json(path.with_suffix(".json"), asdict(found))
    staged.report("running", epoch=len(requested), epochs=len(requested))
