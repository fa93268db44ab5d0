#!/bin/sh
# Changes one server, one whole step per call:
#
#   sh helper.sh <command> directory=/srv/greeter unit=greeter.service [name=value ...]
#
# It prints lines `key=value` (a backslash is `\\`, a line end `\n`) and ends with `ok`, or with
# `error=<name of the failure>` and `message=<what is the case, what is needed>` and exit status 3.
# Without either it was killed; every command may then be given again.
#
#   <directory>/releases/<id>/      what the artifact holds, and .verdigris/ about it
#   <directory>/current             link to the active release; the unit's drop-in leads through it
#   <directory>/shared/             what outlives releases
#   <directory>/.verdigris/         token, lock, journal, change, reserve, incoming/, failed/, unfit/
#
# Runs under dash, bash and busybox. Changes are made under the lock, with the fencing token looked at
# again just before each rename, stop and start; nothing waits for the network or for people under it.
#
# shellcheck disable=SC2317 # What is done under the lock is called by name, through `locked`.

set -u
export LC_ALL=C
umask 022
# Where it is installed (`verdigris server setup`) these are set on the line below, and a policy rules what it may do.
# Where it travels with each command, whoever sent it rules.
# shellcheck disable=SC2034
installed_at='' policies=''
unit_directory=${VERDIGRIS_UNIT_DIRECTORY:-/etc/systemd/system}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# @installed
# Whoever asked may hang up at any moment. A change that was begun is seen through all the same.
trap '' PIPE HUP

base_mark='# Written by Verdigris'
line_end='
'

main() {
  [ $# -gt 0 ] || fail CommandFailed 'no command was given'
  command=$1
  shift
  [ -z "$installed_at" ] || prove_version "$@"
  read_words "$@"
  [ -z "$installed_at" ] || obey_policy
  case $command in
    observe) observe ;;
    examine) examine ;;
    install) install_release ;;
    activate) activate ;;
    restore) restore ;;
    drain) drain ;;
    stop) stop ;;
    remove) remove ;;
    mark-unfit) mark_unfit ;;
    mark-fit) mark_fit ;;
    adopt) adopt ;;
    watch) watch ;;
    last-words) last_words ;;
    *) fail CommandFailed "the helper has no command \"$command\"" ;;
  esac
  say_ok
}

# --- Commands -------------------------------------------------------------------------------------

observe() {
  look_at_unit
  find_active
  say unit.state "$unit_state_word"
  say unit.subState "$unit_sub"
  say unit.pid "$unit_pid"
  say unit.startedAtUs "$unit_started"
  say unit.restarts "$unit_restarts"
  say unit.result "$unit_result"
  say unit.needsDaemonReload "$unit_reload"
  say unit.coreDumps "$(core_dumps)"
  say runningProgram "$(digest_of_running)"
  say activeRelease "$active"
  say previousRelease "$previous"
  for number_and_id in $(installed_releases); do say installed "${number_and_id#*/}"; done
  for file in "$state"/unfit/*; do
    [ -f "$file" ] && say unfit "${file##*/} $(date -u -r "$file" +%Y-%m-%dT%H:%M:%SZ) $(cat "$file")"
  done
  if is_foreign; then say foreign yes; else say foreign no; fi
  say connections "$(connections | grep -c '')"
  say freeKilobytes "$(free_kilobytes)"
  say freeInodes "$(free_inodes)"
  read_token
  say token "$seen"
  tell_platform
}

install_release() {
  need_release
  be_gentle
  make_directories
  locked open_incoming
  if is_installed "$release"; then
    say have yes
    receive_unit
    renew_settings
    # One that was cut off may have left more than are kept.
    locked commit_retention
    return
  fi
  need_free_kilobytes "$needs_kilobytes"
  need_free_inodes "$needs_inodes"
  set_room_aside
  say have no

  tree=$incoming/tree
  receive_unit
  receive_files
  receive_artifact "$incoming/artifact.tar.gz"
  must mkdir "$tree"
  must bounded tar -xz --no-same-owner --no-same-permissions -f "$incoming/artifact.tar.gz" -C "$tree"
  rm -rf "$tree/.verdigris" "$incoming/artifact.tar.gz"
  must chmod -R u+rwX,go-w,u-s,g-s "$tree"
  # Whoever packs the directory that mktemp made packs that only they may enter it.
  must chmod 755 "$tree"
  refuse_strange_files "$tree"
  if [ ! -f "$tree/$executable" ] || [ ! -x "$tree/$executable" ]; then
    fail CommandFailed "the artifact has no executable file \"$executable\""
  fi
  describe_release "$tree" "$artifact" "$executable $(digest_of "$tree/$executable")"
  unpack_settings "$tree/.verdigris/unit.conf"
  place_files "$tree"
  locked commit_shared "$tree/.verdigris/unit.conf"
  check_unit "$tree" "$tree/.verdigris/unit.conf"
  check_libraries "$tree" "$tree/.verdigris/unit.conf"
  sync_tree "$tree"
  locked commit_install
}

# The same artifact may have been installed with other settings, for example another port.
renew_settings() {
  unpack_settings "$incoming/unit.conf"
  locked commit_shared "$incoming/unit.conf"
  cmp -s "$incoming/unit.conf" "$releases/$release/.verdigris/unit.conf" && return
  check_unit "$releases/$release" "$incoming/unit.conf"
  check_libraries "$releases/$release" "$incoming/unit.conf"
  locked commit_settings
}

activate() {
  need_release
  locked fence
  is_installed "$release" || fail CommandFailed "\"$release\" is not installed"
  look_at_unit
  find_active
  refuse_foreign
  cut=0 waited_ms=0
  is_as_asked "$release" && return
  await_quiet
  [ "$cut" -eq 0 ] || [ "$lingering" = cut ] || fail ConnectionsLinger \
    "$cut connections linger on port $port after $waited_ms ms, needs none"
  replaced=$active
  [ "$active" = "$release" ] && replaced=
  locked commit_switch "$release"
  say_drained
}

restore() {
  make_room
  locked fence
  look_at_unit
  find_active
  cut=0 waited_ms=0
  if ! is_as_asked "$release"; then
    if [ "$release" != nothing ]; then
      need_release
      is_installed "$release" || fail CommandFailed "\"$release\" is not installed"
    fi
    refuse_foreign
    await_quiet
    replaced=
    locked commit_switch "$release"
  fi
  say_drained
}

drain() {
  look_at_unit
  await_drain
  say_drained
}

stop() {
  make_room
  locked commit_stop
  say killed "$killed"
}

