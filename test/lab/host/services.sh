#!/bin/sh
# What systemd does on a real host: starts the services and starts them again when they end.
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"
ulimit -c 0

# Processor time is shared as on a real host: what the engine does itself weighs as much as one container, however many
# threads and programs it has. Without groups of their own these would compete with all containers together.
groups=/sys/fs/cgroup
for group in "$groups" "$groups/system.slice"; do
  mkdir -p "$group"
  echo "+cpu +io +memory +pids" >"$group/cgroup.subtree_control"
done

# keep NAME COMMAND...: runs it for ever, as the service NAME; output goes to the lab's folder, where `lab logs` finds it even when the host is down.
keep() {
  name=$1
  shift
  mkdir -p "$groups/system.slice/$name.service"
  echo 0 >"$groups/system.slice/$name.service/cgroup.procs"
  while :; do
    "$@" >>"/lab/log/$name.log" 2>&1
    echo "$(date -u +%FT%T.%NZ) lab: $name ended with code $?, starting it again" >>"/lab/log/$name.log"
    sleep 1
  done
}

keep agent python3 -S -E /lab/src/agent.py "$LAB_MGMT_GUEST" &
keep containerd containerd &
rm -f /var/run/docker.pid
keep engine dockerd --containerd /run/containerd/containerd.sock --cgroup-parent /system.slice -H unix:///var/run/docker.sock \
  -H "tcp://$LAB_MGMT_GUEST:2375" --tls=false &
wait
