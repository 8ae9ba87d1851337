"""The console of the commands."""

import os

from rich.console import Console


class UnhurriedConsole(Console):
    """A console whose reader may close it, as `head` does: the command continues, and writes its files.

    Rich's own ends the program there: a leaderboard would be told in part and not be written, a run stop.
    """

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # The stream's buffer is flushed at exit, to the null device.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


# Where no terminal sets the width, tables are not folded to 80 columns.
console = UnhurriedConsole() if Console().is_terminal else UnhurriedConsole(width=160)