remove() {
  need_release
  # Where nothing can be written, nothing was unpacked either, unless it is there.
  [ -w "$(nearest_directory)" ] || [ -e "$releases/$release" ] || return 0
  make_room
  # Before it is known whether there is anything to do: one that was cut off leaves the release in there.
  locked open_incoming
  locked commit_remove
}

mark_unfit() {
  need_release
  make_room
  locked commit_unfit
}

mark_fit() {
  need_release
  locked commit_fit
}

adopt() {
  locked fence
  look_at_unit
  find_active
  if ! is_foreign; then
    # One that was cut off may have left systemd without the news.
    [ "$unit_reload" != yes ] || must systemctl daemon-reload
    locked open_incoming
    say release "${active:-nothing}"
    return
  fi
  if [ -z "$active" ] && { [ -e "$current" ] || [ -L "$current" ]; }; then
    fail CommandFailed "$current is there and belongs to something else, needs that name for its own link"
  fi
  [ "$unit_pid" -gt 0 ] ||
    fail CommandFailed "$unit does not run anything (it is $unit_state), needs a running program to name the release by"
  digest=$(digest_of_running)
  [ -n "$digest" ] || fail CommandFailed "/proc/$unit_pid/exe cannot be read, needs root"
  program=$(readlink "/proc/$unit_pid/exe")
  # It is told in the unit's settings: a program may have chosen its own name.
  case $program in *[!A-Za-z0-9._@+/-]*) program='a program with a strange name' ;; esac
  settings=$(printf '%s\n' "$unit_fragment" "$unit_drop_ins" | tr ' ' '\n' | grep -vxF "$drop_in" | while IFS= read -r file; do
    [ -n "$file" ] && cat "$file"
  done | sha256sum)
  release=$(first 12 "$digest")-$(first 8 "$settings")
  make_directories
  locked open_incoming
  locked commit_adopt
  say release "$release"
}

# One line per look until nobody reads them. systemd and the journal are asked once a second at most: between, /proc tells
# whether the same process still runs the same program.
watch() {
  image='' asked_ms=0 program='' program_image='' dumps=''
  while :; do
    now_ms=$(uptime_ms)
    seen_image=$image
    look_at_image
    if [ -z "$image" ] || [ "$image" != "$seen_image" ] || [ $((now_ms - asked_ms)) -ge 1000 ]; then
      asked_ms=$now_ms
      look_at_unit
      look_at_image
      if [ -z "$image" ] || [ "$image" != "$program_image" ]; then program=$(digest_of_running) program_image=$image; fi
      dumps=$(core_dumps)
    fi
    look_at_holdings
    say look "$unit_state_word $unit_sub $unit_pid $unit_started $unit_restarts $descriptors $descriptor_limit $resident_kb $memory_kb ${program:--} ${dumps:--}" || exit 0
    pause_ms "$every_ms"
  done
}

last_words() {
  journal_lines "$lines" | while IFS= read -r line; do say line "$line"; done
}

# --- What is done under the lock ------------------------------------------------------------------

commit_install() {
  fence
  if ! is_installed "$release"; then
    # What is there without its mark is what a removal left that was cut off.
    [ ! -e "$releases/$release" ] || must mv "$releases/$release" "$incoming/unfinished"
    number_release "$tree"
    note_in_journal "installs $release"
    guard
    must mv "$tree" "$releases/$release"
    sync_path "$releases"
  fi
  find_active
  remove_beyond "$keep"
}

# State that outlives releases. Each is whole when it gets its name; what is there already stays as it is.
commit_shared() {
  guard
  for path in $(printf '%s' "$shared" | tr ',' ' '); do
    expr "x$path" : 'x[A-Za-z0-9_][A-Za-z0-9._-]*$' >/dev/null || fail CommandFailed "\"$path\" cannot be a directory of shared/"
    [ ! -e "$directory/shared/$path" ] || continue
    note_in_journal "makes shared/$path"
    if [ -n "$installed_at" ] && [ "$(id -u)" = 0 ]; then
      # All of shared/ is the program's there: what it puts there may lead whoever is root anywhere.
      must runuser -u "$policy_user" -- mkdir -m 750 "$directory/shared/$path"
      continue
    fi
    rm -rf "$incoming/shared"
    must mkdir -m 750 "$incoming/shared"
    give_to_program "$1" "$incoming/shared"
    must mv "$incoming/shared" "$directory/shared/$path"
  done
}

commit_retention() {
  fence
  find_active
  remove_beyond "$keep"
}

commit_settings() {
  fence
  find_active
  # What runs was started with the old settings: activating it has to start it again.
  [ "$active" != "$release" ] || mark_change "renewing $release"
  note_in_journal "renews the settings of $release"
  guard
  sync_path "$incoming/unit.conf"
  must mv -f "$incoming/unit.conf" "$releases/$release/.verdigris/unit.conf"
}

# Stops what runs, one rename, starts $1. `nothing` leaves nothing of ours behind.
commit_switch() {
  guard
  spare_neighbours
  outgoing=$active
  if [ "$1" != nothing ]; then
    prepare_unit
    remember_replaced "$1"
  fi
  mark_change "stopping $1"
  note_in_journal "stops ${outgoing:-nothing of ours}, activates $1"
  guard
  stop_unit
  [ -z "$outgoing" ] || [ "$outgoing" = "$1" ] || keep_last_words "$outgoing"
  guard
  if [ "$1" = nothing ]; then
    rm -f "$current"
    forget_unit
    rm -f "$state/change"
    return
  fi
  relabel "$releases/$1"
  point_current_to "$1"
  # Without a daemon-reload of its own: that one costs more than all the rest.
  if is_base_ours; then systemctl enable --no-reload "$unit" >/dev/null 2>&1 || say note "$unit could not be enabled"; fi
  must systemctl daemon-reload
  # From here on whatever runs under the unit is the new release, whoever started it.
  mark_change "starting $1"
  note_in_journal "starts $1"
  guard
  start_unit "$1"
  rm -f "$state/change"
}

commit_stop() {
  fence
  look_at_unit
  find_active
  refuse_foreign
  runs || return 0
  note_in_journal "stops ${active:-nothing of ours}"
  guard
  stop_unit
}

