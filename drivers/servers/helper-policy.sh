# shellcheck shell=sh
# --- The policy -----------------------------------------------------------------------------------
#
# Part of the helper where it is installed, and only there: whoever calls it may then be anybody who has the deploying
# key, and must get no further than the policy of the unit lets them. Read `<policies>/<unit>.policy`:
#
#   unit=greeter.service           the only unit, and
#   directory=/opt/greeter         the only directory, that may be named
#   user=greeter                   who the program runs as
#   group=greeter
#   login=deploy                   who may call, by sudo's word
#   allow.Service=Type ExecStart   settings that a release may make, by section
#   also.Service=Slice             what an administrator adds to them: their values are not looked at
#
# shellcheck disable=SC2154 # The variables are the helper's.

# Before any word is understood: another version may mean something else by it.
prove_version() {
  cd /
  own=$(digest_of "$installed_at")
  say helper "$own"
  for word in "$@"; do
    [ "$word" != "helper=$own" ] || return 0
  done
  fail HelperOutdated "$installed_at is another helper ($(first 12 "$own"))"
}

obey_policy() {
  lift_limits
  policy=$policies/$unit.policy
  [ -f "$policy" ] || refuse_by_policy "there is no policy for $unit"
  need_trusted "$policies" "$policy"
  policy_unit='' policy_directory='' policy_logins=''
  while IFS= read -r line; do
    value=${line#*=}
    case ${line%%=*} in
      unit) policy_unit=$value ;;
      directory) policy_directory=$value ;;
      user) policy_user=$value ;;
      group) policy_group=$value ;;
      login) policy_logins="$policy_logins $value " ;;
    esac
  done <"$policy"
  [ "$policy_unit" = "$unit" ] || refuse_by_policy "$policy is about \"$policy_unit\""
  [ "$policy_directory" = "$directory" ] || refuse_by_policy "$unit belongs to $policy_directory"
  case $policy_user in '' | root | 0 | *[!A-Za-z0-9._-]*) refuse_by_policy "$policy names no user to run $unit as" ;; esac
  case $policy_group in '' | root | 0 | *[!A-Za-z0-9._-]*) refuse_by_policy "$policy names no group to run $unit in" ;; esac
  case "$policy_logins" in
    *" ${SUDO_USER:-root} "*) ;;
    *) [ -z "${SUDO_USER:-}" ] || refuse_by_policy "$SUDO_USER may not release $unit" ;;
  esac
  set -- "$directory"
  for there in "$releases" "$state"; do [ ! -e "$there" ] || set -- "$@" "$there"; done
  need_trusted "$@"
}

# A caller's limits hold for root too, and sudo passes them on: a file would end half way, and a check that cannot run finds
# nothing. An ordinary stack and number of files, not none, so that it works where root may not raise them.
lift_limits() {
  for limit in 'f unlimited' 'd unlimited' 'v unlimited' 't unlimited' 's 8192' 'n 1024'; do
    # shellcheck disable=SC2086,SC3045 # Two words. Every shell that it has to run under has them.
    ulimit -$limit 2>/dev/null || refuse_by_policy "the caller's limits cannot be lifted (ulimit -$limit)"
  done
}

refuse_by_policy() {
  fail PolicyRefused "$1"
}

