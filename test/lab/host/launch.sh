#!/bin/sh
# Becomes one lab host. Runs as PID 1 of the host's own PID namespace, in the lab's network namespace and in a
# mount namespace of its own: killing this process is the power cut, and every mount below goes away with it.
# Environment: LAB_NAME LAB_TREE LAB_BASE LAB_HOST_DIR LAB_SRC LAB_SOCKETS LAB_DATASTORES LAB_SHARED LAB_LOG LAB_MEM
# LAB_TAP LAB_MGMT_TAP LAB_MAC LAB_MGMT_MAC LAB_ADDRESS LAB_MGMT_GUEST LAB_HOSTS
set -eu

root=$LAB_HOST_DIR/root
mkdir -p "$root"
mount --make-rprivate /
mount --bind "$LAB_TREE" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 lab "$root/lab"
mkdir "$root/lab/mem" "$root/lab/old"
# The memory of the host is a file; on a tmpfs of this namespace it costs no disk and cannot be left behind.
# In large pages where the kernel has them: the first touch of a page is the slowest thing that a host does.
mount -t tmpfs -o size=16g,huge=always lab-memory "$root/lab/mem" 2>/dev/null ||
  mount -t tmpfs -o size=16g lab-memory "$root/lab/mem"
for pair in "src $LAB_SRC" "host $LAB_HOST_DIR" "sockets $LAB_SOCKETS" "datastores $LAB_DATASTORES" \
  "shared $LAB_SHARED" "log $LAB_LOG"; do
  mkdir "$root/lab/${pair%% *}"
  mount --bind "${pair#* }" "$root/lab/${pair%% *}"
done
: >"$root/lab/base.img"
mount --bind "$LAB_BASE" "$root/lab/base.img"

cd "$root"
pivot_root . lab/old
umount -l /lab/old
cd /

export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/lab/mem HOME=/root
# Doors into the host for the lab's own use: plain sockets here, the management wire behind them. They live and
# die with the host, so a client of a killed host sees its connection end at once.
for door in agent:1 docker:2375; do
  socket=/lab/sockets/$LAB_NAME.${door%:*}
  rm -f "$socket"
  socat -t 86400 "UNIX-LISTEN:$socket,fork,backlog=128" "TCP:$LAB_MGMT_GUEST:${door#*:},connect-timeout=5" 2>/dev/null &
done

{
  # The number of this subshell, whose place the kernel takes; `$$` would be its parent's.
  kernel=$(exec sh -c 'echo "$PPID"')
  perl /lab/src/tick.pl "$kernel" >/dev/null &
  exec linux.uml "mem=$LAB_MEM" rootfstype=hostfs rootflags=/ rw init=/lab/src/init.sh \
    "umid=$LAB_NAME" "uml_dir=/lab/host/uml/" \
    "ubda=/lab/host/disk.cow,/lab/base.img" \
    "vec0:transport=tap,ifname=$LAB_TAP,depth=128,gro=1,mac=$LAB_MAC" \
    "vec1:transport=tap,ifname=$LAB_MGMT_TAP,depth=128,gro=1,mac=$LAB_MGMT_MAC" \
    con=null con0=null,fd:1 con1=null ssl=null quiet random.trust_cpu=on \
    "LAB_NAME=$LAB_NAME" "LAB_ADDRESS=$LAB_ADDRESS" "LAB_MGMT_GUEST=$LAB_MGMT_GUEST" "LAB_HOSTS=$LAB_HOSTS" \
    </dev/null
} 2>&1 | { head -c 20000000 >>/lab/log/console.log; cat >/dev/null; }
