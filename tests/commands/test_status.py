"""What the commands tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_bench.commands.status import show_status

if TYPE_CHECKING:
    from tests.faked_cells import Faker


def test_of_many_cells_those_are_told_that_have_something_to_tell(faker: Faker) -> None:
    suite, protocol = "drfer/table1", "bu3dfe-drfer60-cv10@1"
    for fold in range(6):
        faker.cell(suite, protocol, "drfer", fold=fold, state="done" if fold != 3 else "failed")
    many = show_status(suite, [f"seeds={[*range(4)]}"], faker.runs).splitlines()
    assert many == [
        f"{suite}: 5 done, 1 failed, 74 planned",
        f"  failed       {protocol}/drfer/fold03/seed0  it broke",
        f"  done         {protocol}/drfer  5 of 40 cells",
        f"  planned      {protocol}/drfer  34 of 40 cells",
        f"  planned      {protocol}/baseline  40 of 40 cells",
    ]
    few = show_status(suite, [], faker.runs).splitlines()
    assert len(few) == 1 + 20, "each cell of entries that have few"
