#!/bin/sh
# build-ganesha-tree.sh TARGET DEBS SUITE IMAGE-FOLDER: a Debian tree with the ganesha that the image has. Run inside own mount and PID namespaces.
set -eu
target=$1 debs=$2 suite=$3 image=$4
mkdir -p "$debs"
debootstrap --variant=minbase --cache-dir="$debs" "$suite" "$target" http://deb.debian.org/debian
echo "deb http://deb.debian.org/debian $suite-backports main" >"$target/etc/apt/sources.list.d/backports.list"
printf '#!/bin/sh\nexit 101\n' >"$target/usr/sbin/policy-rc.d"
chmod +x "$target/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$target/etc/resolv.conf"
mount -t proc proc "$target/proc"
chroot "$target" apt-get -qq update
DEBIAN_FRONTEND=noninteractive chroot "$target" apt-get -qq install -y --no-install-recommends \
  -t "$suite-backports" nfs-ganesha nfs-ganesha-vfs
mkdir -p "$target/run/ganesha"
cp "$image/put-shim" "$image/ganesha-shim.c" "$target/tmp/"
chroot "$target" /tmp/put-shim
ln -sfn /proc/self/mounts "$target/etc/mtab"
umount "$target/proc"
