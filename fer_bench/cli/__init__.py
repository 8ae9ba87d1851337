"""The command line: parses arguments and calls `fer_bench.commands`."""