commit_remove() {
  guard
  find_active
  [ "$active" != "$release" ] || fail CommandFailed 'it is the active release'
  [ -d "$releases/$release" ] || return 0
  evidence=$incoming/evidence
  must mkdir -p "$evidence" "$state/failed"
  for file in "$releases/$release/.verdigris"/*; do
    [ -f "$file" ] && must cp -p "$file" "$evidence/"
  done
  printf '%s\n' "$because" >"$evidence/reason" || fail_writing "$evidence/reason"
  rm -rf "$state/failed/$release"
  must mv "$evidence" "$state/failed/$release"
  note_in_journal "removes $release: $because"
  guard
  must mv "$releases/$release" "$incoming/removed"
}

# The file's own time tells since when, so the same told twice leaves it as it is.
commit_unfit() {
  fence
  must mkdir -p "$state/unfit"
  printf '%s\n' "$because" >"$state/unfit.new" || fail_writing "$state/unfit.new"
  if cmp -s "$state/unfit.new" "$state/unfit/$release"; then
    rm -f "$state/unfit.new"
    return
  fi
  sync_path "$state/unfit.new"
  note_in_journal "marks $release unfit: ${because%%"$line_end"*}"
  guard
  must mv -f "$state/unfit.new" "$state/unfit/$release"
}

commit_fit() {
  fence
  [ -f "$state/unfit/$release" ] || return 0
  note_in_journal "marks $release fit"
  guard
  must rm -f "$state/unfit/$release"
}

commit_adopt() {
  guard
  spare_neighbours
  if ! is_installed "$release"; then
    tree=$incoming/adopted
    must mkdir "$tree"
    describe_release "$tree" adopted "$program $digest"
    # Nothing is set here: the unit goes on as it was, with the files it had.
    printf '# Adopted: %s runs %s as before.\n' "$unit" "$program" >"$tree/.verdigris/unit.conf" ||
      fail_writing "$tree/.verdigris/unit.conf"
    number_release "$tree"
    sync_tree "$tree"
    [ ! -e "$releases/$release" ] || must mv "$releases/$release" "$incoming/unfinished"
    must mv "$tree" "$releases/$release"
  fi
  note_in_journal "adopts $release ($program)"
  note_in_journal "to undo it: rm $drop_in $current && systemctl daemon-reload"
  prepare_unit
  guard
  point_current_to "$release"
  must systemctl daemon-reload
}

# --- The lock and the fencing token ---------------------------------------------------------------

# Calls a function under the lock. `9>&-` keeps the lock from what it starts: a child that outlives
# this process would hold on to it. The shell itself keeps its own copy of the descriptor meanwhile.
locked() {
  command -v flock >/dev/null || fail CommandFailed 'there is no flock, needs util-linux'
  must mkdir -p "$state"
  must touch "$state/lock"
  exec 9>>"$state/lock" || fail CommandFailed "$state/lock cannot be written"
  tries=$((busy_after_ms / 200))
  until flock -n 9; do
    [ "$tries" -gt 0 ] || fail ServerBusy "another executor has held the lock for $busy_after_ms ms"
    tries=$((tries - 1))
    pause_ms 200
  done
  "$@" 9>&-
  locked_status=$?
  exec 9>&-
  return "$locked_status"
}

# Refuses an executor that was overtaken, and remembers the newest.
fence() {
  need_token
  read_token
  if expr "x$token" \< "x$seen" >/dev/null; then refuse_overtaken; fi
  [ "$token" != "$seen" ] || return 0
  printf '%s\n' "$token" >"$state/token.new" || fail_writing "$state/token.new"
  sync_path "$state/token.new"
  must mv -f "$state/token.new" "$state/token"
}

# Nobody newer has been here since `fence`.
guard() {
  read_token
  [ "$seen" = "$token" ] || refuse_overtaken
}

refuse_overtaken() {
  fail ExecutorFenced "a newer executor ($seen) was here, and this one is $token"
}

# Sets `seen`; empty where nobody has been yet.
read_token() {
  seen=
  [ ! -f "$state/token" ] || read -r seen <"$state/token"
}

# --- Releases -------------------------------------------------------------------------------------

# Sets `active` and `previous`; empty where there is none.
find_active() {
  active='' previous=''
  link=$(readlink "$current" 2>/dev/null) || return 0
  is_release_id "${link#releases/}" && [ "$link" = "releases/${link#releases/}" ] || return 0
  active=${link#releases/}
  [ -f "$current/.verdigris/previous" ] && read -r previous <"$current/.verdigris/previous"
  is_installed "$previous" || previous=
}

is_release_id() {
  expr "x$1" : 'x[0-9a-f]\{12\}-[0-9a-f]\{8\}$' >/dev/null
}

is_installed() {
  [ -n "$1" ] && [ -f "$releases/$1/.verdigris/installed" ]
}

# Words `<number>/<id>`, oldest first.
installed_releases() {
  for file in "$releases"/*/.verdigris/installed; do
    [ -f "$file" ] || continue
    id=${file%/.verdigris/installed}
    read -r number _ <"$file" && printf '%s/%s\n' "$number" "${id##*/}"
  done | sort -n
}

# Whether the asked release is active and running, with no change of ours left half done.
is_as_asked() {
  if [ "$1" = nothing ]; then
    [ -z "$active" ] && [ ! -f "$state/change" ] && { is_foreign || { ! runs && ! is_base_ours; }; }
    return
  fi
  [ "$active" = "$1" ] && [ "$unit_state" = active ] || return 1
  change=
  [ ! -f "$state/change" ] || read -r change <"$state/change"
  case $change in
    '') ;;
    "starting $1") rm -f "$state/change" ;;
    *) return 1 ;;
  esac
}

mark_change() {
  printf '%s\n' "$1" >"$state/change.new" || fail_writing "$state/change.new"
  must mv -f "$state/change.new" "$state/change"
}

# The way back is written into the release before it becomes active, so that one rename changes both.
remember_replaced() {
  [ "$active" != "$1" ] || return 0
  file=$releases/$1/.verdigris/previous
  [ -n "$replaced" ] || return 0
  printf '%s\n' "$replaced" >"$file.new" || fail_writing "$file.new"
  must mv -f "$file.new" "$file"
}

point_current_to() {
  rm -f "$state/current.new"
  must ln -s "releases/$1" "$state/current.new"
  if mv --help 2>&1 | grep -q -e '-T' -e '[[]-[a-z]*T'; then
    must mv -fT "$state/current.new" "$current"
  else
    # An old busybox has no way to rename over a link to a directory; the lock covers the moment without one.
    must ln -sfn "releases/$1" "$current"
  fi
  sync_path "$directory"
}

# What is told about a release: $1 its tree, $2 the artifact, $3 its executable and that one's digest.
describe_release() {
  must mkdir -p "$1/.verdigris"
  printf '%s\n' "$2" >"$1/.verdigris/artifact" || fail_writing "$1/.verdigris/artifact"
  printf '%s\n' "$3" >"$1/.verdigris/executable" || fail_writing "$1/.verdigris/executable"
}

