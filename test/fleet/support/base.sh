#!/bin/sh
# Makes what every machine of a fleet begins as, in a directory that is not there yet: what a plain Debian server has, with the
# user that deploys.
#
#   sh base.sh <directory>
#
set -eu

base=$1
packages=systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,sudo,iproute2,procps,python3

# From where this machine has its own packages, if it is of the same kind.
# shellcheck disable=SC2016 # These are apt's variables.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -n 1)
debootstrap --variant=minbase --include="$packages" bookworm "$base" ${mirror:+"$mirror"}
rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*

# Each machine has its own.
rm -f "$base"/etc/ssh/ssh_host_* "$base/var/lib/dbus/machine-id"
: >"$base/etc/machine-id"

# One line per session and command, so that they can be counted.
echo 'LogLevel VERBOSE' >"$base/etc/ssh/sshd_config.d/fleet.conf"

chroot "$base" useradd --create-home --shell /bin/sh --uid 1000 deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >"$base/etc/sudoers.d/deploy"
chmod 440 "$base/etc/sudoers.d/deploy"
mkdir -m 700 "$base/home/deploy/.ssh"
chown 1000:1000 "$base/home/deploy/.ssh"

# Nobody looks at a console, and nothing may start by itself in the middle of a test.
for unit in console-getty.service getty.target systemd-networkd.service systemd-timesyncd.service apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer; do
  ln -sf /dev/null "$base/etc/systemd/system/$unit"
done
