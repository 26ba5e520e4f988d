"""Where configs run: local processes, Slurm, TPU VMs, GKE; one run, or a sweep of many. docs/launching.md tells how."""
