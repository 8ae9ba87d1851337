"""What a profile may say, and how it is told that it may not."""

from pathlib import Path

import pytest

from fer_bench.errors import InvalidFile
from fer_bench.launch.slurm.profile import Profile, read_profile, seconds

WHOLE = """
partition: gpu
account: faces
constraint: a100|h100
gres: gpu:a100:2
time: 4:00:00
memory: 16G
cpus: 8
pack: 4
jobs: 2
parallel: 20
warning: 300
setup: [module load cuda, export HF_HUB_OFFLINE=1]
options: {qos: high, exclude: node7}
"""


def profile(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    return read_profile(path)


def test_a_profile_is_read(tmp_path: Path) -> None:
    found = profile(tmp_path, WHOLE)
    assert (found.partition, found.account, found.constraint) == ("gpu", "faces", "a100|h100")
    assert (found.minutes, found.memory, found.cpus, found.pack, found.jobs) == (240, "16G", 8, 4, 2)
    assert found.setup == ["module load cuda", "export HF_HUB_OFFLINE=1"]
    assert found.options == {"qos": "high", "exclude": "node7"}


def test_what_is_not_said_is_left_to_the_cluster() -> None:
    silent = Profile()
    assert (silent.pack, silent.minutes, silent.gpus_per_node) == (1, 60, None)


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        (90, 5400),
        ("90", 5400),
        ("90:30", 5430),
        ("4:00:00", 14400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("2-00:00:05", 172805),
        ("soon", 0),
        ("4h", 0),
        (-5, 0),
    ],
)
def test_times_are_those_of_sbatch(time: int | str, wanted: int) -> None:
    assert seconds(time) == wanted


def test_a_time_with_colons_is_no_number_in_base_sixty(tmp_path: Path) -> None:
    assert profile(tmp_path, "time: 4:00:00").minutes == 240
    assert profile(tmp_path, "time: 90").minutes == 90
    assert profile(tmp_path, "time: 10:30").minutes == 11, "rounded up"


@pytest.mark.parametrize(
    ("gres", "wanted"),
    [("gpu", 1), ("gpu:3", 3), ("gpu:a100:2", 2), ("gpu:a100:2(S:0-1)", 2), ("gpu:a:1,gpu:b:2,lustre:4", 3)],
)
def test_gpus_are_counted_in_gres(gres: str, wanted: int) -> None:
    assert Profile(gres=gres).gpus_per_node == wanted
    assert Profile(gres="lustre:1").gpus_per_node is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("partitoin: gpu", "unknown key 'partitoin'. A profile may say partition, account,"),
        ("- gpu", "is not a profile"),
        ("time: [", "is not readable YAML"),
        ("time: 60\ntime: 90", "the key 'time' stands twice"),
        ("time: soon", "time: give minutes, hours:minutes:seconds or days-hours, not 'soon'"),
        ("time: 0", "time: give minutes"),
        ("memory: 16 gigabytes", "memory: give a whole number and K, M, G or T, as in 16G, not '16 gigabytes'"),
        ("pack: 0", "pack: input should be greater than 0, not 0"),
        ("pack: yes", "pack: input should be a valid integer, not True"),
        ("gpus: 1\ngres: gpu:a100:2", "gpus and gres both ask for GPUs; give one of them"),
        ("pack: 2\njobs: 3", "jobs is 3, and a task has 2 cells (pack)"),
        ("time: 2\nwarning: 120", "the warning would come 120 s before the end of a task of 2"),
        ("options: {job-name: bash}", "options: job-name cannot be set, for cells are found by it"),
        ("options: {--ntasks: 4}", "ntasks cannot be set, for a cell's trainer says it"),
        ("options: {mem: 4G}", "mem has a key of its own, memory"),
        ("options: {partition: gpu}", "partition has a key of its own, partition"),
        ("setup: module load cuda", "setup: input should be a valid list"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidFile) as raised:
        profile(tmp_path, text)
    told = str(raised.value)
    assert told.startswith(f"{tmp_path / 'profile.yaml'}: ")
    assert says in told
    assert "\n" not in told


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="No such file"):
        read_profile(tmp_path / "none.yaml")