# Every path, and every directory on the way to it, belongs to root (or to whoever runs this), is no link, and nobody else
# can write there.
need_trusted() {
  chain=/
  for path in "$@"; do
    while [ -n "$path" ]; do
      chain="$chain $path"
      path=${path%/*}
    done
  done
  # The paths have no blanks: they were looked at, or are the helper's own.
  # shellcheck disable=SC2012,SC2086
  untrusted=$(ls -ldn $chain 2>&1 | awk -v me="$(id -u)" '
    !/^[-d]/ || ($3 != 0 && $3 != me) { print; next }
    # A directory in which everybody may make entries, and nobody remove those of others, is safe to pass through.
    /^d........t/ { next }
    substr($1, 9, 1) == "w" || (substr($1, 6, 1) == "w" && ($4 != 0 || $1 ~ /\+$/)) { print }
    END { print "looked" }')
  [ "$untrusted" = looked ] || refuse_by_policy "what root alone may change is open to others$line_end${untrusted%looked}"
}

# Rewrites the settings in $1 as the policy allows them. What is kept was understood: one setting a line, nothing else, so
# that systemd can read no more into it than was looked at here. The first lines are ours: whatever else the unit has, no
# command of it runs beside the release's own, and none with more rights than the program's user.
bring_under_policy() {
  look_at_unit
  for file in $unit_fragment $unit_drop_ins; do
    [ "$file" != "$drop_in" ] || continue
    ! grep -q '^[[:blank:]]*PermissionsStartOnly[[:blank:]]*=' "$file" ||
      fail UnitRefused "$file has PermissionsStartOnly, which runs a release's commands as root, needs to go"
  done
  [ "$(tr -d '\11\12\40-\176\200-\377' <"$1" | wc -c)" -eq 0 ] ||
    fail UnitRefused 'the unit has control characters, needs text'
  {
    printf '# %s, as %s allows it.\n[Service]\n' "$release" "$policy"
    printf '%s=\n' ExecCondition ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost \
      Environment EnvironmentFile SupplementaryGroups AmbientCapabilities
    printf 'User=%s\nGroup=%s\nDynamicUser=no\n' "$policy_user" "$policy_group"
    allowed_settings "$1" 2>"$1.complaints" && printf '# end\n'
  } >"$1.allowed"
  complaints=$(cat "$1.complaints")
  [ -z "$complaints" ] || fail UnitRefused "$policy does not allow what the unit says$line_end$complaints"
  [ "$(tail -n 1 "$1.allowed")" = '# end' ] || fail_writing "$1.allowed"
  must mv -f "$1.allowed" "$1"
}

allowed_settings() {
  awk -v directory="$directory" -v name="${unit%.service}" -v user="$policy_user" -v group="$policy_group" '
    function complain(what) { printf "line %d: %s\n", number, what >"/dev/stderr" }
    function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }

    # The policy comes first, then the unit.
    NR == FNR {
      kind = substr($0, 1, index($0, ".") - 1)
      if (kind != "allow" && kind != "also") next
      sub(/^[a-z]+\./, "")
      count = split(substr($0, index($0, "=") + 1), keys, " ")
      for (i = 1; i <= count; i++) allowed[substr($0, 1, index($0, "=") - 1), keys[i]] = kind
      next
    }

    {
      if (held == "") number = FNR
      line = $0
      if (line ~ /^[ \t]*[#;]/) next
      match(line, /\\*$/)
      if (RLENGTH % 2) { held = held substr(line, 1, length(line) - 1) " "; next }
      take(held line)
      held = ""
    }
    END { if (held != "") take(held) }

    function take(line, equals, key, value) {
      line = trimmed(line)
      if (line == "") return
      if (line ~ /^\[.*\]$/) {
        section = substr(line, 2, length(line) - 2)
        if (section !~ /^(Unit|Service|Install)$/) complain(line " is no section of a release")
        print line
        return
      }
      equals = index(line, "=")
      key = trimmed(substr(line, 1, equals - 1))
      value = trimmed(substr(line, equals + 1))
      if (!equals || key !~ /^[A-Za-z]+$/) return complain("\"" line "\" is no setting")
      if (value ~ /\\$/) return complain(key " ends in a backslash")
      if (section == "Service" && (key == "User" || key == "Group")) {
        # It is said already, above.
        if (value != (key == "User" ? user : group)) complain(key "=" value " is not allowed, needs " (key == "User" ? user : group) " or nothing")
        return
      }
      if (!((section, key) in allowed)) return complain(key "= is not allowed in [" section "]")
      if (key ~ /^Exec/) check_commands(key, value)
      else if (allowed[section, key] == "allow" && value != "" && !is_harmless(key, value)) return complain(key "=" value " is not allowed")
      print key "=" value
    }

    # Each command of a line: the first, and what follows a semicolon that stands alone. systemd takes quotes and escapes
    # away before it looks for the characters that raise rights, so there may be none in the word that has them.
    function check_commands(key, value, words, count, first, i) {
      count = split(value, words, /[ \t]+/)
      first = 1
      for (i = 1; i <= count; i++) {
        if (first && words[i] !~ /^[-@:]*\/[A-Za-z0-9._@%\/+-]+$/) {
          complain(key "=" value " begins a command with \"" words[i] "\", needs an absolute path, with - @ or : before it at most")
          return
        }
        first = words[i] == ";"
      }
    }

    function is_harmless(key, value, words, count, i) {
      if (key == "Type") return value ~ /^(simple|exec|forking|oneshot|notify|notify-reload|idle)$/
      # Opened by root, before it becomes the user.
      if (key ~ /^Standard(Output|Error)$/) return value ~ /^(journal|null|inherit)$/
      if (key == "StandardInput") return value == "null"
      if (key == "EnvironmentFile" || key == "LoadCredential") {
        if (!sub(key == "EnvironmentFile" ? "^-?" : "^[A-Za-z0-9._-]+:", "", value)) return 0
        return index(value, directory "/current/") == 1 && value ~ /^[A-Za-z0-9._@+\/-]+$/ && (value "/") !~ /\/\.\.?\//
      }
      # Given to the user, with all that is in them.
      if (key ~ /^(State|Runtime|Cache|Logs)Directory$/) return value == name
      if (key == "AmbientCapabilities") return value == "CAP_NET_BIND_SERVICE"
      # What only root may give: to be served before what else runs here.
      if (key == "Nice" || key == "OOMScoreAdjust") return value ~ /^[0-9]+$/
      if (key == "IOSchedulingClass") return value ~ /^(best-effort|idle|2|3)$/
      if (key == "Documentation") return value ~ /^https?:\/\/[^ \t]+$/
      if (key == "WantedBy") return value ~ /^(multi-user|graphical|default)\.target$/
      # What a unit wants is started with it.
      if (key == "Wants" || key == "Requires") {
        count = split(value, words, /[ \t]+/)
        for (i = 1; i <= count; i++)
          if (words[i] !~ /^(network|network-online|nss-lookup|time-sync|remote-fs|local-fs)\.target$/) return 0
      }
      return 1
    }' "$policy" "$1"
}
