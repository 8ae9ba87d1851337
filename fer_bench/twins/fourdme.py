"""A twin of 4DME: videos or meshes of synthetic people whose faces give something away."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.expressions import FOURDME_EMOTIONS
from fer_bench.io.images import write_image
from fer_bench.io.spreadsheet import Value, write_sheet
from fer_bench.twins.actions import units_of
from fer_bench.twins.base import NewTwin, TwinWriter
from fer_bench.twins.captures import Captured, scan_frames, seat
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import FaceModel
from fer_bench.twins.performance import MICRO, apex, performance
from fer_bench.twins.photographs import Setting, photograph
from fer_bench.twins.population import Person, Population
from fer_bench.twins.quotas import apportion
from fer_bench.twins.scans import Pose

_CLIPS = 267  # of 41 people
_SHARES = {
    "negative": 127,
    "positive": 34,
    "surprise": 30,
    "repression": 6,
    "positive+surprise": 13,
    "negative+surprise": 8,
    "surprise+repression": 3,
    "positive+repression": 8,
    "negative+repression": 7,
    "others": 31,
}
_PIXELS = {"meb": (320, 240), "cas": (128, 128), "4dmr": (128, 128)}
# Of each mesh: 20 people have some 1,300 of them, which take about 150 MB. What the cameras give has far more.
VERTICES = 1200
_SIDE = 25.0  # degrees between the face and either camera of the challenge's two views
_MICRO_SHEET = "4DME_Labelling_Micro_release v1.xlsx"
_ONE_LABEL_SHEET = "Micro_and_Macro-expression_labels_new_2D_oneLabel.xlsx"


def _fill(twin: NewTwin) -> None:
    """Six or seven clips a person of about ten frames, and a label table; as many clips as the distribution's with its
    41 people. Layouts: `meb`, a folder `gray_micro` and a spreadsheet of several labels a clip; `cas`, cropped frames
    and a spreadsheet of one label; `4dmr`, two views a frame and a table of zeros and ones; `mesh`, the clips and the
    spreadsheet of `meb` with textured meshes instead of photographs, stored as nobody knows whether the real ones are.
    """
    people = population(twin.model, twin.seed, twin.layout)
    takes = plan(people, twin.subjects)
    apexes = twin.map(_Work(twin.folder, people, twin.layout), takes)
    write = {"cas": _sheet_of_one, "4dmr": _table_of_ones}.get(twin.layout, _sheet_of_several)
    write(twin, takes, apexes)
    if twin.layout == "mesh":
        _damage(twin, takes)


write_twin = TwinWriter(
    "fourdme", "4DME", _fill, default_subjects=20, max_subjects=41, layouts=("meb", "cas", "4dmr", "mesh")
)


def population(model: FaceModel, seed: int, layout: str) -> Population:
    """The twin's people: the same in all layouts, but for the number of their vertices."""
    return Population("fourdme", coarse(model, VERTICES) if layout == "mesh" else model, seed)


class Take(NamedTuple):
    """One clip.

    Attributes:
        subject: `S01`.
        clip: The name of its folder.
        emotion: Several are joined by a plus, in the order of `FOURDME_EMOTIONS`.
        onset: Number of its first frame in the long video that it was cut from.
        frames: How many.
        tested: Whether the challenge keeps its label to itself.
    """

    subject: str
    clip: str
    emotion: str
    onset: int
    frames: int
    tested: bool


def plan(people: Population, subjects: int) -> list[Take]:
    """All clips, person by person."""
    count = _CLIPS * subjects // write_twin.max_subjects
    # A few people cannot show everything.
    shares = dict(sorted(_SHARES.items(), key=lambda item: -item[1])[:count])
    emotions = [emotion for emotion, quota in apportion(count, shares).items() for _ in range(quota)]
    rng = people.rng("plan")
    order = rng.permutation(count).tolist()
    takes = []
    for number in range(count):
        person = number * subjects // count
        onset, frames = int(rng.integers(20, 900)), int(rng.integers(8, 13))
        clip = f"S{person + 1:02d}_1st_{number + 1:03d}_01_1"
        tested = 0 < person >= int(0.8 * subjects)
        takes.append(Take(f"S{person + 1:02d}", clip, emotions[order[number]], onset, frames, tested))
    return takes


