"""Pages about methods, datasets and protocols, generated from docstrings, signatures and records: `fer-bench cards`.

Pages are never edited by hand. The same code generates the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path

from fer_bench import registry
from fer_bench.cards.describe import summary
from fer_bench.markdown import anchor
from fer_bench.papers import fidelity
from fer_bench.papers.published import read_paper
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import atomic_write

MADE = "<!-- Made by `make docs` from the code; do not edit. -->"
"""First line of every generated page."""


def write(out: Path) -> list[Path]:
    """Write all pages below a folder, and delete generated pages of removed components; other pages are kept.

    Returns:
        The paths of the generated pages.
    """
    pages = {out / name: content for name, content in made(out)}
    for old in (path for folder in ("methods", "datasets", "fidelity") for path in (out / folder).glob("*.md")):
        if old not in pages and _lines(old)[:1] == [MADE]:
            old.unlink()
    for path, content in pages.items():
        with atomic_write(path) as file:
            file.write(content.encode())
    return list(pages)


def made(out: Path) -> Iterator[tuple[str, str]]:
    """(name, content) of every page; the index also lists the guides in `out`."""
    # Imported here because these modules import every method, which would slow down the command line.
    from fer_bench.cards.dataset_card import dataset_card, protocols_page
    from fer_bench.cards.method_card import method_card

    methods = [name for name in registry.methods() if registry.ships(name)]
    cards = {f"methods/{name}.md": method_card(name) for name in methods}
    cards |= {f"datasets/{name}.md": dataset_card(name) for name in registry.datasets()}
    cards["protocols.md"] = protocols_page()
    cards |= {f"fidelity/{paper}.md": fidelity.page(paper, found) for paper, found in fidelity.read_fidelity().items()}
    yield from ((name, f"{MADE}\n\n{content}") for name, content in cards.items())
    yield "index.md", f"{MADE}\n\n{_index(out, methods)}"


def _index(out: Path, methods: list[str]) -> str:
    guides = {path.name: _heading(path) for path in sorted(out.glob("*.md"))}
    named = [f"- [{title}]({name})" for name, title in guides.items() if title]
    lines = ["# fer_bench: all pages", "", "The front page is the [README](../README.md).", ""]
    if named:
        lines += ["## Guides", "", *named, ""]
    lines += ["## Methods", "", "What `fer-bench list methods NAME` prints, as pages, with sizes and suites.", ""]
    lines += [f"- [`{name}`](methods/{name}.md): {registry.headline('methods', name)}" for name in methods]
    lines += ["", "## Fidelity", "", "Each system against its paper and public code, element by element.", ""]
    for paper, found in fidelity.read_fidelity().items():
        totals = ", ".join(f"{count} {state}" for state, count in found.totals.items() if count)
        lines.append(f"- [{read_paper(paper).notes.title}](fidelity/{paper}.md): {totals}")
    lines += ["", "## Datasets", ""]
    for name in registry.datasets():
        lines.append(f"- [`{name}`](datasets/{name}.md): {registry.card('data', name).partition(chr(10))[0]}")
    lines += ["", "## Protocols", "", f"[All {len(PROTOCOLS)}](protocols.md):", ""]
    lines += [f"- [`{p.id}`](protocols.md#{anchor(p.id)}): {summary(p)}" for p in PROTOCOLS.values()]
    return "\n".join([*lines, ""])


def _heading(path: Path) -> str:
    """The title of a page written by hand; empty for a generated page."""
    lines = _lines(path)
    return "" if MADE in lines[:1] else next((line[2:] for line in lines if line.startswith("# ")), "")


def _lines(path: Path) -> list[str]:
    """The lines of a page; empty for a folder. Invalid UTF-8 is replaced."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