# The mark of a complete release: its place in the order of installations, and when.
number_release() {
  newest=$(installed_releases | tail -n 1)
  newest=${newest%%/*}
  printf '%s %s\n' $((${newest:-0} + 1)) "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$1/.verdigris/installed" ||
    fail_writing "$1/.verdigris/installed"
}

# Removes the oldest releases beyond $1 that are neither active nor previous nor the one just installed.
remove_beyond() {
  old=$(installed_releases | cut -d/ -f2 | grep -vxF -e "$release" -e "${active:-none}" -e "${previous:-none}")
  excess=$(($(printf '%s' "$old" | grep -c '') - $1))
  for id in $old; do
    [ "$excess" -gt 0 ] || return 0
    note_in_journal "removes $id: $1 are kept"
    must mv "$releases/$id" "$incoming/removed-$id"
    excess=$((excess - 1))
  done
}

keep_last_words() {
  [ -d "$releases/$1/.verdigris" ] || return 0
  journal_lines 50 >"$releases/$1/.verdigris/last-words" || say note "the last words of $1 could not be kept"
}

# --- Receiving and checking -----------------------------------------------------------------------

make_directories() {
  must mkdir -p "$releases" "$state/incoming"
  [ -d "$directory/shared" ] || make_shared
}

# So that a disk that is full does not stand in the way back.
set_room_aside() {
  [ ! -f "$state/reserve" ] || return 0
  head -c $((reserve_kilobytes * 1024)) /dev/zero >"$incoming/reserve" || fail_writing "$incoming/reserve"
  must mv -f "$incoming/reserve" "$state/reserve"
}

reserve_kilobytes=256

make_room() {
  free=$(free_kilobytes)
  [ "${free:-0}" -ge "$reserve_kilobytes" ] || rm -f "$state/reserve" 2>/dev/null
}

# What outlives releases is the one place where the program may write.
make_shared() {
  must mkdir "$directory/shared"
  [ -z "$installed_at" ] || must chown "$policy_user:$policy_group" "$directory/shared"
}

# Makes a directory of our own to work in, and sweeps those of installs that died: each is held by a
# lock for as long as somebody works in it.
open_incoming() {
  fence
  for left in "$state"/incoming/*; do
    [ -d "$left" ] || continue
    if (flock -n 8) 8>>"$left/lock"; then rm -rf "$left"; fi
  done
  must mkdir -p "$state/incoming"
  incoming=$(mktemp -d "$state/incoming/XXXXXX") || fail_writing "$state/incoming"
  trap 'rm -rf "$incoming"' EXIT
  exec 8>>"$incoming/lock"
  flock -n 8
}

receive_artifact() {
  complaint=$({ head -c $((size + 1)) >"$1"; } 2>&1) || fail_for "$complaint"
  arrived=$(wc -c <"$1")
  [ "$arrived" -ge "$size" ] || fail CommandFailed "only $((arrived)) of $size bytes arrived"
  found=$(digest_of "$1")
  [ "$found" = "$artifact" ] || fail DigestMismatch "what arrived is $found, needs $artifact"
}

# A link that leads out of a release would be followed by whoever reads it, root too; nothing else than files,
# directories and links within has a place in one.
refuse_strange_files() {
  strange=$(find "$1" ! -type f ! -type d ! -type l | head -n 1)
  # shellcheck disable=SC2016 # The inner shell expands it.
  [ -n "$strange" ] || strange=$(find "$1" -type l -exec sh -c '
    root=$(readlink -f "$0")
    for link do
      case $(readlink -f "$link") in "$root" | "$root"/*) ;; *) printf "%s\n" "$link" ;; esac
    done' "$1" {} + | head -n 1)
  [ -z "$strange" ] ||
    fail ArchiveUnsafe "the artifact has ${strange#"$1/"}, needs files, directories and links that stay inside"
}

# A line of its own unless it is a word: a unit may be larger than a command line.
receive_unit() {
  [ -n "$unit_conf" ] || IFS= read -r unit_conf || fail CommandFailed 'the unit settings did not arrive whole'
}

# One line per file, before the artifact: `private` or `public`, its path, its content in base64. What is private never is
# a word of a command, or of one that this starts.
receive_files() {
  must mkdir "$incoming/files"
  : >"$incoming/files/list"
  count=0
  while [ "$count" -lt "$files" ]; do
    IFS=' ' read -r secrecy path content || fail CommandFailed "only $count of $files configuration files arrived"
    case $secrecy in private | public) ;; *) fail CommandFailed 'the configuration did not arrive whole' ;; esac
    expr "x$path" : 'x[A-Za-z0-9._@+][A-Za-z0-9._@+/-]*$' >/dev/null || fail CommandFailed "\"$path\" cannot be a file of a release"
    case /$path/ in */../* | */./* | /.verdigris/*) fail CommandFailed "\"$path\" cannot be a file of a release" ;; esac
    count=$((count + 1))
    (umask 077 && printf '%s' "$content" | base64 -d >"$incoming/files/$count") || fail_writing "$incoming/files"
    printf '%s %s\n' "$secrecy" "$path" >>"$incoming/files/list" || fail_writing "$incoming/files/list"
  done
  content=
}

# Puts them in the place of the artifact's own, each readable by who has to.
place_files() {
  count=0
  whole=$(cd -P "$1" && pwd -P)
  while read -r secrecy path; do
    count=$((count + 1))
    if [ ! -f "$1/$path" ] || [ -L "$1/$path" ]; then fail CommandFailed "the artifact has no file \"$path\""; fi
    # By a link too nobody gets to what we write there: the unit was looked at already.
    folder=$(cd -P "$1/$(dirname "$path")" && pwd -P)
    case $folder/ in
      "$whole"/.verdigris/*) fail ArchiveUnsafe "\"$path\" leads to what is told about the release" ;;
      "$whole"/*) ;;
      *) fail ArchiveUnsafe "\"$path\" leads out of the artifact" ;;
    esac
    if [ "$secrecy" = public ]; then
      must chmod 644 "$incoming/files/$count"
    else
      must chmod 600 "$incoming/files/$count"
      give_to_program "$1/.verdigris/unit.conf" "$incoming/files/$count"
    fi
    must mv -f "$incoming/files/$count" "$1/$path"
  done <"$incoming/files/list"
  must mv "$incoming/files/list" "$1/.verdigris/files"
}

# Who the program will run as: as its release says in $1, else as the unit does; empty for root.
unit_user() {
  as=${policy_user:-$(sed -n 's/^[[:blank:]]*User[[:blank:]]*=[[:blank:]]*//p' "$1" | tail -n 1)}
  [ -n "$unit_load" ] || look_at_unit
  printf '%s' "${as:-$unit_as}"
}

give_to_program() {
  [ "$(id -u)" = 0 ] || return 0
  owner=$(unit_user "$1")
  [ -z "$owner" ] || must chown -h "$owner" "$2"
}

unpack_settings() {
  printf '%s' "$unit_conf" | base64 -d >"$1" || fail CommandFailed 'the unit settings did not arrive whole'
  [ -z "$installed_at" ] || bring_under_policy "$1"
}

# Looks at the unit as it will be with the settings in $2, with the paths of the release that is not active yet.
check_unit() {
  if ! command -v systemd-analyze >/dev/null; then
    say note 'the unit was not checked: there is no systemd-analyze'
    return 0
  fi
  look_at_unit
  units=$incoming/units
  must mkdir -p "$units/$unit.d"
  if [ -f "$unit_fragment" ]; then cat "$unit_fragment"; else base_unit; fi >"$units/$unit" || fail_writing "$units"
  for file in $unit_drop_ins; do
    [ "$file" = "$drop_in" ] || must cp "$file" "$units/$unit.d/"
  done
  sed "s|$current|$1|g" "$2" >"$units/$unit.d/zz-verdigris.conf" || fail_writing "$units"
  # It returns 0 for some of what it complains of, and complains of other people's units too.
  if complaint=$(systemd-analyze verify "$units/$unit" 2>&1); then
    complaint=$(printf '%s\n' "$complaint" | grep -F -e "$unit" -e "$1")
  fi
  [ -z "$complaint" ] || fail UnitRefused "systemd finds fault with the unit$line_end$(
    printf '%s\n' "$complaint" | sed -e "s|$1|$current|g" -e "s|$units/||g"
  )"
}

