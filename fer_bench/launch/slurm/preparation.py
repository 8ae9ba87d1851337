"""Extraction by tasks of Slurm, each a shard of a dataset's samples."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_bench import registry
from fer_bench.launch.planning import Need
from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.launcher import POLL_INTERVAL_S
from fer_bench.launch.slurm.profile import Profile
from fer_bench.launch.slurm.submission import Submissions
from fer_bench.launch.slurm.task import WARNING, ignored
from fer_bench.processes import fork_server
from fer_bench.records import digest
from fer_bench.representations.base import Representation
from fer_bench.representations.cache_entry import default_cache, entry_path
from fer_bench.representations.shards import Shard, extract_shard, merge_shards, missing


@dataclass
class ShardTask:
    """Called in a task. What a task that was stopped has extracted is kept, and it goes on where it was."""

    dataset: str
    root: Path
    cache: Path
    representations: tuple[Representation, ...]
    shard: Shard
    workers: int

    def __call__(self) -> None:
        with ignored(WARNING):  # by the processes that extract
            fork_server(registry.dataset_module(self.dataset))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the processes end before this one
        dataset = registry.load_dataset(self.dataset)
        extract_shard(
            self.cache, dataset.source(self.root), self.representations, dataset.load, self.shard, self.workers
        )

    def checkpoint(self) -> Any:
        """What is to run when the task is queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def extract_on_slurm(
    need: Need,
    profile: Profile,
    shards: int,
    notify: Callable[[str], None],
    follow: bool = True,
    every: float = POLL_INTERVAL_S,
) -> bool:
    """Extract what is not in the cache by tasks, and merge their shards; False when `follow` is off.

    What no task could read, and what those that were cancelled have left, is not in the cache then.
    """
    cache, source = default_cache(), need.source
    wanted = tuple(missing(cache, source, need.representations))
    if not wanted:
        return True
    record = Submissions(cache / f"slurm-{source.dataset}")
    name = digest({"entries": sorted(str(entry_path(cache, source, each)) for each in wanted)})
    with record.locked():
        live = [key for key, place in record.places(queue.ask).items() if key.startswith(f"{name}/") and place.live]
        if not live:
            count = min(shards, len(source.ids))
            tasks = [
                (
                    [f"{name}/shard{number}of{count}"],
                    ShardTask(
                        source.dataset,
                        source.root.resolve(),
                        cache.resolve(),
                        wanted,
                        Shard(number, count),
                        profile.cpus or 1,
                    ),
                )
                for number in range(count)
            ]
            jobs = record.submit(source.dataset, tasks, profile)
            live = [keys[0] for keys, _ in tasks]
            notify(f"{source.dataset}: {count} shards handed to Slurm (job {', '.join(jobs)})")
        else:
            notify(f"{source.dataset}: {len(live)} shards are queued or running in Slurm")
    if not follow:
        return False
    while live:
        with record.locked():
            places = record.places(queue.ask)
        ended = [key for key in live if not places[key].live]
        for key in ended:
            place = places[key]
            notify(f"{source.dataset}: {key.partition('/')[2]} {place.seen.phase} (task {place.task})")
        live = [key for key in live if key not in ended]
        if live:
            time.sleep(every)
    merge_shards(cache, source, wanted, need.dataset.load)
    return True
