#!/bin/sh
# First process of a lab host: gives it a root of its own on its disk, its network, its datastores, and starts
# what a Docker host runs. The lower root (hostfs) is read-only and shared by all hosts.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

if [ "${1:-}" != second ]; then
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs dev /dev
  modprobe overlay
  mount -t ext4 -o noatime /dev/ubda /mnt
  # What a host changes in its own root survives a power cut, as on a real one.
  mkdir -p /mnt/root/upper /mnt/root/work /mnt/docker
  mount -t tmpfs tmpfs /tmp
  mkdir /tmp/new
  mount -t overlay -o lowerdir=/,upperdir=/mnt/root/upper,workdir=/mnt/root/work overlay /tmp/new
  cd /tmp/new
  mkdir -p disk lab/lower lab/src var/lib/docker
  mount --move /mnt disk
  mount --bind disk/docker var/lib/docker
  # pivot_root, not chroot: the kernel's own modprobe must look into the new root.
  mount -t hostfs none lab/src -o hostfs=/lab/src
  mount --move /proc proc
  mount --move /sys sys
  mount --move /dev dev
  pivot_root . lab/lower
  exec chroot . /lab/src/init.sh second <dev/console >dev/console 2>&1
fi

mount --make-rshared /
# io_uring's shared rings corrupt the page tables of this kernel under user mode ("Bad page map ... io_uring_mmap"),
# and Node uses it wherever no seccomp profile forbids it, as in managed plugins.
echo 2 >/proc/sys/kernel/io_uring_disabled
umount -l /lab/lower || true
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/lock /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for name in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
  ln -sfn "${name#*:}" "/dev/${name%%:*}"
done

hostname "$LAB_NAME"
echo "$LAB_NAME" >/etc/hostname
echo "nameserver 127.0.0.1" >/etc/resolv.conf
printf '%s' "$LAB_NAME" | md5sum | cut -c1-32 >/etc/machine-id
{
  echo "127.0.0.1 localhost"
  echo "$LAB_HOSTS" | tr ';' '\n' | tr '=' ' '
} >/etc/hosts
ip link set lo up
ip address add "$LAB_MGMT_GUEST/30" dev vec1
ip link set vec1 up
ip address add "$LAB_ADDRESS/24" dev vec0
ip link set vec0 up

for store in default second; do
  mkdir -p "/var/lib/vdvs/datastores/$store"
  # sync: a write that a loop device has completed is in the datastore, not in this host's page cache, so a
  # host that takes the disk over later sees it.
  mount -t hostfs none "/var/lib/vdvs/datastores/$store" -o "sync,hostfs=/lab/datastores/$store"
done
mkdir -p /lab/shared /lab/log
mount -t hostfs none /lab/shared -o hostfs=/lab/shared
mount -t hostfs none /lab/log -o sync,hostfs=/lab/log
# A host with systemd has the loop control node from the start; here it comes with the module.
modprobe loop
exec tini -- /bin/sh /lab/src/services.sh
