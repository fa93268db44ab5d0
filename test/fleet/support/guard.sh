#!/bin/sh
# Holds the namespaces of one fleet for as long as its standard input is open:
#
#   sh guard.sh
#
# Prints the fleet's name, and the process id of its first process as the machine outside knows it.
#
# Mounts, network and process ids of a fleet are its own. Whoever started it may die in any way: the input ends, the first process
# of the namespace ends, and the kernel takes everything else with it. What it cannot take, the control groups, is removed here.
set -u

fleet=vdf-$$

main() {
  sweep
  # shellcheck disable=SC2016 # These are the inner shell's variables.
  unshare --mount --net --pid --fork --kill-child=KILL --propagation private sh -c '
    # Read before the namespace has its own view of processes.
    read -r pid _ </proc/self/stat &&
      mount -t proc proc /proc &&
      mkdir -p /run/netns /run/systemd &&
      mount -t tmpfs -o mode=755 names /run/netns &&
      mount -t tmpfs -o mode=755 supervisors /run/systemd &&
      ip link set lo up &&
      ip link add bridge type bridge &&
      ip link set bridge up &&
      echo "$1 $pid" &&
      exec cat >/dev/null' sh "$fleet"
  status=$?
  remove_groups "$fleet"
  return "$status"
}

# Removes groups of fleets whose guard was killed too: their names hold the guard's process id.
sweep() {
  for group in /sys/fs/cgroup/*/vdf-*; do
    [ -d "$group" ] || continue
    name=${group##*/vdf-}
    kill -0 "${name%%-*}" 2>/dev/null || remove_groups "vdf-${name%%-*}"
  done
}

# What was killed needs a moment to be gone.
remove_groups() {
  tries=50
  while [ "$tries" -gt 0 ]; do
    left=no
    for group in /sys/fs/cgroup/"$1"-* /sys/fs/cgroup/*/"$1"-*; do
      [ -d "$group" ] || continue
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || left=yes
    done
    [ "$left" = yes ] || return 0
    tries=$((tries - 1))
    sleep 0.1
  done
  echo "control groups of $1 are left in /sys/fs/cgroup" >&2
  return 1
}

main
