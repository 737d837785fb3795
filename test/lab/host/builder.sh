#!/bin/sh
# The engine that prepares the hosts' disk, run natively on that disk. Runs as PID 1 of a PID namespace and in a
# mount namespace of its own; ends, and takes every mount with it, when standard input is closed.
# $1 tree, $2 disk image, $3 folder for the socket and the log, $4 cgroup parent.
set -eu
tree=$1 disk=$2 door=$3 cgroup=$4
root=$door/root
mkdir -p "$root"
mount --make-rprivate /
mount --bind "$tree" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for place in run tmp lab etc/docker; do
  [ -d "$root/$place" ] && mount -t tmpfs tmpfs "$root/$place"
done
mkdir "$root/lab/old" "$root/lab/door" "$root/lab/disk"
mount --bind "$door" "$root/lab/door"
mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
mount -o loop,noatime "$disk" "$root/lab/disk"
mkdir -p "$root/lab/disk/docker"
mount --bind "$root/lab/disk/docker" "$root/var/lib/docker"
cd "$root"
pivot_root . lab/old
umount -l /lab/old
cd /
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
dockerd -H unix:///lab/door/docker.sock --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
  --bridge=none --cgroup-parent="$cgroup" --storage-driver=overlay2 --exec-opt native.cgroupdriver=cgroupfs \
  </dev/null >/lab/door/dockerd.log 2>&1 &
engine=$!
cat >/dev/null
kill "$engine"
wait "$engine" || true
cd /
# Blocks of deleted layers become holes again, so that the copy for the hosts does not grow with every build.
fstrim /lab/disk || true
umount /var/lib/docker
umount /lab/disk
