"""The base of twins: the checks, the folder that is renamed when it is complete, and the marker file."""

import gc
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.processes import Progress, fork_server, map_processes
from fer_bench.records import TWIN_MARKER, read_json, write_json
from fer_bench.twins.expression_recipes import RECIPE
from fer_bench.twins.face import FaceModel, procedural_face

Item = TypeVar("Item")
Output = TypeVar("Output")


@dataclass
class NewTwin:
    """A twin that is being written.

    Attributes:
        folder: Where it is written: a temporary folder, which takes the twin's name at the end.
        model: The face model.
        subjects: How many.
        seed: Whose.
        layout: Which of the dataset's layouts.
        quirks: Sentences, each naming a deliberate fault and the file or sample that has it, for the marker: what the
            doctor must report.
        variants: Sentences on what is unusual and yet right, which readers take without a word.
    """

    folder: Path
    model: FaceModel
    subjects: int
    seed: int
    layout: str
    workers: int = 1
    progress: Progress | None = None
    quirks: list[str] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)

    def map(self, work: Callable[[Item], Output], items: Sequence[Item]) -> list[Output]:
        """`work` on each item, in worker processes; the results in the items' order.

        Args:
            work: Writes what belongs to an item, below `folder`; picklable. What it writes depends on the item alone.
            items: What progress counts.
        """
        if self.workers > 1:
            fork_server(type(work).__module__)
        results = []
        for done, result in enumerate(map_processes(_Uncollected(work), items, self.workers), start=1):
            results.append(result)
            if self.progress:
                self.progress(done, len(items))
        return results

    def write(self, name: str, content: bytes | str = b"") -> Path:
        """Write a small file below the folder: a label file, or a decoy. Text is UTF-8, line ends stay as they are."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@dataclass(frozen=True)
class TwinWriter:
    """Writes twins of one dataset; `fer-bench data twin` calls it.

    Attributes:
        dataset: Its id.
        title: Its name, for errors.
        fill: Writes all that a twin holds. The bytes depend on the twin's subjects, seed, model and layout alone.
        default_subjects: How many by default.
        max_subjects: As many as the distribution has names for.
        layouts: What `NewTwin.layout` can be; the first is the default.
        identity: Face model, seed and subjects -> each subject's face without expression, (V, 3) millimetres, where its
            vertices are those of the meshes; None where they are not.
    """

    dataset: str
    title: str
    fill: Callable[[NewTwin], None]
    default_subjects: int
    max_subjects: int
    layouts: tuple[str, ...]
    identity: Callable[[FaceModel, int, Sequence[str]], dict[str, NDArray[np.float64]]] | None = None

    def __call__(
        self,
        root: Path,
        *,
        subjects: int | None = None,
        seed: int = 0,
        face_model: FaceModel | None = None,
        layout: str | None = None,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> None:
        """Write a twin. The folder appears, with its marker, when it is complete; stopped earlier, nothing is left.

        Args:
            root: Folder to create; an empty one may be there.
            subjects: How many; None for `default_subjects`.
            seed: Another seed gives other people.
            face_model: None for the procedural face.
            layout: One of `layouts`; None for the first.
            workers: Processes; the bytes do not depend on them.
            progress: Called with (items done, items in all).

        Raises:
            FerBenchError: there are too many subjects or none, the layout does not exist, or the folder is not empty or
                cannot be made.
        """
        count = self.default_subjects if subjects is None else subjects
        if not 1 <= count <= self.max_subjects:
            most = self.max_subjects
            raise FerBenchError(f"--subjects {count}: {self.title} has {most} subjects; ask for 1 to {most}.")
        chosen = self.layouts[0] if layout is None else layout
        if chosen not in self.layouts:
            known = ", ".join(self.layouts)
            raise FerBenchError(f"--layout {chosen}: {self.title} has the layouts {known}; name one of them.")
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise FerBenchError(f"{root}: is not empty; name another folder with --out, or delete this one first.")
        model = face_model or procedural_face()
        final = root.resolve()
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            try:
                temporary.mkdir(parents=True)
            except OSError as error:
                problem = f"cannot be made ({error.strerror}); name another folder with --out."
                raise FerBenchError(f"{root}: {problem}") from None
            twin = NewTwin(temporary, model, count, seed, chosen, workers, progress)
            self.fill(twin)
            marker = {
                "dataset": self.dataset,
                "recipe": RECIPE,
                "face_model": model_id(model),
                "seed": seed,
                "subjects": count,
                "layout": chosen,
                "quirks": twin.quirks,
                "variants": twin.variants,
            }
            write_json(temporary / TWIN_MARKER, marker)
            standing = final == Path.cwd()
            if final.exists():
                final.rmdir()
            temporary.rename(final)
            if standing:  # in the folder that was there before, from which no relative path leads anywhere
                os.chdir(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def model_id(model: FaceModel) -> str:
    """How a marker names a face model: `procedural-0a1b2c3d4e5f`."""
    return f"{model.name}-{model.digest[:12]}"


def read_marker(root: Path, model: FaceModel) -> dict[str, Any]:
    """The marker of a twin, for what is computed again from it.

    Raises:
        InvalidFile: there is none, or the twin was made with another face model, or by another version.
    """
    path = root / TWIN_MARKER
    marker = read_json(path)
    made_with, have = (marker.get("face_model"), marker.get("recipe")), (model_id(model), RECIPE)
    if made_with != have:
        raise InvalidFile(
            path,
            f"was made with face model {made_with[0]}, recipe {made_with[1]}, not {have[0]}, {have[1]}",
            "Give the face model it was made with, or make the twin again.",
        )
    return marker


def crlf(path: Path) -> None:
    """Turn the line feeds of a text file into carriage returns with line feeds, as copies made on Windows have."""
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@dataclass(frozen=True)
class _Uncollected(Generic[Item, Output]):
    """Work without the collector of cyclic garbage.

    A mesh on its way into a file is tens of thousands of short lists and no cycle; to look for cycles among them takes
    half the time.
    """

    work: Callable[[Any], Any]

    def __call__(self, item: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self.work(item)
        finally:
            if collecting:
                gc.enable()
