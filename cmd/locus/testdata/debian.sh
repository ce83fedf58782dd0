# debian.sh FOLDER: a Debian with systemd in namespaces of its own. Its disk begins as a copy of this machine's, and is gone with
# it; its network is empty. FOLDER/pid has the number of its first process, FOLDER/m is its root.
set -eu
D=$1
cgroups=$(awk '$3 ~ /^cgroup/ { print $2 }' /proc/self/mounts)
for c in $cgroups; do
  [ ! -e "$c/cpuset.cpus" ] || [ -e "$c/cgroup.controllers" ] || continue # takes nobody before it is told which processors
  mkdir -p "$c/$2"
  echo $$ >"$c/$2/cgroup.procs"
done
exec unshare --cgroup --mount --pid --fork --uts --ipc --net --kill-child=KILL sh -eu -c '
D=$1
mount --make-rprivate /
mkdir -p "$D/t" "$D/m"
mount -t tmpfs -o size=1g t "$D/t"
mkdir "$D/t/u" "$D/t/w"
mount -t overlay -o "lowerdir=/,upperdir=$D/t/u,workdir=$D/t/w" overlay "$D/m"
M=$D/m
mount -t proc proc "$M/proc"
mount -t sysfs -o ro sysfs "$M/sys"
if grep -q " /sys/fs/cgroup cgroup2 " /proc/self/mounts; then
  mount -t cgroup2 cgroup2 "$M/sys/fs/cgroup"
else
  mount -t tmpfs cgroups "$M/sys/fs/cgroup"
  mkdir "$M/sys/fs/cgroup/systemd" "$M/sys/fs/cgroup/unified"
  mount -t cgroup -o none,name=systemd,xattr systemd "$M/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$M/sys/fs/cgroup/unified"
fi
mount -t tmpfs -o mode=755 run "$M/run"
mount -t tmpfs -o mode=1777 tmp "$M/tmp"
mount -t tmpfs -o mode=755 dev "$M/dev"
for n in null zero full random urandom tty; do
  : >"$M/dev/$n"
  mount --bind "/dev/$n" "$M/dev/$n"
done
mkdir "$M/dev/pts" "$M/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$M/dev/pts"
ln -s pts/ptmx "$M/dev/ptmx"
mount -t tmpfs -o mode=1777 shm "$M/dev/shm"
ln -s /proc/self/fd "$M/dev/fd"
cd "$M/etc/systemd/system"
# What would reach the kernel that others use, too.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-binfmt.service \
  proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-kernel-config.mount sys-fs-fuse-connections.mount systemd-udevd.service systemd-udev-trigger.service \
  systemd-tmpfiles-setup-dev.service systemd-journal-flush.service; do
  ln -sf /dev/null $unit
done
ln -sf /lib/systemd/system/basic.target default.target
ip link set lo up
mount --make-rshared "$M" # services see what systemd mounts for them, as on a machine
exec chroot "$M" env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=0
' debian "$D"
