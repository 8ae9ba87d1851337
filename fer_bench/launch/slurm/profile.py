"""Profiles: the resources that a task requests, as a YAML file of differences from the cluster's defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from fer_bench.errors import InvalidFile
from fer_bench.suites.arguments import first_complaint
from fer_bench.yaml_text import SafeLoader, read_yaml

_FORMS = (  # as sbatch accepts them; groups are (days, hours, minutes, seconds)
    (r"(\d+)", (2,)),
    (r"(\d+):(\d\d?)", (2, 3)),
    (r"(\d+):(\d\d?):(\d\d?)", (1, 2, 3)),
    (r"(\d+)-(\d\d?)", (0, 1)),
    (r"(\d+)-(\d\d?):(\d\d?)", (0, 1, 2)),
    (r"(\d+)-(\d\d?):(\d\d?):(\d\d?)", (0, 1, 2, 3)),
)
_SECONDS = (86400, 3600, 60, 1)

_OURS = {
    "job-name": "cells are found by it",
    "comment": "cells are found by it",
    "array": "cells are what it counts; parallel limits how many run",
    "requeue": "a task that is preempted goes on where it was",
    "no-requeue": "a task that is preempted goes on where it was",
    "open-mode": "a task that is requeued adds to its log",
    "signal": "a task must be warned; warning says when",
    "nodes": "a cell's trainer says it (num_nodes)",
    "ntasks": "a cell's trainer says it (devices, num_nodes)",
    "ntasks-per-node": "a cell's trainer says it (devices)",
    "output": "logs lie with the runs",
    "error": "logs lie with the runs",
    "wrap": "a task runs cells",
    "dependency": "a task would wait for others than its own",
}
"""Options of sbatch that a profile may not set -> why."""

_SPELT = {"mem": "memory", "cpus-per-task": "cpus", "gpus-per-node": "gpus"}
"""Options of sbatch that have another name in a profile."""


class Profile(pydantic.BaseModel):
    """Resources that a task requests; for the others the cluster's defaults apply.

    Attributes:
        partition, account, constraint: As sbatch's.
        gpus: GPUs of each node of a task.
        gres: Other resources, as sbatch's: `gpu:a100:2`. Instead of `gpus`, where the kind matters.
        time: Limit of a task, as sbatch's: minutes, `4:00:00`, `1-12`. Cells may take longer: they go on in the next.
        warning: Seconds before the limit at which Slurm warns the task, which then stops and is queued again.
        memory: Of each node of a task: `16G`.
        cpus: CPU cores of a task, or of each process of a cell that several train.
        pack: Cells in a task.
        jobs: Cells at a time in a task; all of `pack` by default.
        parallel: Tasks of an array that may run at a time.
        setup: Commands of the shell that run in each task before its cells: `module load cuda`.
        options: Further options of sbatch by their long names: `{qos: high, exclude: node7}`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    partition: str | None = None
    account: str | None = None
    constraint: str | None = None
    gpus: pydantic.NonNegativeInt | None = None
    gres: str | None = None
    time: int | str = 60
    warning: int = pydantic.Field(default=120, ge=10)
    memory: str | None = None
    cpus: pydantic.PositiveInt | None = None
    pack: pydantic.PositiveInt = 1
    jobs: pydantic.PositiveInt | None = None
    parallel: pydantic.PositiveInt = 256
    setup: list[str] = []
    options: dict[str, str | int | Literal[True]] = {}

    @pydantic.field_validator("time")
    @classmethod
    def _is_a_time(cls, value: int | str) -> int | str:
        if seconds(value) <= 0:
            raise ValueError("give minutes, hours:minutes:seconds or days-hours")
        return value

    @pydantic.field_validator("memory")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d+[KMGT]", value):
            raise ValueError("give a whole number and K, M, G or T, as in 16G")
        return value

    @pydantic.field_validator("options")
    @classmethod
    def _are_not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            name = key.lstrip("-").replace("_", "-")
            if name in _OURS:
                raise ValueError(f"{name} cannot be set, for {_OURS[name]}")
            if (field := _SPELT.get(name, name)) in cls.model_fields:
                raise ValueError(f"{name} has a key of its own, {field}")
        return value

    @pydantic.model_validator(mode="after")
    def _agrees(self) -> Profile:
        if self.gpus is not None and self.gres and self.gres.startswith("gpu"):
            raise ValueError("gpus and gres both ask for GPUs; give one of them")
        if self.jobs and self.jobs > self.pack:
            raise ValueError(f"jobs is {self.jobs}, and a task has {self.pack} cells (pack)")
        if self.warning >= seconds(self.time):
            raise ValueError(f"the warning would come {self.warning} s before the end of a task of {self.time}")
        return self

    @property
    def minutes(self) -> int:
        """The limit of a task, in minutes, rounded up."""
        return -(-seconds(self.time) // 60)

    @property
    def gpus_per_node(self) -> int | None:
        """How many GPUs a node of a task has; None where the profile does not say."""
        if self.gpus is not None:
            return self.gpus
        # `gpu`, `gpu:2`, `gpu:a100:2`, `gpu:a100:2(S:0-1)`, and others after a comma
        parts = [part.partition("(")[0].split(":") for part in (self.gres or "").split(",") if part.startswith("gpu")]
        return sum(int(part[-1]) if part[-1].isdecimal() else 1 for part in parts) if parts else None


def seconds(time: int | str) -> int:
    """A time as sbatch takes it, in seconds; 0 where it is none."""
    for form, places in _FORMS:
        if match := re.fullmatch(form, str(time)):
            return sum(int(text) * _SECONDS[place] for text, place in zip(match.groups(), places, strict=True))
    return 0


def read_profile(path: Path) -> Profile:
    """Read and check a profile.

    Raises:
        InvalidFile: the file is not readable YAML, or says something that no profile can.
    """
    remedy = f"A profile may say {', '.join(Profile.model_fields)}."
    try:
        content = read_yaml(path.read_text(encoding="utf-8"), _ProfileLoader)
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})", "Name a profile that is there.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(path, f"is not readable YAML ({' '.join(str(error).split())})", remedy) from None
    if not isinstance(content, dict):
        raise InvalidFile(path, "is not a profile, which maps keys to values", remedy)
    for key in content:
        if key not in Profile.model_fields:
            raise InvalidFile(path, f"unknown key {key!r}", remedy)
    try:
        return Profile.model_validate(content)
    except pydantic.ValidationError as error:
        raise InvalidFile(path, first_complaint(error), remedy) from None


class _ProfileLoader(SafeLoader):
    """YAML 1.1 takes 4:00:00 for 14400, a number in base 60, which would be read as minutes."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        return text if ":" in text else super().construct_yaml_int(node)


_ProfileLoader.add_constructor("tag:yaml.org,2002:int", _ProfileLoader.construct_yaml_int)
