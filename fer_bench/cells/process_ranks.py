"""Whether the processes that Slurm has started are those that a cell is trained by."""

import os
from collections.abc import Mapping, MutableMapping

from fer_bench.errors import FerBenchError

INTERACTIVE = ("bash", "interactive")
"""Names of jobs that Lightning takes for an interactive shell: it then ignores Slurm, and every process believes
that it is the first and only one."""


def rank(environment: Mapping[str, str] = os.environ) -> int:
    """Which of the processes that train a cell together this one is, from 0."""
    if "SLURM_NTASKS" in environment:
        return int(environment.get("SLURM_PROCID", "0"))
    return int(environment.get("LOCAL_RANK", "0"))  # set by Lightning for those that it starts itself


def forget_tasks(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make this process one that trains alone, or starts others itself, inside any Slurm job: Lightning
    would take the job's tasks for those that train the cell."""
    for name in ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"):
        environment.pop(name, None)


def check_ranks(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Raise `FerBenchError` when a cell cannot be trained by the processes that are here.

    Args:
        devices, nodes: The trainer's `devices` and `num_nodes`.
        environment: With the variables that srun sets for each of its tasks.
    """
    if "SLURM_NTASKS" not in environment:
        if nodes > 1:
            raise FerBenchError(
                f"trainer.num_nodes is {nodes}, and nothing starts processes on other nodes; run with --launcher slurm."
            )
        return
    tasks = int(environment["SLURM_NTASKS"])
    requested = f"the trainer asks for {devices} on each of {nodes} (devices, num_nodes)"
    if (name := environment.get("SLURM_JOB_NAME")) in INTERACTIVE:
        raise FerBenchError(
            f"the Slurm job is named {name!r}, which Lightning takes for a terminal: each of its {tasks} processes "
            "would train as if it were the first; give the job another name."
        )
    here = int(environment.get("SLURM_NNODES") or environment.get("SLURM_JOB_NUM_NODES") or 1)
    if here != nodes:
        raise FerBenchError(f"Slurm gave {here} nodes for {tasks} processes, and {requested}.")
    if tasks != devices * nodes:
        raise FerBenchError(f"Slurm started {tasks} processes on {here} nodes (ntasks), and {requested}.")
    per_node = environment.get("SLURM_NTASKS_PER_NODE", str(devices))
    if int(per_node) != devices:
        raise FerBenchError(f"Slurm started {per_node} processes a node (ntasks-per-node), and {requested}.")
