#!/bin/sh
# One machine of a fleet; runs inside the fleet's namespaces:
#
#   sh machine.sh make <machine> <base> <address>/<bits> <gateway> <disk, megabytes>
#   sh machine.sh run <machine> <control group>
#
# A machine's disk is an overlay over the base, in memory and of its own size; it outlives reboots, and goes with the fleet.
set -u

machine=$2
place=/run/systemd/fleet/$machine

make() {
  base=$1 address=$2 gateway=$3 disk=$4
  set -e
  mkdir -p "$place"
  mount -t tmpfs -o "mode=755,size=${disk}m" "$machine" "$place"
  mkdir "$place/upper" "$place/work" "$place/root"
  mount -t overlay -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" "$machine" "$place/root"
  echo "$machine" >"$place/root/etc/hostname"
  echo "127.0.0.1 localhost $machine" >"$place/root/etc/hosts"
  : >"$place/root/etc/machine-id"

  ip netns add "$machine"
  ip link add "to-$machine" type veth peer name eth0 netns "$machine"
  ip link set "to-$machine" master bridge up
  ip -n "$machine" link set lo up
  ip -n "$machine" address add "$address" dev eth0
  ip -n "$machine" link set eth0 up
  ip -n "$machine" route add default via "$gateway"
}

# Runs until the machine is powered off; it may boot again.
run() {
  # A group of its own in each hierarchy that systemd works with: in a shared one the systemd of one machine would wait for
  # another's processes, and end them.
  for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$1" && echo 0 >"$hierarchy/$1/cgroup.procs" || exit 1
  done
  # The word is for systemd from 256 on, which would not start where the machine outside still has the older control groups.
  while
    systemd-nspawn --quiet --directory="$place/root" --boot --register=no --keep-unit --link-journal=no \
      --network-namespace-path="/run/netns/$machine" --machine="$machine" --resolv-conf=off --timezone=off \
      --console=pipe SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 </dev/null
    # It says so when the machine wants to boot again.
    [ $? = 133 ]
  do :; done
}

action=$1
shift 2
"$action" "$@"
