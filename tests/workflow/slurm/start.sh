#!/usr/bin/env bash
# Start a private one-node SLURM in STATE_DIR: loopback only, as root, with a fake GPU (File=/dev/null).
# usage: start.sh STATE_DIR
set -euo pipefail
state=${1:?state folder}
host=$(hostname -s)
install -d -m 0755 "$state" "$state/state" "$state/spool" "$state/munge"
dd if=/dev/urandom of="$state/munge/key" bs=1024 count=1 status=none
chmod 0400 "$state/munge/key"

# NoInAddrAny: listen on loopback only. config_overrides: more CPUs than the machine has. linuxproc, task/none: no
# cgroups, so memory is counted but not enforced. accounting_storage/none: no database, so only squeue knows jobs, and
# MinJobAge keeps finished ones there for a while.
cat > "$state/slurm.conf" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${CTLD_PORT:-16817}
SlurmdPort=${SLURMD_PORT:-16818}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
CredType=cred/munge
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
SwitchType=switch/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
InactiveLimit=0
KillWait=5
JobRequeue=0
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP
C
echo "NodeName=$host Name=gpu Count=1 File=/dev/null" > "$state/gres.conf"

# Snakemake's job step drops SLURM_CONF from the environment, so the configuration must be where SLURM looks.
mkdir -p /etc/slurm
ln -sn "$state/slurm.conf" /etc/slurm/slurm.conf
ln -sn "$state/gres.conf" /etc/slurm/gres.conf
munged --force --key-file="$state/munge/key" --socket="$state/munge/socket" --pid-file="$state/munge/munged.pid" \
  --log-file="$state/munge/munged.log" --seed-file="$state/munge/seed" --num-threads=2
slurmctld -f "$state/slurm.conf" -c
slurmd -f "$state/slurm.conf" -N "$host" -c
for _ in $(seq 100); do
  sinfo -h -o %T 2>/dev/null | grep -q idle && exit 0
  sleep 0.2
done
echo "the node did not become idle:" >&2
tail -n 5 "$state/slurmctld.log" "$state/slurmd.log" >&2
exit 1
