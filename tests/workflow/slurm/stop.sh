#!/usr/bin/env bash
# Stop what start.sh started in STATE_DIR, by process id, and nothing else.
# usage: stop.sh STATE_DIR
state=${1:?state folder}
pids=$(cat "$state/slurmd.pid" "$state/slurmctld.pid" "$state/munge/munged.pid" 2>/dev/null)
for pid in $pids; do kill "$pid" 2>/dev/null; done
for _ in $(seq 50); do
  alive=0
  for pid in $pids; do
    stat=$(ps -o stat= -p "$pid" 2>/dev/null) && [ "${stat#Z}" = "$stat" ] && alive=1
  done
  [ $alive = 0 ] && break
  sleep 0.2
done
for file in slurm.conf gres.conf; do
  [ "$(readlink /etc/slurm/$file)" = "$state/$file" ] && rm -f "/etc/slurm/$file"
done
exit 0
