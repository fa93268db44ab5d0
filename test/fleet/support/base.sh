#!/bin/sh
# Makes what every machine of a fleet begins as, in a directory that is not there yet: what a plain server has, with the user
# that deploys.
#
#   sh base.sh <directory> [bookworm | bullseye | trixie | jammy | noble]
#
set -eu

base=$1 suite=${2:-bookworm}
packages=systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,sudo,iproute2,procps,python3

main() {
  case $suite in
    jammy | noble) bootstrap_ubuntu ;;
    bookworm) bootstrap "$packages" ;;
    # Others are what the helper is tried on, under each of its shells.
    *) bootstrap "$packages,busybox" ;;
  esac
  rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
  open_to_tests
  keep_quiet
}

# From where this machine has its own packages, if it is of the same kind.
bootstrap() {
  # shellcheck disable=SC2016 # These are apt's variables.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -n 1)
  debootstrap --variant=minbase --include="$1" "$suite" "$base" ${mirror:+"$mirror"}
}

# Debian does not have their keys. The package that does is known by its digest.
bootstrap_ubuntu() {
  mirror=http://archive.ubuntu.com/ubuntu
  keys=$(mktemp -d)
  python3 - "$mirror/pool/main/u/ubuntu-keyring/ubuntu-keyring_2021.03.26_all.deb" "$keys/keyring.deb" <<'FETCH'
import sys, urllib.request
urllib.request.urlretrieve(*sys.argv[1:])
FETCH
  echo "0d0e7ed6b112f5d03eabf3c7eb01ebdacf9c57714b279e90495cfc58c8c4520f  $keys/keyring.deb" | sha256sum -c
  dpkg-deb -x "$keys/keyring.deb" "$keys"
  # Of a script that this version of debootstrap may not have, all suites share one.
  script=/usr/share/debootstrap/scripts/gutsy
  debootstrap --variant=minbase --keyring="$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" \
    --components=main,universe --include="$packages,busybox" "$suite" "$base" "$mirror" "$script"
  rm -rf "$keys"
}

open_to_tests() {
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
}

# Nobody looks at a console, and nothing may start by itself in the middle of a test.
keep_quiet() {
  for unit in console-getty.service getty.target systemd-networkd.service systemd-timesyncd.service apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "$base/etc/systemd/system/$unit"
  done
}

main
