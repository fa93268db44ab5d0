#!/bin/sh
# Sets up one server for releases, as root, once and whenever Verdigris is upgraded: the program's user, the login that
# deploys, directories, the helper, its policy and its sudo rule. What is as it should be is left alone.
#
# The words that it works with are filled in on the line below. It prints lines `key=value`: `did` or (in a dry run)
# `would` with a command, `note`, `hostKey`; and ends with `ok`, or with `message` and exit status 3.
#
# shellcheck disable=SC2154 # The words are filled in.
# shellcheck disable=SC2015 # Where "and, or" stands, the last is also for when the middle fails.

set -u
export LC_ALL=C
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# @words

policies=/etc/verdigris
rule=/etc/sudoers.d/verdigris-$login
line_end='
'

main() {
  cd / || exit
  [ "$(id -u)" = 0 ] || refuse "this is $(id -un), needs root"
  need_tools
  # Several servers of a machine may be set up at once, and by several people.
  [ -n "$dry" ] || { exec 9>/run/verdigris-setup.lock && flock -w 120 9; } || refuse 'somebody else sets it up, needs to end first'
  tell_host_keys
  make_user
  make_login
  make_directories
  put_helper
  put_policy
  put_rule
  tell_other_rights
  prove
  printf 'ok\n'
}

need_tools() {
  for tool in flock tar sha256sum base64 awk systemctl sudo visudo runuser setsid; do
    command -v "$tool" >/dev/null || refuse "there is no $tool, needs it"
  done
}

# The kinds that SSH prefers first. One that is pinned has to be among them.
tell_host_keys() {
  files=$(sshd -T 2>/dev/null | sed -n 's/^hostkey //p')
  [ -n "$files" ] || files=$(ls /etc/ssh/ssh_host_*_key 2>/dev/null)
  found=''
  for kind in ed25519 ecdsa rsa; do
    for file in $files; do
      case $file in *"$kind"*) ;; *) continue ;; esac
      [ -f "$file.pub" ] || continue
      fingerprint=$(ssh-keygen -lf "$file.pub" | cut -d ' ' -f 2)
      say hostKey "$fingerprint"
      found="$found $fingerprint"
    done
  done
  [ -n "$found" ] || refuse 'its SSH host keys cannot be read, needs their .pub files'
  for pin in ${pinned:-${found##* }}; do
    case "$found " in *" $pin "*) return ;; esac
  done
  refuse "its host keys are$found, and the configuration pins $pinned, needs to be the same machine"
}

make_user() {
  if id "$user" >/dev/null 2>&1; then
    [ "$(id -u "$user")" != 0 ] || refuse "$user is root, needs a user without rights to run the program as"
  else
    run useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$(command -v nologin || echo /bin/false)" "$user"
  fi
  group=$(id -gn "$user" 2>/dev/null) || group=$user
  [ "$group" != root ] || refuse "$user is in the group root, needs a group of its own"
}

make_login() {
  [ "$login" != "$user" ] || refuse "$login is who the program runs as too, needs another login: a program must not release itself"
  if id "$login" >/dev/null 2>&1; then
    [ "$(id -u "$login")" != 0 ] || refuse "$login is root, needs a login without rights to deploy with"
  else
    run useradd --create-home --shell /bin/sh --password '*' "$login"
  fi
  [ -n "$authorized_key" ] || return 0
  home=$(getent passwd "$login" | cut -d : -f 6)
  # Asked and written as the login: what lies in its home may lead anywhere. In a session of its own, here and below: whoever
  # has the terminal of an administrator can type there.
  # shellcheck disable=SC2016 # The inner shell expands it.
  as_login='umask 077; cd && mkdir -p .ssh && { grep -qF "$1" .ssh/authorized_keys 2>/dev/null || printf "restrict,port-forwarding %s\n" "$1" >>.ssh/authorized_keys; }'
  [ -n "$home" ] && setsid -w runuser -u "$login" -- grep -qF "$authorized_key" "$home/.ssh/authorized_keys" 2>/dev/null && return
  run setsid -w runuser -u "$login" -- env HOME="$home" sh -c "$as_login" sh "$authorized_key"
}

