"""A leaderboard as a Markdown page and CSV files."""

import io
from pathlib import Path

from fer_bench import registry
from fer_bench.leaderboard.machines import trained_on
from fer_bench.leaderboard.pages.columns import beside, header, texts
from fer_bench.leaderboard.pages.csv_table import to_frame
from fer_bench.leaderboard.pages.pairs_page import GROUPS, pairs_frame, pairs_section
from fer_bench.leaderboard.pages.rank_page import draw_ranks, ranks_section
from fer_bench.leaderboard.pairwise import groups, pairs
from fer_bench.leaderboard.per_class import classes_frame, classes_section
from fer_bench.leaderboard.row import Row
from fer_bench.markdown import markdown_text
from fer_bench.records import Task, atomic_write
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.intervals import BRACKETS
from fer_bench.stats.metric_units import plural, signed, unit
from fer_bench.stats.power import Assumed, describe_power
from fer_bench.suites.selection import EXPLAINED as SELECTIONS
from fer_bench.suites.suite import Suite

ESTIMATORS = (
    f"Values are computed on the predictions of all folds and seeds pooled, n samples of K subjects; {BRACKETS}, which "
    "covers the choice of test subjects and not the training seed; Fold SD: standard deviation of the first column "
    f"over folds and seeds (ddof 1). {GROUPS}"
)

EXPLAINED: dict[Task, str] = {
    "classification": (
        "Percentages. UAR: mean recall over classes. A test set resolves a difference that would be found with "
        f"{Assumed()}."
    ),
    "multilabel": "Percentages.",
    "valence_arousal": (
        "Valence and arousal in [-1, 1]. CCC: Lin's concordance, the higher the better, the mean of that of valence "
        "and that of arousal; pooled, as RMSE and MAE (of errors, the lower the better) are too: both in one list of "
        "twice as many numbers, as in Ig3D's Table 7, in which one constant for valence and another for arousal agree "
        "with the truth to some degree."
    ),
    "disentanglement": (
        "Millimetres, the fewer the better. Neutral: mean distance of the vertices of the "
        "predicted identity from the subject's neutral face (AVDneu); Rebuilt: of the rebuilt face from the scanned "
        "one (Erec), both over meshes. Spread and Scatter: how much the predicted identities of one subject differ "
        "(Edis as the face disentanglement paper and as Jiang et al. define it), the mean over subjects. Identity and "
        "Expression: distance from the true ones, which only a twin knows. Percentages: Rank-1, recognition of a "
        "subject by the predicted identity, and by its code; Who leaks and What leaks, how often a linear probe finds "
        "the subject in the code of the expression, and the expression in the code of the identity."
    ),
}


def to_markdown(name: str, suite: Suite, rows: list[Row]) -> str:
    """The leaderboard as a Markdown page."""
    page = io.StringIO()
    tasks = list(dict.fromkeys(row.task for row in rows))
    explained = [EXPLAINED[task] for task in tasks if task in EXPLAINED]
    page.write(f"# {suite.title or name}\n\n{' '.join([*explained, *_selections(rows), ESTIMATORS])}\n")
    if suite.reference:
        units = " or ".join(dict.fromkeys(unit(task, HEADLINE[task]).difference for task in tasks))
        page.write(
            f"\nAgainst {suite.reference}: the difference of the first column on the same samples, in {units}, with "
            "the interval of a bootstrap that draws the same subjects for both.\n"
        )
    compared = pairs(rows)
    letters = groups(rows, compared)
    families = by_question(rows)
    requested = [protocol for protocol, digest, _ in families if digest]
    for key, members in families.items():
        protocol, digest, data = key
        page.write(f"\n## {protocol}\n\n")
        if digest and requested.count(protocol) > 1:
            others = [other for named, other, _ in families if named == protocol and other not in ("", digest)]
            message = " and ".join(f"`fer-bench protocol diff {digest} {other}`" for other in others)
            page.write(
                f"**Rows of this protocol answer different questions, and stand in tables of their own; {message} "
            )
            page.write("tells in what they differ.** ")
        if digest:
            page.write(f"Protocol digest `{digest}`. Data: {markdown_text(data)}. ")
        if message := suite.shortened(registry.find_protocol(protocol)):
            page.write(f"{message[0].upper()}{message[1:]}. ")
        if sentence := _tested(members):
            page.write(f"{sentence[0].upper()}{sentence[1:]}. ")
        if machines := trained_on(members):
            page.write(f"Trained on {markdown_text(machines)}. ")
        if "twin" in data:
            page.write("**Synthetic faces: these numbers compare methods with one another, not with published ones.**")
        group_of = [letters.get((row.protocol, row.entry), "") for row in members]
        heads = header(members, suite.reference, any(group_of))
        sides = ["---", *["---:"] * (len(heads) - 2), "---"]
        page.write(f"\n\n| {' | '.join(map(markdown_text, heads))} |\n|{'|'.join(sides)}|\n")
        for row, group in zip(members, group_of, strict=True):
            page.write(f"| {' | '.join(markdown_text(text) for text in texts(row, heads, group))} |\n")
        if second := beside(members):
            heads, *lines = second
            page.write("\n")
            for line in [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]:
                page.write(f"| {' | '.join(map(markdown_text, line))} |\n")
        for note in (note for row in members for note in notes(row)):
            page.write(f"\n- {markdown_text(note)}")
        inputs = (markdown_text(f"{row.entry} {row.representation or '-'}") for row in members)
        page.write(f"\n\nInput: {'; '.join(inputs)}\n")
        shown = [pair for pair in compared if (pair.protocol, pair.protocol_digest, pair.provenance) == key]
        parts = pairs_section(shown), ranks_section(name, members), classes_section(members)
        page.writelines(f"\n{part}" for part in parts if part)
    return page.getvalue()


