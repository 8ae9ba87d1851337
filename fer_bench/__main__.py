"""The command `fer-bench`, which is also `python -m fer_bench`."""

import atexit
import os
import sys

from fer_bench.cli.main import main


def script() -> None:
    """`main` as all that a process does.

    Once everybody who wants to be asked at exit was asked, the process is gone. Python would take down one by one the
    million objects that torch and its friends consist of, for more than a second.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])

    atexit.register(leave)  # the first that is registered is the last that is asked
    try:
        main()
        codes.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            codes.append(end.code or 0)
        raise


if __name__ == "__main__":
    script()
