#!/bin/sh
# Run as the first process of fresh namespaces (mount, pid, cgroup, ipc, uts, net): makes a root that nothing can be
# written to but /tmp, /run, /var and one shared folder of the test, all private, and becomes systemd in it.
# Its units come from the test's folder alone: none of this machine's (systemd-tmpfiles and its like) is there to run.
# inside.sh FOLDER [fresh]     fresh: a root that can be written to, as if it were a machine's own; what is written is in memory,
#                              and gone afterwards. Its own units, in /etc/systemd/system, count too.
set -eu
folder=$1
root=$folder/root
units=/run/shared/units size=16m
mount --make-rprivate /
mkdir -p "$root"
if [ "${2:-}" = fresh ]; then
  units=/run/shared/units:/etc/systemd/system size=256m
  mkdir -p "$folder/over"
  mount -t tmpfs -o mode=755,size=1g private "$folder/over"
  mkdir "$folder/over/upper" "$folder/over/work"
  mount -t overlay -o "lowerdir=/,upperdir=$folder/over/upper,workdir=$folder/over/work" private "$root"
else
  mount --bind / "$root"
  mount -o remount,bind,ro "$root"
fi
for place in tmp run var dev sys; do
  mount -t tmpfs -o mode=755,size=$size private "$root/$place"
done
chmod 1777 "$root/tmp"
mkdir -p "$root/run/lock" "$root/run/shared" "$root/var/tmp" "$root/var/log" "$root/var/lib" "$root/sys/fs/cgroup" "$root/dev/shm" "$root/dev/pts"
ln -s ../run "$root/var/run"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
if [ "${2:-}" = fresh ]; then # what PrivateDevices= of a unit wants to find
  mount -t devpts -o newinstance,ptmxmode=0666 private "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
fi
mount --bind "$folder/shared" "$root/run/shared"
mount -t proc private "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
if [ -e "$root/proc/sysrq-trigger" ]; then mount --bind /dev/null "$root/proc/sysrq-trigger"; fi
mount -t cgroup2 private "$root/sys/fs/cgroup"
cd "$root"
# Nothing of the old root is left to reach.
mkdir run/old
pivot_root . run/old
cd /
umount -l /run/old
# A root that could be written to here would be the machine's own.
if [ "${2:-}" = fresh ]; then
  grep -q ' / / .* - overlay private ' /proc/self/mountinfo || { echo "the root is not one of our own"; exit 1; } >&2
elif touch /usr/bin/written-by-a-test 2>/dev/null || touch /etc/written-by-a-test 2>/dev/null; then
  echo "the root is not read-only" >&2
  exit 1
fi
exec env -i container=private PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$units" SYSTEMD_GENERATOR_PATH=/run/none \
  SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none SYSTEMD_LOG_TARGET=console \
  setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-mknod,-sys_boot,-net_admin,-syslog,-wake_alarm \
  /lib/systemd/systemd --system --unit=test.target --log-level=info --log-target=console --show-status=no