# Lets the system's own loader resolve the libraries of the release in $1 with the settings in $2. It maps
# what it finds and starts none of it; even so nothing of the artifact is given to it as root.
check_libraries() {
  case $loader in
    '') return 0 ;;
    *[!A-Za-z0-9/._-]* | */../* | /lib/*/* | /lib64/*/*) fail CommandFailed "\"$loader\" is no loader" ;;
    /lib/ld-* | /lib64/ld-*) ;;
    *) say note "libraries were not resolved: $loader is no loader of the system" && return ;;
  esac
  [ -x "$loader" ] || fail ProgramIncompatible "$executable needs the loader $loader, which is not here"
  path=$(sed -n 's/^[[:blank:]]*Environment[[:blank:]]*=.*LD_LIBRARY_PATH=\([^ "'\'']*\).*/\1/p' "$2" | tail -n 1 | sed "s|$current|$1|g")
  tree=$1 become=
  if [ "$(id -u)" = 0 ]; then
    user=$(program_user "$2")
    # The directory that it was unpacked in is closed to others until it is a release.
    must chmod 711 "$incoming"
    if command -v runuser >/dev/null; then
      become="runuser -u $user --"
    elif command -v setpriv >/dev/null; then
      become="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups --"
    else
      say note 'libraries were not resolved: there is neither runuser nor setpriv' && return
    fi
  fi
  # shellcheck disable=SC2086 # Several words or none.
  $become test -r "$tree/$executable" ||
    { say note "libraries were not resolved: $user may not read $tree" && return; }
  if resolved=$(trace_libraries "$loader" --list) && ! printf '%s\n' "$resolved" | grep -q 'not found'; then return; fi
  # The list ends at the first that is missing; glibc can tell them all.
  case $loader in */ld-linux*) resolved=$(trace_libraries LD_TRACE_LOADED_OBJECTS=1 "$loader") ;; esac
  fail ProgramIncompatible "the loader cannot bring up $executable here$line_end$(
    printf '%s\n' "$resolved" | grep -v -e '=> /' -e '(0x' | sed "s|$tree|$current|g" | head -n 20
  )"
}

# shellcheck disable=SC2086 # Several words or none.
trace_libraries() {
  timeout 60 $become env -i LD_LIBRARY_PATH="$path" "$@" "$tree/$executable" 2>&1
}

# Who the program will run as with the settings in $1; nobody in place of root, of whom nothing is asked here.
program_user() {
  as=$(unit_user "$1")
  case $as in '' | -* | root | 0 | *[!A-Za-z0-9_.-]*) as=nobody ;; esac
  id "$as" >/dev/null 2>&1 || as=nobody
  printf '%s' "$as"
}

# --- The unit -------------------------------------------------------------------------------------

look_at_unit() {
  unit_load=not-found unit_state=inactive unit_sub=dead unit_pid=0 unit_started=0 unit_restarts=0
  unit_result=success unit_reload=no unit_fragment='' unit_drop_ins='' unit_status='' unit_since='' unit_as=''
  shown=$(systemctl show "$unit" -p LoadState,ActiveState,SubState,MainPID,ExecMainStartTimestampMonotonic,NRestarts,Result,NeedDaemonReload,ExecMainStartTimestamp,FragmentPath,DropInPaths,ExecMainStatus,User 2>&1) ||
    fail CommandFailed "systemctl show says: $shown"
  while IFS= read -r line; do
    value=${line#*=}
    case ${line%%=*} in
      LoadState) unit_load=$value ;;
      ActiveState) unit_state=$value ;;
      SubState) unit_sub=$value ;;
      MainPID) unit_pid=${value:-0} ;;
      ExecMainStartTimestampMonotonic) unit_started=${value:-0} ;;
      ExecMainStartTimestamp) unit_since=$value ;;
      NRestarts) unit_restarts=${value:-0} ;;
      Result) unit_result=$value ;;
      NeedDaemonReload) unit_reload=$value ;;
      FragmentPath) unit_fragment=$value ;;
      DropInPaths) unit_drop_ins=$value ;;
      ExecMainStatus) unit_status=$value ;;
      User) unit_as=$value ;;
    esac
  done <<EOF_SHOWN
$shown
EOF_SHOWN
  unit_state_word=$unit_state
  if [ "$unit_load" = not-found ] && ! runs; then unit_state_word=not-found; fi
}

