"""Running cells as tasks of Slurm: the same cells and the same files as the local launcher's."""
