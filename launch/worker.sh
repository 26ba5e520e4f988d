#!/usr/bin/env bash
# Runs a command on a worker of a TPU VM, notes its process, and says how it ended.
#
#   worker.sh PROCESS_FILE COMMAND...
#
# A connection that broke may have left an earlier command running; this one waits for its end.
set -u
process_file="$1"
shift
exec 9> "$process_file.lock"
flock 9
"$@" &
child=$!
echo "$child" > "$process_file"
wait "$child"
code=$?
echo "launch: exit code $code"
exit "$code"