@dataclass(frozen=True)
class _Work:
    """Writes the frames of one clip."""

    folder: Path
    people: Population
    layout: str

    def __call__(self, take: Take) -> int:
        """The number of the apex frame."""
        if self.layout == "mesh":
            frames = list(scan(self.people, take))
            for number, frame in enumerate(frames, start=take.onset):
                path = self.folder / _frame(self.layout, take, number)
                frame.write_obj(path.parent, path.stem)
            return take.onset + apex(np.array([frame.weights for frame in frames]))
        weights, images = film(self.people, take, self.layout)
        for number, image in enumerate(images, start=take.onset):
            write_image(self.folder / _frame(self.layout, take, number), image)
        return take.onset + apex(weights)


def film(people: Population, take: Take, layout: str) -> tuple[NDArray[np.float64], list[NDArray[np.uint8]]]:
    """The expression weights (frames, 53) and the grey frames of a clip, two views side by side in the challenge."""
    person, rng = people.person(take.subject), people.rng("clip", take.clip)
    weights, turns = _move(person, take, rng)
    # Everybody sat before the same wall.
    setting = Setting.draw(people.rng(take.subject, "setting"), wild=False)
    images = []
    for weight, (pitch, yaw, roll) in zip(weights, turns.tolist(), strict=True):
        views = [
            replace(setting, pitch=setting.pitch + pitch, yaw=setting.yaw + yaw + side, roll=setting.roll + roll)
            for side in ((-_SIDE, _SIDE) if layout == "4dmr" else (0.0,))
        ]
        shown = [
            photograph(people.model, person, weight, rng, _PIXELS[layout], setting=view, grey=True) for view in views
        ]
        images.append(np.hstack([view.image for view in shown]))
    return weights, images


def scan(people: Population, take: Take) -> Iterator[Captured]:
    """The meshes of a clip: the same face and head as in its video, seen by the cameras of a scanner."""
    weights, turns = _move(people.person(take.subject), take, people.rng("clip", take.clip))
    start = seat(people.rng("clip", take.clip, "seat"))
    poses = [Pose(Pose.turned(*turn).rotation @ start.rotation, start.shift) for turn in turns.tolist()]
    return scan_frames(people, take.subject, take.clip, weights, poses)


