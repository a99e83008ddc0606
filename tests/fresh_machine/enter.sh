#!/bin/sh
# Make the folder $1 the root of this process's own mounts, and run the other arguments in it.
set -eu
tree=$1
shift
mount --make-rprivate /
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
# Containers need the control groups below /sys, and devices.
mount --rbind /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
mount -t tmpfs run "$tree/run"
cd "$tree"
# An engine cannot enter a container from within a mere chroot.
pivot_root . mnt
cd /
umount --lazy /mnt
exec "$@"
