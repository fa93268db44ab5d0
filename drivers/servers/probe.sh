#!/bin/sh
# Puts questions to a program on this machine, for whoever may not be given a tunnel:
#
#   sh probe.sh        then one question a line: <id> <timeout in ms> <address> <port> <path> <header or ->
#
# It says `tool=<what asks>` once, and of each question `<id> answered <status> <ms> <header's value>` or
# `<id> silent <why>`. The time is taken here, around the whole exchange: the network between does not count.
# What asks is what is there, the most exact first: curl; bash with /dev/tcp; nc. The latter two count their own start.

set -u
export LC_ALL=C
PATH=$PATH:/usr/local/bin:/usr/bin:/bin

main() {
  tool=$(find_tool)
  echo "tool=$tool"
  while read -r id timeout_ms address port path header; do
    ( answer ) &
  done
  wait
}

find_tool() {
  for tool in curl bash nc; do
    if command -v "$tool" >/dev/null 2>&1; then
      echo "$tool"
      return
    fi
  done
  if command -v busybox >/dev/null 2>&1 && busybox nc --help >/dev/null 2>&1; then echo busybox; else echo none; fi
}

answer() {
  timeout_s=$(((timeout_ms + 999) / 1000))
  case $tool in
    none) silent 'sshd forbids tunnels, and there is neither curl, bash nor nc to ask with, needs "AllowTcpForwarding yes" or one of them' ;;
    curl) ask_with_curl ;;
    *) ask_by_hand ;;
  esac
}

ask_with_curl() {
  head=$(curl -q --silent --show-error --noproxy '*' --http1.1 --no-keepalive --max-time "$(seconds)" \
    --header 'Connection: close' --user-agent verdigris-probe --path-as-is --globoff \
    --output /dev/null --dump-header - --write-out 'verdigris %{http_code} %{time_total}\n' \
    "http://$address:$port$path" 2>/dev/null)
  status=$?
  case $status in
    0) ;;
    7) silent 'connection refused' ;;
    28) silent "no answer within $timeout_ms ms" ;;
    18 | 52 | 56) silent 'closed without an answer' ;;
    1 | 8) silent 'answered something that is not HTTP' ;;
    *) silent "curl ended with status $status" ;;
  esac
  last=$(printf '%s\n' "$head" | tail -n 1)
  code=${last#verdigris }
  took=${code#* }
  code=${code%% *}
  whole=${took%%.*}
  part=$(printf '%.3s' "${took#*.}000")
  # A leading zero would make it an octal number.
  while [ "${part#0}" != "$part" ] && [ "$part" != 0 ]; do part=${part#0}; done
  answered "$code" $((whole * 1000 + part)) "$(printf '%s\n' "$head" | header_value)"
}

seconds() {
  printf '%d.%03d' $((timeout_ms / 1000)) $((timeout_ms % 1000))
}

# The exchange itself, over what only carries bytes.
ask_by_hand() {
  began=$(now_ms)
  {
    {
      printf 'GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: verdigris-probe\r\nConnection: close\r\n\r\n' "$path" "$address" "$port"
      # A program that sees the end of what is asked may take it for the end of the asker.
      exec sleep "$timeout_s"
    } | carry || echo "failed=$?"
  } 2>/dev/null | read_answer
}

# shellcheck disable=SC2016 # It is for bash to fill in.
over_dev_tcp='exec 3<>"/dev/tcp/$0/$1" || exit 1; cat >&3 & cat <&3; kill $!'

carry() {
  case $tool in
    bash) timeout "$timeout_s" bash -c "$over_dev_tcp" "$address" "$port" ;;
    nc) timeout "$timeout_s" nc "$address" "$port" ;;
    busybox) timeout "$timeout_s" busybox nc "$address" "$port" ;;
  esac
}

read_answer() {
  IFS= read -r line || :
  line=${line%"$return"}
  case $line in
    HTTP/1.?\ [1-5][0-9][0-9]*) ;;
    failed=1) silent 'connection refused' ;;
    failed=124 | failed=143) silent "no answer within $timeout_ms ms" ;;
    '' | failed=*) silent 'closed without an answer' ;;
    *) silent 'answered something that is not HTTP' ;;
  esac
  code=${line#HTTP/1.? }
  code=${code%% *}
  length='' value=''
  while IFS= read -r line; do
    line=${line%"$return"}
    [ -n "$line" ] || break
    name=$(printf '%s' "${line%%:*}" | tr '[:upper:]' '[:lower:]')
    case $name in
      content-length) length=$(printf '%s' "${line#*:}" | tr -d ' ') ;;
      failed=*) silent 'closed without an answer' ;;
    esac
    [ "$name" = "$(printf '%s' "$header" | tr '[:upper:]' '[:lower:]')" ] && value=$(trimmed "${line#*:}")
  done
  # An answer counts when all of it is there.
  if [ -n "$length" ]; then
    [ "$(head -c "$length" | wc -c)" -eq "$length" ] || silent 'closed without an answer'
  else
    cat >/dev/null
  fi
  took=$(($(now_ms) - began))
  [ "$took" -le "$timeout_ms" ] || silent "no answer within $timeout_ms ms"
  answered "$code" "$took" "$value"
}

header_value() {
  while IFS= read -r line; do
    name=$(printf '%s' "${line%%:*}" | tr '[:upper:]' '[:lower:]')
    if [ "$name" = "$(printf '%s' "$header" | tr '[:upper:]' '[:lower:]')" ]; then
      trimmed "${line#*:}"
      return
    fi
  done
}

trimmed() {
  printf '%s' "$1" | tr -d '\r\n' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//'
}

# To the millisecond where date can tell, else to the hundredth of a second that the kernel tells.
now_ms() {
  nanoseconds=$(date +%s%N)
  case $nanoseconds in
    *[!0-9]* | ?????????? | '')
      read -r uptime _ </proc/uptime
      echo "$((${uptime%.*} * 1000 + (1${uptime#*.} - 100) * 10))"
      ;;
    *) echo "${nanoseconds%??????}" ;;
  esac
}

answered() {
  echo "$id answered $1 $2 $3"
  exit 0
}

silent() {
  echo "$id silent $*"
  exit 0
}

return=$(printf '\r')
main
