"""Where the commands tell what they do."""

from __future__ import annotations

import os

from rich.console import Console


class UnhurriedConsole(Console):
    """A console whose reader may leave, as `head` does: the command goes on without it, and writes what it is to write.

    Rich's own ends the program there: a leaderboard would be told in part and not be written, a run stop.
    """

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # What the stream still holds is flushed at exit, and goes nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


# Where no terminal sets the width, tables are not folded to 80 columns.
console = UnhurriedConsole() if Console().is_terminal else UnhurriedConsole(width=160)
