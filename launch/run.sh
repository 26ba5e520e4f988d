#!/usr/bin/env bash
# One attempt of a member inside of a Slurm job; where the member is to go on, the job goes back into the queue.
#
#   run.sh STOP_FILE COMMAND...
#
# COMMAND is launch.attempt, which ends with 42 then. Somebody who stops the launch makes STOP_FILE.
set -u
stop="$1"
shift
# Slurm tells the tasks of the job itself; this shell has to wait for them.
trap : TERM
"$@"
code=$?
job="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
# A job that is cancelled, or that Slurm has put back by itself, isn't RUNNING any more.
if [ "$code" -eq 42 ] && [ ! -e "$stop" ] && [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ]; then
    scontrol requeue "$job"
fi
exit "$code"