# What the process holds: descriptors, and memory that is resident. Zeros where it cannot be seen. Starts no other program:
# this is done all the time.
look_at_holdings() {
  descriptors=0 descriptor_limit=0 resident_kb=0 memory_kb=0
  [ "$unit_pid" -gt 0 ] || return 0
  set -- "/proc/$unit_pid/fd"/*
  if [ -L "$1" ]; then descriptors=$#; fi
  while read -r name value _; do
    if [ "$name" = VmRSS: ]; then resident_kb=$value; fi
  done 2>/dev/null <"/proc/$unit_pid/status"
  while read -r one two three value _; do
    if [ "$one $two $three" = 'Max open files' ]; then descriptor_limit=$value; fi
  done 2>/dev/null <"/proc/$unit_pid/limits"
  read -r _ memory_kb _ </proc/meminfo
}

# Tells one process from another, and a program from one that took its place in the same process: when it was started, and
# where its code and its stack begin. Empty where there is none, or it cannot be told.
look_at_image() {
  image=
  [ "${unit_pid:-0}" -gt 0 ] || return 0
  { IFS= read -r stat <"/proc/$unit_pid/stat"; } 2>/dev/null || return 0
  # shellcheck disable=SC2086 # One word per field; the name of the program, which may be anything, stands before them.
  set -- ${stat##*) }
  [ $# -lt 26 ] || image="$unit_pid ${20} ${24} ${26}"
}

runs() {
  case $unit_state in inactive | failed) return 1 ;; esac
}

# The unit is there, and not by us.
is_foreign() {
  if [ "$unit_load" = not-found ] && ! runs; then return 1; fi
  if is_base_ours; then return 1; fi
  if [ -n "$active" ] && is_drop_in_ours; then return 1; fi
}

refuse_foreign() {
  if is_foreign; then
    fail ForeignRelease "$unit runs a release that Verdigris did not install${line_end}  take it over, with its files kept: verdigris adopt"
  fi
}

is_base_ours() {
  [ -f "$base" ] && read -r first_line <"$base" && [ "$first_line" = "$base_mark" ]
}

is_drop_in_ours() {
  [ "$(readlink "$drop_in" 2>/dev/null)" = "$current/.verdigris/unit.conf" ]
}

base_unit() {
  printf '%s\n' "$base_mark" "# The settings are the active release's: $drop_in" \
    '[Unit]' "Description=${unit%.service}" '[Service]' 'ExecStart=/bin/false' \
    '[Install]' 'WantedBy=multi-user.target'
}

# A unit file where there is none, and the drop-in that leads through `current`. Neither counts before
# systemd is told to look again.
prepare_unit() {
  must mkdir -p "$unit_directory/$unit.d"
  if [ "$unit_load" = not-found ] && [ ! -e "$base" ]; then
    base_unit >"$base.new" || fail_writing "$base.new"
    must mv -f "$base.new" "$base"
  fi
  is_drop_in_ours && return
  rm -f "$drop_in.new"
  must ln -s "$current/.verdigris/unit.conf" "$drop_in.new"
  must mv -f "$drop_in.new" "$drop_in"
}

forget_unit() {
  rm -f "$drop_in"
  rmdir "$unit_directory/$unit.d" 2>/dev/null
  if is_base_ours; then
    systemctl disable --no-reload "$unit" >/dev/null 2>&1
    rm -f "$base"
  fi
  must systemctl daemon-reload
}

# Tells in `killed` whether systemd had to kill what did not end in its time.
stop_unit() {
  [ "$unit_load" != not-found ] || runs || return 0
  must systemctl stop "$unit"
  if runs && [ "$(systemctl show "$unit" -p Result 2>/dev/null)" = Result=timeout ]; then
    killed=yes
    # At once: what is started next may fail.
    say killed yes
    note_in_journal 'killed it: it did not end in its time'
  fi
}

# Another unit of this machine would be changed by a daemon-reload when its files were edited since systemd has read
# them: that is not ours to do to what is live.
spare_neighbours() {
  for neighbour in $(printf '%s' "$neighbours" | tr , ' '); do
    [ "$(systemctl show "$neighbour" -p NeedDaemonReload 2>/dev/null)" = NeedDaemonReload=yes ] || continue
    fail UnitRefused "the files of $neighbour, which is live on this machine, were edited since systemd has read them, and a daemon-reload would put them into effect${line_end}  look at them: systemctl cat $neighbour; then: systemctl daemon-reload"
  done
}

# How often a process of the unit has dumped core since its main process was started; empty where nobody counts.
core_dumps() {
  command -v coredumpctl >/dev/null && [ -n "$unit_since" ] || return 0
  coredumpctl list -q --no-pager --no-legend "COREDUMP_UNIT=$unit" --since "$unit_since" 2>/dev/null | grep -c ''
}

# Believes a start once the same process has run for a moment: what ends at once was no start.
start_unit() {
  systemctl reset-failed "$unit" >/dev/null 2>&1
  began=$(date +%s)
  complaint=$(systemctl start "$unit" 2>&1) || fail_start "$1" "$complaint"
  steady=0 steady_pid=none tries=33
  while [ "$steady" -lt 2 ]; do
    look_at_unit
    case $unit_state/$unit_sub in
      active/*) [ "$steady_pid" = none ] || [ "$steady_pid" = "$unit_pid" ] || fail_start "$1" 'the program was started again' ;;
      failed/* | inactive/* | */auto-restart*) fail_start "$1" "the program ended at once ($unit_result, status $unit_status)" ;;
    esac
    if [ "$unit_state" = active ]; then
      steady=$((steady + 1)) steady_pid=$unit_pid
    fi
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail_start "$1" "the unit is $unit_state ($unit_sub) after 10 s, needs active"
    [ "$steady" -ge 2 ] || pause_ms 300
  done
}

fail_start() {
  mark_change "failed $1"
  note_in_journal "could not start $1: ${2%%"$line_end"*}"
  words=$2$line_end$(journal_lines 20 --since="@$began")
  stranger=$(stranger_at_port)
  # Whatever had been released there would have met the same.
  [ -z "$stranger" ] || fail PortTaken "port $port is taken by $stranger, needs to be free$line_end  see whose it is: systemctl status ${stranger##* }$line_end$words"
  fail StartFailed "$words"
}

