# shellcheck shell=sh
# --- Examination ----------------------------------------------------------------------------------
#
# Part of the helper where it is installed, and where it travels to examine: a command line has no room for everything.
#
# shellcheck disable=SC2154 # The variables are the helper's.

# What a deployment will rest on here. What only root may know is left out by others.
examine() {
  tell_platform
  say processors "$(getconf _NPROCESSORS_ONLN 2>/dev/null || grep -c '^processor' /proc/cpuinfo)"
  say memory "$(awk '/^MemTotal:/ { total = $2 } /^MemAvailable:/ { free = $2 } END { print total, free }' /proc/meminfo)"
  there=$(nearest_directory)
  say disk "$(df -Pk "$there" | awk 'NR == 2 { print $2, $4 }')"
  say filesFree "$(df -Pi "$there" 2>/dev/null | awk 'NR == 2 && $2 > 0 { print $4 }')"
  say seconds "$(date +%s)"
  say systemd "$(systemctl --version 2>/dev/null | awk 'NR == 1 { print $2 }')"
  for tool in flock tar sha256sum base64 awk mktemp cmp systemd-analyze ss; do
    command -v "$tool" >/dev/null || say missingTool "$tool"
  done
  say openFiles "$(systemctl show "$unit" -p LimitNOFILESoft 2>/dev/null | sed 's/^LimitNOFILESoft=//')"
  look_at_unit
  say port "$(holder_of_port)"
  ! command -v getenforce >/dev/null || say selinux "$(getenforce)"
  [ "$(id -u)" = 0 ] || return
  login=${SUDO_USER:-root}
  say login "$login"
  [ "$login" != root ] || return
  say rightsKnown yes
  sudo -n -l -U "$login" 2>/dev/null | sed -n 's/^ *\(([^)]*).*\)/\1/p' | while IFS= read -r right; do say right "$right"; done
  sshd -T -C "user=$login,host=localhost,addr=127.0.0.1" 2>/dev/null | while read -r name value; do
    case $name in allowtcpforwarding | maxstartups) say "sshd.$name" "$value" ;; esac
  done
}

# Who listens on the program's port: `free`, `the unit`, `somebody else`, or `somebody` where only root can tell.
holder_of_port() {
  listening=$(ss -ltnpH "( sport = :$port )" 2>/dev/null)
  [ -n "$listening" ] || { printf 'free' && return; }
  holders=$(printf '%s\n' "$listening" | grep -o 'pid=[0-9]*' | sort -u)
  [ -n "$holders" ] || { printf 'somebody' && return; }
  for holder in $holders; do
    holder=${holder#pid=}
    [ "$holder" = "$unit_pid" ] || grep -qF "/$unit" "/proc/$holder/cgroup" 2>/dev/null || { printf 'somebody else' && return; }
  done
  printf 'the unit'
}
