#!/bin/sh
# Builds, once, what the lab's hosts and images start from. Runs in a mount namespace of its own.
# $1 folder to fill, $2 folder that keeps the .deb files, $3 Debian suite, the rest: packages of the hosts' tree.
# Leaves in $1: standin.tar (what docker.io has as debian:<suite>-slim) and tree/ (the hosts' root file system).
set -eu
out=$1 debs=$2 suite=$3
shift 3
mirror=http://deb.debian.org
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# This script is the first process of its PID namespace. Standard input ends with the command that started it, however
# that ends; then everything here ends too.
exec 3<&0
{ cat <&3 >/dev/null; kill -9 -1; } &
mount --make-rprivate /
mkdir -p "$out" "$debs"
tree=$out/tree
echo "step: unpacking Debian $suite"
debootstrap --variant=minbase --cache-dir="$debs" "$suite" "$tree" "$mirror/debian" >"$out/debootstrap.log" 2>&1 ||
  { tail -5 "$out/debootstrap.log" >&2; exit 1; }
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/* "$tree/etc/apt/sources.list"
rm -f "$tree/etc/resolv.conf" "$tree/etc/hostname"
mkdir -p "$tree/var/lib/apt/lists/partial" "$tree/var/cache/apt/archives/partial"

cat >"$tree/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $mirror/debian
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $mirror/debian-security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
# What the official images set, so that the Dockerfiles meet the same rules here.
echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
cat >"$tree/etc/dpkg/dpkg.cfg.d/docker" <<EXCLUDES
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
EXCLUDES
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
echo 'APT::Install-Recommends "false";' >"$out/lab.conf"

echo "step: packing the stand-in for debian:$suite-slim"
printf 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n' >"$tree/etc/apt/apt.conf.d/docker-clean"
tar -C "$tree" --numeric-owner --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
  --exclude='./usr/share/info/*' --exclude='./usr/share/locale/*' --exclude='./dev/*' --exclude='./var/log/*' \
  -cf "$out/standin.tar" .
rm "$tree/etc/apt/apt.conf.d/docker-clean"

echo "step: installing the hosts' packages"
mv "$out/lab.conf" "$tree/etc/apt/apt.conf.d/lab"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
mount --bind "$debs" "$tree/var/cache/apt/archives"
mount -t proc proc "$tree/proc"
{
  chroot "$tree" apt-get update
  chroot "$tree" apt-get install -y "$@"
} >"$out/apt.log" 2>&1 || { grep -E '^(E|W|dpkg):' "$out/apt.log" | tail -5 >&2; exit 1; }
umount "$tree/proc" "$tree/var/cache/apt/archives"
# The kernel's NAT exists for the legacy tables only.
chroot "$tree" update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null
chroot "$tree" update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy >/dev/null
ln -sfn /usr/lib/uml/modules "$tree/usr/lib/modules"
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin
mkdir -p "$tree/lab" "$tree/var/lib/docker" "$tree/etc/docker" "$tree/var/lib/vdvs/datastores"
: >"$tree/etc/resolv.conf"
echo "step: done"
