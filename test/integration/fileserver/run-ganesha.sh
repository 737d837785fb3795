#!/bin/sh
# run-ganesha.sh TREE HOST EXPORT-ROOT RUN-DIR ARGS...: ganesha from TREE, as in its container. Run inside an own mount and
# UTS namespace, into which mounts of the machine propagate. The volume is the only thing of its device in there, as FSAL VFS wants it.
set -eu
tree=$1 host=$2 volume=$3 run=$4
shift 4
hostname "$host"
mount --rbind /proc "$tree/proc"
for folder in "$volume" "$run"; do
  mkdir -p "$tree$folder"
  mount --bind "$folder" "$tree$folder"
done
exec chroot "$tree" ganesha.nfsd "$@"