# Who listens on the program's port without being of the unit: `name, process 7`. Empty where nobody does, or only root can tell.
stranger_at_port() {
  command -v ss >/dev/null || return 0
  ss -ltnpH "( sport = :$port )" 2>/dev/null | grep -o '"[^"]*",pid=[0-9]*' | tr -d '"' | while IFS= read -r holder; do
    pid=${holder##*,pid=}
    grep -qF "/$unit" "/proc/$pid/cgroup" 2>/dev/null && continue
    printf '%s, process %s' "${holder%,pid=*}" "$pid"
    break
  done
}

journal_lines() {
  wanted=$1
  shift
  journalctl -u "$unit" -n "$wanted" -o cat --no-pager "$@" 2>/dev/null
}

# --- Connections ----------------------------------------------------------------------------------

# Waits until nothing lingers, at most `at_most_ms`. Leaves `cut`, `waited_ms` and the last look.
await_drain() {
  cut=0 waited_ms=0
  began_ms=$(uptime_ms)
  last_look=$(connections)
  [ -n "$last_look" ] || return 0
  while :; do
    pause_ms 1000
    cut=$(lingering)
    waited_ms=$(($(uptime_ms) - began_ms))
    [ "$cut" -gt 0 ] && [ "$waited_ms" -lt "$at_most_ms" ] || return 0
    say progress "$cut connections linger on port $port" || exit 3
  done
}

# Waits for the port to be quiet and looks again at once, so that little can begin between look and stop.
await_quiet() {
  cut=0 waited_ms=0
  runs || return 0
  await_drain
  [ "$cut" -eq 0 ] && [ -n "$last_look" ] || return 0
  cut=$(lingering)
  [ "$cut" -eq 0 ] || await_drain
}

# How many connections carried bytes since the last look, or hold an open request. One that was not there
# then and holds none is a probe.
lingering() {
  look=$(connections)
  printf '%s\n--\n%s\n' "$last_look" "$look" | awk '
    $1 == "--" { second = 1; next }
    !second { moved[$1] = $2; next }
    $3 == "open" || ($1 in moved && moved[$1] != $2) { count++ }
    END { print count + 0 }'
  last_look=$look
}

# One line per connection to the program's port: its ends, the bytes that it carried, and whether a
# request is open: something came after the last that was sent.
connections() {
  if command -v ss >/dev/null; then
    ss -tinH "( sport = :$port )" 2>/dev/null | awk '
      function tell() {
        if (ends != "") print ends, sent "/" received, (received && (!sent || since_received < since_sent)) ? "open" : "idle"
      }
      /^[^ \t]/ {
        tell()
        ends = $1 == "ESTAB" || $1 == "CLOSE-WAIT" ? $4 "-" $5 : ""
        sent = received = since_sent = since_received = 0
        next
      }
      {
        for (i = 1; i <= NF; i++) {
          split($i, word, ":")
          if (word[1] == "bytes_sent" || (word[1] == "bytes_acked" && !sent)) sent = word[2]
          if (word[1] == "bytes_received") received = word[2]
          if (word[1] == "lastsnd") since_sent = word[2] + 0
          if (word[1] == "lastrcv") since_received = word[2] + 0
        }
      }
      END { tell() }'
    return
  fi
  # Without ss there is no telling what is idle: every connection counts.
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf '%04X' "$port")" '
    { split($2, local, ":") }
    local[2] == port && ($4 == "01" || $4 == "08") { print $2 "-" $3, $5, "open" }'
}

# --- The machine ----------------------------------------------------------------------------------

digest_of() {
  sum=$(sha256sum <"$1" 2>/dev/null) && printf '%s' "${sum%% *}"
}

digest_of_running() {
  [ "$unit_pid" -eq 0 ] || digest_of "/proc/$unit_pid/exe"
}

first() {
  printf '%s' "$2" | cut -c "1-$1"
}

# What is installed must not starve what is live on the same machine: from here on this process and all that it starts
# stand behind everybody else.
be_gentle() {
  renice -n 15 -p $$ >/dev/null 2>&1
  ! command -v ionice >/dev/null || ionice -c 2 -n 7 -p $$ 2>/dev/null
}

# Runs a command that gets neither much memory nor much of the page cache, by a scope of its own where systemd can be asked.
bounded() {
  if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] && command -v systemd-run >/dev/null; then
    # The mark tells a command that failed from a scope that there cannot be.
    # shellcheck disable=SC2016 # The inner shell expands it.
    systemd-run --quiet --scope -p MemoryMax="${bounded_megabytes}M" -p CPUWeight=10 -p IOWeight=10 \
      sh -c ': >"$0" && exec "$@"' "$incoming/bounded" "$@" 2>"$incoming/complaint"
    bounded_status=$?
    [ ! -e "$incoming/bounded" ] || { cat "$incoming/complaint" >&2 && return "$bounded_status"; }
  fi
  (
    # shellcheck disable=SC3045 # Every shell that it has to run under has it; one that has not goes on without.
    ulimit -v $((bounded_megabytes * 1024)) 2>/dev/null
    "$@"
  )
}

bounded_megabytes=256

nearest_directory() {
  there=$directory
  while [ ! -d "$there" ]; do there=$(dirname "$there"); done
  printf '%s' "$there"
}

free_kilobytes() {
  df -Pk "$(nearest_directory)" | awk 'NR == 2 { print $4 }'
}

# Empty where the file system sets no limit, or nobody can tell.
free_inodes() {
  there=$directory
  while [ ! -d "$there" ]; do there=$(dirname "$there"); done
  df -Pi "$there" 2>/dev/null | awk 'NR == 2 && $2 ~ /^[0-9]+$/ && $2 > 0 { print $4 }'
}

need_free_inodes() {
  free=$(free_inodes)
  [ "${free:-$1}" -ge "$1" ] || fail_full "$free inodes are free below $directory, needs $1"
}

need_free_kilobytes() {
  free=$(free_kilobytes)
  [ "${free:-0}" -ge "$1" ] || fail_full "$free KB are free below $directory, needs $1 KB"
}

# What a program finds here to run on. Nothing but the system's own programs is asked.
tell_platform() {
  machine=$(uname -m)
  say platform.machine "$machine"
  say platform.bits "$(getconf LONG_BIT 2>/dev/null)"
  say platform.system "$(system_name)"
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
  say platform.glibc "${glibc#glibc }"
  for file in /lib/ld-*.so* /lib64/ld-*.so*; do
    [ -x "$file" ] && say platform.interpreter "$file"
  done
  for file in "/usr/lib/$machine-linux-gnu/libstdc++.so.6" /usr/lib64/libstdc++.so.6 /usr/lib/libstdc++.so.6; do
    [ -r "$file" ] || continue
    highest_versions "$file"
    return
  done
}

system_name() {
  [ -r /etc/os-release ] || return 0
  while IFS='=' read -r key name; do
    [ "$key" = PRETTY_NAME ] || continue
    name=${name#\"}
    printf '%s' "${name%\"}"
    return
  done </etc/os-release
}

# Tells the highest version of each family of symbols that is named in the C++ library.
highest_versions() {
  grep -a -o -E '(GLIBCXX|CXXABI)_[0-9][0-9.]*[0-9]' "$1" | awk -F _ '
    {
      split($2, part, ".")
      rank = (part[1] * 1000 + part[2]) * 1000 + part[3]
      if (rank > best[$1]) { best[$1] = rank; highest[$1] = $2 }
    }
    END {
      print "platform.glibcxx=" highest["GLIBCXX"]
      print "platform.cxxabi=" highest["CXXABI"]
    }'
}

uptime_ms() {
  read -r up _ </proc/uptime
  printf '%s0' "${up%.*}${up#*.}"
}

pause_ms() {
  sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))" 2>/dev/null || sleep 1
}