make_directories() {
  if [ -e "$directory" ] || [ -L "$directory" ]; then
    take_directory
  else
    run mkdir -p "$directory"
  fi
  [ ! -d "$directory" ] || need_trusted "$directory"
  for there in "$directory/releases" "$directory/.verdigris"; do
    if [ -e "$there" ] || [ -L "$there" ]; then
      others=$(find "$there" ! -user 0 | head -n 1)
      [ -z "$others" ] || refuse "$others does not belong to root, so nobody knows what is in it, needs $there to be moved away"
    else
      run mkdir "$there"
    fi
  done
  if [ ! -e "$directory/shared" ]; then
    run mkdir -m 0750 "$directory/shared"
    run chown "$user:$group" "$directory/shared"
  fi
  relabel "$directory"
}

# What runs there may make files beside itself: it is not taken away without being asked.
take_directory() {
  [ -d "$directory" ] && [ ! -L "$directory" ] || refuse "$directory is no directory, needs one"
  [ -z "$(find "$directory" -maxdepth 0 -user 0 ! -perm -g+w ! -perm -o+w)" ] || return 0
  [ -n "$may_take" ] || refuse "$directory belongs to $(owner_of "$directory"), and the helper works in what only root can change$line_end  what runs there could not make files in it any more: name another one in the configuration (program.directory), or say --take-directory"
  run chown root:root "$directory"
  run chmod go-w "$directory"
}

put_helper() {
  [ -d "${helper%/*}" ] || run mkdir -p "${helper%/*}"
  need_trusted "${helper%/*}"
  helper_text | put "$helper" 0755 || exit 3
}

put_policy() {
  [ -d "$policies" ] || run mkdir "$policies"
  need_trusted "$policies"
  policy=$policies/$unit.policy
  logins=$(sed -n 's/^login=//p' "$policy" 2>/dev/null | grep -vxF "$login")
  {
    printf '# What may be done to %s by the helper. Written by verdigris server setup, which keeps lines that begin with also.\n' "$unit"
    printf 'unit=%s\ndirectory=%s\nuser=%s\ngroup=%s\n' "$unit" "$directory" "$user" "$group"
    for each in $login $logins; do printf 'login=%s\n' "$each"; done
    policy_text
    sed -n '/^also\./p' "$policy" 2>/dev/null
  } | put "$policy" 0644 || exit 3
}

put_rule() {
  rule_text() {
    printf '# Written by verdigris server setup: the helper looks itself at what it is asked for.\n'
    printf 'Defaults!%s env_reset, !setenv, !requiretty\n' "$helper"
    printf '%s ALL=(root) NOPASSWD: %s\n' "$login" "$helper"
  }
  [ -d /etc/sudoers.d ] || refuse 'there is no /etc/sudoers.d, needs sudo to read it'
  # A name with a dot is not read by sudo.
  candidate=$policies/$login.sudoers
  if [ -n "$dry" ]; then
    rule_text | put "$rule" 0440
    return 0
  fi
  rule_text | cmp -s - "$rule" && return
  rule_text | (umask 077 && cat >"$candidate") && chmod 0440 "$candidate" || refuse "$candidate cannot be written"
  complaint=$(visudo -c -f "$candidate" 2>&1) || refuse "visudo finds fault with the rule: $complaint"
  rm -f "$candidate"
  rule_text | put "$rule" 0440 || exit 3
  complaint=$(visudo -c 2>&1) && return
  rm -f "$rule"
  refuse "visudo finds fault with the rules together, so this one was taken back: $complaint"
}

# A rule or a group that gives more makes all of this worthless, be it the login that has it or who runs what is released.
tell_other_rights() {
  tell_rights_of "$login" 'run the helper' "(root) NOPASSWD: $helper"
  tell_rights_of "$user" 'run the program' 'no rule'
}

