"""`fer-bench data twin DATASET`: a twin, and a contact sheet of it."""

from pathlib import Path

from fer_bench import registry
from fer_bench.errors import FerBenchError
from fer_bench.terminal import console


def make_twin(
    name: str,
    out: Path,
    subjects: int | None,
    seed: int,
    face_model: Path | None,
    layout: str | None,
    preview: Path | None,
    workers: int,
) -> None:
    """Write a twin, and a contact sheet if `preview` is given."""
    from fer_bench.commands import display
    from fer_bench.io.images import writable_image
    from fer_bench.records import TWIN_MARKER, read_json
    from fer_bench.twins.face import load_face_model
    from fer_bench.twins.preview import contact_sheet

    write_twin = registry.load_twin(name)
    if preview is not None:
        writable_image(preview)
    model = load_face_model(face_model) if face_model else None
    with display.reported(console, f"writing a twin of {name}") as report:
        write_twin(out, subjects=subjects, seed=seed, face_model=model, layout=layout, workers=workers, progress=report)
    marker = read_json(out / TWIN_MARKER)
    console.print(f"wrote a twin of {name} with {marker['subjects']} subjects to {out}", highlight=False)
    if marker.get("quirks"):
        console.print(
            f"it holds {len(marker['quirks'])} faults on purpose, as real copies do: fer-bench data check {name} "
            f"--root {out}",
            highlight=False,
            soft_wrap=True,
        )
    if preview is not None:
        try:
            drawn = contact_sheet(model, preview, seed=seed, dataset=name)
        except KeyboardInterrupt:
            raise FerBenchError(f"stopped before {preview} was drawn; the twin at {out} is complete.") from None
        console.print(f"wrote {preview}" if drawn else f"no contact sheet: {name} has none", highlight=False)