def _move(person: Person, take: Take, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the face does, (frames, 53) expression weights, and the head, (frames, 3) pitch, yaw and roll in degrees."""
    weights = performance(person.style, take.emotion, take.frames, rng, timing=MICRO)
    turns = rng.uniform(0.3, 1.5, 3) * np.sin(np.linspace(0, 3, take.frames)[:, None] + rng.uniform(0, 6, 3))
    return weights, turns


def preview(model: FaceModel, seed: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Seven frames of a clip of each emotion."""
    people = Population("fourdme", model, seed)
    cells = []
    for emotion in _SHARES:
        take = next(take for take in plan(people, write_twin.max_subjects) if take.emotion == emotion)
        _, images = film(people, take, write_twin.layouts[0])
        cells += [
            (f"{take.subject} {emotion} {k + 1}", images[k]) for k in np.linspace(0, len(images) - 1, 7).astype(int)
        ]
    return cells


def _frame(layout: str, take: Take, number: int) -> str:
    """A frame's file."""
    if layout == "meb":
        return f"gray_micro/{take.subject}/{take.clip}/{number}.jpg"
    if layout == "cas":
        return f"4DME/micro_short_gray_video_cropped/{take.subject}/{take.clip}/Frame_{number:09d}.jpg"
    if layout == "mesh":
        return f"{take.subject}/{take.clip}/{number}.obj"
    return f"{'test' if take.tested else 'train'}/{take.clip}/{number:04d}.jpg"


def _sheet_of_several(twin: NewTwin, takes: list[Take], apexes: list[int]) -> None:
    """The spreadsheet of the release: several emotions a clip, and action units."""
    units = sorted({unit for take in takes for unit in units_of(take.emotion)})
    rows: list[list[Value]] = [["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]]
    rows[0] += [f"AU{unit}" for unit in units]
    for take, peak in zip(takes, apexes, strict=True):
        # The distribution has them in either order.
        emotion = "+".join(name.capitalize() for name in reversed(take.emotion.split("+")))
        shown = units_of(take.emotion)
        written = "+".join(map(str, shown)) + ("(k)" if take is takes[0] else "")
        row: list[Value] = [take.subject, take.clip, emotion, take.onset, peak, take.onset + take.frames - 1, written]
        rows.append([*row, *(int(unit in shown) for unit in units)])
    last = takes[-1].subject
    rows.append([last, f"{last}_1st_999_01_1", "Negative", 1, 4, 9, "4+7", *(int(unit in (4, 7)) for unit in units)])
    write_sheet(twin.folder / _MICRO_SHEET, rows)
    twin.quirks.append(f"The folder of {last}/{last}_1st_999_01_1 is missing.")
    twin.variants.append(f"The last action unit of {takes[0].subject}/{takes[0].clip} is static, marked (k).")


def _sheet_of_one(twin: NewTwin, takes: list[Take], apexes: list[int]) -> None:
    """The spreadsheet of those who score one emotion a clip, with macro-expressions that have no frames here."""
    rows: list[list[Value]] = [["SubID", "VideoNo", "longclipNo", "MENo", "fold_name", "Onset", "Apex", "Emotion"]]
    for number, (take, peak) in enumerate(zip(takes, apexes, strict=True), start=1):
        emotion = take.emotion.partition("+")[0].capitalize()
        rows.append([int(take.subject[1:]), 1, number, 1, take.clip, take.onset, peak, emotion])
    macro = f"{takes[0].subject}_1st_000_macro"
    rows.append([int(takes[0].subject[1:]), 1, 0, None, macro, 1, 40, "Positive"])
    write_sheet(twin.folder / "4DME" / _ONE_LABEL_SHEET, rows)
    twin.quirks.append(f"The folder of {macro} is missing.")
    twin.variants.append("Subjects are numbers in the spreadsheet, and S with a number in the folders.")


def _table_of_ones(twin: NewTwin, takes: list[Take], _: list[int]) -> None:
    """The table of the challenge, which keeps the test labels to itself."""
    order = ("negative", "positive", "repression", "surprise", "others")
    assert set(order) == set(FOURDME_EMOTIONS)

    def lines() -> Iterator[list[str]]:
        yield ["Id", *(name.capitalize() for name in order)]
        for take in takes:
            if not take.tested:
                yield [take.clip, *(str(int(name in take.emotion.split("+"))) for name in order)]

    with io.StringIO() as file:
        csv.writer(file).writerows(lines())
        twin.write("train.csv", file.getvalue())
    if tested := [take.clip for take in takes if take.tested]:
        twin.quirks.append(f"The {len(tested)} clips from test/{tested[0]} on have no label.")


def _damage(twin: NewTwin, takes: list[Take]) -> None:
    """Faults of meshes, as in copies of other 4D datasets."""
    lost, bare = takes[1], takes[-1]
    texture = Path(_frame("mesh", bare, bare.onset + 2)).with_suffix(".jpg")
    (twin.folder / texture).unlink()
    twin.quirks.append(f"{texture} is missing, though its mesh and its material are there.")
    mesh = Path(_frame("mesh", lost, lost.onset + 3))
    for path in (mesh, mesh.with_suffix(".mtl")):
        (twin.folder / path).unlink()
    twin.quirks.append(f"{mesh.with_suffix('.jpg')} has no mesh.")
    twin.variants.append("Some frames have a hole, or a few spikes.")