# Never a bare `sync`: it would wait for everything that the whole machine writes.
sync_path() {
  sync "$1" 2>/dev/null || say note "$1 could not be synced"
}

sync_tree() {
  find "$1" \( -type f -o -type d \) -exec sync {} + 2>/dev/null || say note "$1 could not be synced"
}

# Before it is done: what was cut off and done again is told twice, and nothing is done untold.
note_in_journal() {
  printf '%s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$token" "$(printf '%s' "$1" | tr '\n' ' ')" >>"$state/journal" ||
    fail_writing "$state/journal"
}

# Where SELinux is on, what was moved keeps the label of where it was made.
relabel() {
  ! command -v restorecon >/dev/null || restorecon -R "$@" 2>/dev/null || say note "$1 could not be labelled"
}

# --- Words in, words out --------------------------------------------------------------------------

read_words() {
  directory='' unit='' port=0 token='' release='' artifact='' size=0 executable='' loader='' unit_conf='' keep=0
  needs_kilobytes=0 needs_inodes=0 files=0 shared=''
  at_most_ms=0 busy_after_ms=15000 every_ms=1000 lines=20 because='' incoming='' replaced='' active='' previous=''
  policy_user='' policy_group='' unit_load='' unit_pid=0 neighbours='' lingering=refuse killed=no cut=0 waited_ms=0
  for word in "$@"; do
    value=${word#*=}
    case ${word%%=*} in
      directory) directory=$value ;;
      unit) unit=$value ;;
      port) port=$value ;;
      token) token=$value ;;
      release) release=$value ;;
      artifact) artifact=$value ;;
      size) size=$value ;;
      needs-kilobytes) needs_kilobytes=$value ;;
      needs-inodes) needs_inodes=$value ;;
      files) files=$value ;;
      shared) shared=$value ;;
      executable) executable=$value ;;
      loader) loader=$value ;;
      unit-conf) unit_conf=$value ;;
      keep) keep=$value ;;
      at-most-ms) at_most_ms=$value ;;
      lingering) lingering=$value ;;
      neighbours) neighbours=$value ;;
      busy-after-ms) busy_after_ms=$value ;;
      every-ms) every_ms=$value ;;
      lines) lines=$value ;;
      because) because=$value ;;
      helper) ;;
      *) fail CommandFailed "the helper does not know \"${word%%=*}\"" ;;
    esac
  done
  expr "x$directory" : 'x\(/[A-Za-z0-9._@+-]\{1,\}\)\{1,\}$' >/dev/null ||
    fail CommandFailed "\"$directory\" cannot be a server's directory, needs an absolute path of letters, digits and ._@+-"
  case $directory/ in */../* | */./*) fail CommandFailed "\"$directory\" cannot be a server's directory, needs a path without dots" ;; esac
  expr "x$unit" : 'x[A-Za-z0-9._@:][A-Za-z0-9._@:-]*[.]service$' >/dev/null ||
    fail CommandFailed "\"$unit\" cannot be a unit, needs the name of a service such as greeter.service"
  [ -z "$executable" ] || expr "x$executable" : 'x[A-Za-z0-9._@+][A-Za-z0-9._@+/-]*$' >/dev/null ||
    fail CommandFailed "\"$executable\" cannot be an executable, needs a path within the artifact"
  case /$executable/ in */../*) fail CommandFailed "\"$executable\" leads out of the artifact" ;; esac
  case $lingering in cut | refuse) ;; *) fail CommandFailed "\"$lingering\" is neither cut nor refuse" ;; esac
  for number in "$port" "$size" "$needs_kilobytes" "$needs_inodes" "$files" "$keep" "$at_most_ms" "$busy_after_ms" "$every_ms" "$lines"; do
    case $number in '' | *[!0-9]*) fail CommandFailed "\"$number\" is not a whole number" ;; esac
  done
  case ,$neighbours in *,-* | *[!A-Za-z0-9._@:,-]*) fail CommandFailed "\"$neighbours\" cannot be units, needs names with commas between them" ;; esac
  state=$directory/.verdigris
  releases=$directory/releases
  current=$directory/current
  base=$unit_directory/$unit
  drop_in=$unit_directory/$unit.d/zz-verdigris.conf
}

need_release() {
  is_release_id "$release" || fail CommandFailed "\"$release\" is not a release id"
}

need_token() {
  expr "x$token" : 'x[0-9]\{15\}-[0-9]\{6\}$' >/dev/null || fail CommandFailed "\"$token\" is not a fencing token"
}

say() {
  case $2 in
    *\\* | *"$line_end"*)
      printf '%s=%s\n' "$1" "$(printf '%s\n' "$2" | awk '{ gsub(/\\/, "\\\\"); printf "%s%s", end, $0; end = "\\n" }')" 2>/dev/null
      ;;
    *) printf '%s=%s\n' "$1" "$2" 2>/dev/null ;;
  esac
}

say_drained() {
  say cut "$cut"
  say waitedMs "$waited_ms"
  say killed "$killed"
}

say_ok() {
  printf 'ok\n' 2>/dev/null
  exit 0
}

fail() {
  say error "$1"
  say message "$2"
  exit 3
}

# Runs a command that has to work; what it complains of is the message.
must() {
  complaint=$("$@" 2>&1 >/dev/null) || fail_for "$1: $complaint"
}

fail_for() {
  case $1 in
    *'No space left'* | *'quota exceeded'*) fail_full "$1" ;;
    *'Read-only file system'*)
      fail DiskReadOnly "the file system of $directory is read-only, needs to be writable${line_end}  see why: dmesg | tail; findmnt -T $(nearest_directory); then: mount -o remount,rw what it names as TARGET"
      ;;
    *) fail CommandFailed "$1" ;;
  esac
}

fail_full() {
  fail DiskFull "$1${line_end}  see what fills it: du -xh $(nearest_directory) | sort -h | tail; df -i $(nearest_directory)"
}

fail_writing() {
  need_free_kilobytes 64
  must touch "$state/lock"
  fail CommandFailed "$1 cannot be written"
}

# @examination
# @policy

main "$@"
