#!/bin/sh
# What systemd does on a real host: starts the services and starts them again when they end.
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"
ulimit -c 0

# keep NAME COMMAND...: runs it for ever; output goes to the lab's folder, where `lab logs` finds it even when the host is down.
keep() {
  name=$1
  shift
  while :; do
    "$@" >>"/lab/log/$name.log" 2>&1
    echo "$(date -u +%FT%T.%NZ) lab: $name ended with code $?, starting it again" >>"/lab/log/$name.log"
    sleep 1
  done
}

keep agent python3 -S -E /lab/src/agent.py "$LAB_MGMT_GUEST" &
keep containerd containerd &
rm -f /var/run/docker.pid
keep engine dockerd --containerd /run/containerd/containerd.sock -H unix:///var/run/docker.sock \
  -H "tcp://$LAB_MGMT_GUEST:2375" --tls=false &
wait
