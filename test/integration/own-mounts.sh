#!/bin/sh
# own-mounts.sh FOLDER COMMAND...: runs COMMAND without what other tests have mounted in their temporary folders; FOLDER is this
# one's. Run inside a new mount name space: that has copies of all mounts, and as long as it is there no other test could give
# back a disk that was mounted as it was made.
set -eu
own=$1
shift
others() {
  awk -v all="${TMPDIR:-/tmp}/" -v own="$own/" 'index($5, all) == 1 && index($5 "/", own) != 1 { print $5 }' /proc/self/mountinfo
}
# What is mounted last goes first. One may have gone with another.
for mount in $(others | tac); do umount -l "$mount" 2>/dev/null || true; done
exec "$@"
