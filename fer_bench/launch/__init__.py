"""Planning the cells of a suite, and running them on this machine or on Slurm."""