# What $1, who shall $2, may do beside the rule $3.
tell_rights_of() {
  id "$1" >/dev/null 2>&1 || return 0
  for each in $(id -Gn "$1"); do
    case $each in
      root | sudo | wheel | admin | disk | docker | lxd | libvirt | shadow)
        say note "$1 is in the group $each, which is as good as root; take it out: gpasswd -d $1 $each"
        ;;
    esac
  done
  sudo -n -l -U "$1" 2>/dev/null | sed -n 's/^ *\(([^)]*)\)/\1/p' | grep -vxF "$3" |
    while IFS= read -r line; do say note "sudo lets $1 do more than $2: $line"; done
}

# As the worker will call it, all the way through sudo.
prove() {
  [ -z "$dry" ] || return 0
  answer=$(setsid -w runuser -u "$login" -- sudo -n "$helper" observe "directory=$directory" "unit=$unit" "helper=$(helper_text | sha256sum | cut -c 1-64)" 2>&1 </dev/null)
  [ "$(printf '%s\n' "$answer" | tail -n 1)" = ok ] || refuse "$login cannot use the helper after all: $answer"
}

# --- Doing and telling ----------------------------------------------------------------------------

run() {
  if [ -n "$dry" ]; then
    say would "$*"
    return
  fi
  complaint=$("$@" 2>&1 </dev/null) || refuse "$1: $complaint"
  say did "$*"
}

# Makes the file $1 with mode $2 of what it reads, aside and by one rename, unless it is so already.
put() {
  text=$(
    cat
    printf x
  )
  text=${text%x}
  # Its own mode and owner count as much as what is in it.
  if [ -n "$(find "$1" -maxdepth 0 -type f -user 0 -group 0 -perm "$2" 2>/dev/null)" ] && printf '%s' "$text" | cmp -s - "$1"; then
    return
  fi
  if [ -n "$dry" ]; then
    say would "write $1 (mode $2)"
    [ "$1" = "$helper" ] || printf '%s' "$text" | while IFS= read -r line; do say would "  $line"; done
    return
  fi
  new=${1%/*}/.${1##*/}.new
  rm -f "$new"
  printf '%s' "$text" >"$new" && chown root:root "$new" && chmod "$2" "$new" && mv -f "$new" "$1" || refuse "$1 cannot be written"
  relabel "$1"
  say did "write $1 (mode $2)"
}

relabel() {
  [ -z "$dry" ] && command -v restorecon >/dev/null || return 0
  restorecon -R "$1" 2>/dev/null || say note "$1 could not be labelled"
}

# $1 and every directory on the way to it can be changed by root alone: no link, and no group that has members.
need_trusted() {
  there=$1
  while [ -n "$there" ]; do
    if [ -e "$there" ] || [ -L "$there" ]; then
      [ -d "$there" ] && [ ! -L "$there" ] || refuse "$there is no directory, needs one, not a link to it"
      [ -n "$(find "$there" -maxdepth 0 -user 0 ! -perm -o+w)" ] || refuse "$there belongs to $(owner_of "$there") or can be written by everybody, needs to be root's alone"
      case $(ls -ld "$there") in
        ?????w?????*+*) refuse "$there can be written by those whom its access list names, needs to be root's alone" ;;
      esac
      if [ -n "$(find "$there" -maxdepth 0 -perm -g+w ! -group 0)" ]; then
        members=$(getent group "$(find "$there" -maxdepth 0 -printf %g)" | cut -d : -f 4)
        [ -z "$members" ] || refuse "$there can be written by $members, needs to be root's alone"
      fi
    fi
    there=${there%/*}
  done
}

owner_of() {
  find "$1" -maxdepth 0 -printf %u
}

say() {
  printf '%s=%s\n' "$1" "$(printf '%s\n' "$2" | awk '{ gsub(/\\/, "\\\\"); printf "%s%s", end, $0; end = "\\n" }')"
}

refuse() {
  say message "$1"
  exit 3
}

main
