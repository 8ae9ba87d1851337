import os

from fer_bench.terminal import UnhurriedConsole


def test_a_reader_that_leaves_does_not_end_the_command() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as file:
        console = UnhurriedConsole(file=file)
        console.print("a table that nobody reads")
        console.print("and a line more")
        file.write("what is flushed at exit")
    assert console.quiet