def by_question(rows: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """(protocol, digest, data) -> rows: only results with the same protocol digest and data are ranked together. Rows
    without results are appended to the first group of their protocol."""
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    families: dict[tuple[str, str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (protocols.index(row.protocol), not row.protocol_digest)):
        key = row.comparison_key
        if not row.protocol_digest:
            key = next((other for other in families if other[0] == row.protocol), key)
        families.setdefault(key, []).append(row)
    return families


def _tested(rows: list[Row]) -> str:
    """The test set of complete rows, and the smallest difference that it resolves."""
    row = next((row for row in rows if row.pooled is not None and row.interval is not None), None)
    if row is None or row.pooled is None or row.interval is None:
        return ""
    protocol = registry.find_protocol(row.protocol)
    named = not row.pooled["subject"].equals(row.pooled["id"])
    return describe_power(row.interval.n_clusters, row.n or 0, plural(protocol.unit), row.task, named)


def _selections(rows: list[Row]) -> list[str]:
    """Sentences on how the scored epochs were chosen."""
    used = [rule for rule in SELECTIONS if any(rule in row.selection.split(" and ") for row in rows)]
    message = [f"Selection, which epoch is scored: {'; '.join(SELECTIONS[rule] for rule in used)}."] if used else []
    if "best_on_test" in used:
        message.append(
            "Optimism: the first column minus what it is for the same trainings when their epochs are chosen without "
            "the test samples."
        )
    return message


def notes(row: Row) -> list[str]:
    """Remarks on a row: fusion weights, divided batches, optimism, unsoundness and the reason for a missing value."""
    found = []
    weights = [result.weight for _, result in row.finished if result.weight is not None]
    if weights:
        message = ", ".join(f"{weight:.2f}" for weight in dict.fromkeys(weights))
        found.append(f"{row.entry} gives the first of the two that it fuses a weight of {message}.")
    if halved := sum(result.divided > 1 for _, result in row.finished):
        found.append(
            f"{row.entry}: memory ran out in {halved} of {row.cells} cells, which were trained with half the batch and "
            "the gradients of two added up; what looks at a batch as a whole saw half as many samples."
        )
    if (gap := row.optimism) is not None:
        task_unit = unit(row.task, HEADLINE[row.task])
        epochs = ", ".join(f"{result.selected_epoch} for {result.honest_epoch}" for _, result in row.finished)
        found.append(
            f"{row.entry}: to choose the epochs on the test samples buys {signed(gap, task_unit)} "
            f"{task_unit.difference}; epochs chosen with and without them: {epochs}."
        )
    if row.unsound:
        found.append(f"{row.entry} is unsound: {row.unsound}.")
    if row.reason:
        found.append(f"{row.entry}: {row.reason}")
    return found


def write(name: str, suite: Suite, rows: list[Row], out: Path) -> list[Path]:
    """Write `<out>/<name>.csv` and `.md` and, unless empty, `<name>-pairs.csv`, `<name>-classes.csv` and the
    `<name>-<protocol>-ranks.png` of each protocol; returns the files."""
    tables = {"": to_frame(rows), "-pairs": pairs_frame(pairs(rows)), "-classes": classes_frame(rows)}
    written = []
    for part, table in tables.items():
        path = out / f"{name}{part}.csv"
        if part and not len(table):
            path.unlink(missing_ok=True)  # from an earlier run with more results
            continue
        with atomic_write(path) as file:
            file.write(table.to_csv(index=False, float_format="%.6f").encode())
        written.append(path)
    markdown = out / f"{name}.md"
    with atomic_write(markdown) as file:
        file.write(to_markdown(name, suite, rows).encode())
    return [written[0], markdown, *written[1:], *draw_ranks(name, rows, out)]
