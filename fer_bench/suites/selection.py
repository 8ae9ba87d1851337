"""Which epoch of a training is scored.

The honest rules choose without the test samples. Many published numbers are the best of all epochs on the test set;
`best_on_test` computes that on purpose, after the fact, so that what it buys can be measured: the optimism gap, see
`fer_bench.leaderboard.optimism`.
"""

from typing import Literal, get_args

from fer_bench.records import Task

Selection = Literal["validation", "last", "best_on_test"]
RULES: tuple[Selection, ...] = get_args(Selection)

EXPLAINED: dict[str, str] = {
    "validation": "`validation`, the epoch with the best validation metric, on samples that neither train nor test",
    "last": "`last`, the last epoch",
    "best_on_test": "`best_on_test`, the epoch with the best headline metric on the test samples of its fold",
}

CHOSEN_ON_TEST = "its epoch was chosen on the test set"
"""Why results of `best_on_test` are unsound."""


def default_selection(task: Task) -> Selection:
    """The rule where a suite names none: a method of meshes has no validation metric."""
    return "last" if task == "disentanglement" else "validation"


def faults(unsound: str, selection: str) -> str:
    """Why a cell's numbers may not be compared with others: the method's reason, and the rule's."""
    return "; ".join(filter(None, [unsound, CHOSEN_ON_TEST if selection == "best_on_test" else ""]))
