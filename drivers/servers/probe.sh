#!/bin/sh
# Puts questions to a program on this machine, for whoever may not be given a tunnel:
#
#   sh probe.sh        then one question a line: <id> <timeout in ms> <address> <port> <path> <header or ->
#
# It says `tool=<what asks>` once, and of each question `<id> answered <status> <ms> <header's value>` or
# `<id> silent <why>`. The time is taken here, around the whole exchange: the network between does not count.
# What asks is what is there, the more exact first: curl, then bash with /dev/tcp.

set -u
export LC_ALL=C

main() {
  tool=$(find_tool)
  echo "tool=$tool"
  while read -r id timeout_ms address port path header; do
    (answer) &
  done
  wait
}

find_tool() {
  for tool in curl bash; do
    if command -v "$tool" >/dev/null 2>&1; then
      echo "$tool"
      return
    fi
  done
  echo none
}

answer() {
  case $tool in
    curl) ask_with_curl ;;
    bash) ask_with_bash ;;
    none) silent 'sshd forbids tunnels, and there is neither curl nor bash to ask with, needs "AllowTcpForwarding yes" or one of them' ;;
  esac
}

ask_with_curl() {
  head=$(curl -q --silent --noproxy '*' --http1.1 --max-time "$(seconds)" \
    --header 'Connection: close' --user-agent verdigris-probe --path-as-is --globoff \
    --output /dev/null --dump-header - --write-out 'verdigris %{http_code} %{time_total}\n' \
    "http://$address:$port$path")
  case $? in
    0) ;;
    7) silent 'connection refused' ;;
    28) silent_late ;;
    18 | 52 | 56) silent_closed ;;
    1 | 8) silent_strange ;;
    *) silent "curl ended with status $?" ;;
  esac
  measured=$(printf '%s\n' "$head" | tail -n 1)
  measured=${measured#verdigris }
  took=${measured#* }
  whole=${took%%.*}
  part=$(printf '%.3s' "${took#*.}000")
  # With a one in front it is no octal number.
  answered "${measured%% *}" $((whole * 1000 + 1$part - 1000)) "$(printf '%s\n' "$head" | header_value)"
}

seconds() {
  printf '%d.%03d' $((timeout_ms / 1000)) $((timeout_ms % 1000))
}

header_value() {
  wanted=$(lower "$header")
  while IFS= read -r line; do
    if [ "$(lower "${line%%:*}")" = "$wanted" ]; then
      printf '%s' "${line#*:}" | tr -d '\r' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//'
      return
    fi
  done
}

lower() {
  printf '%s' "$1" | tr '[:upper:]' '[:lower:]'
}

# shellcheck disable=SC2016 # It is for bash to fill in.
exchange='
  address=$1 port=$2 path=$3 wanted=${4,,}
  now_ms() { if [ -n "${EPOCHREALTIME-}" ]; then echo "${EPOCHREALTIME/./}" | sed "s/...$//"; else date +%s%3N; fi; }
  began=$(now_ms)
  exec 3<>"/dev/tcp/$address/$port" || { echo refused; exit; }
  printf "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: verdigris-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n" "$path" "$address" "$port" >&3
  next() { line=; IFS= read -r line <&3 || [ -n "$line" ] || return 1; line=${line%$'"'\\r'"'}; }
  next || { echo closed; exit; }
  [[ $line =~ ^HTTP/1\.[01]\ ([1-5][0-9][0-9])(\ |$) ]] || { echo strange; exit; }
  status=${BASH_REMATCH[1]} length= value=
  while next || { echo closed; exit; }; [ -n "$line" ]; do
    name=${line%%:*} content=${line#*:}
    content=${content#"${content%%[![:space:]]*}"} content=${content%"${content##*[![:space:]]}"}
    [ "${name,,}" = content-length ] && length=$content
    [ "${name,,}" = "$wanted" ] && value=$content
  done
  # An answer counts when all of it is there.
  if [ -n "$length" ]; then
    [ "$(head -c "$length" <&3 | wc -c)" -eq "$length" ] || { echo closed; exit; }
  else
    cat <&3 >/dev/null
  fi
  echo "$status $(($(now_ms) - began)) $value"
'

ask_with_bash() {
  said=$(timeout "$(seconds)" bash -c "$exchange" verdigris-probe "$address" "$port" "$path" "$header" 2>/dev/null)
  [ $? -ne 124 ] || silent_late
  case $said in
    refused) silent 'connection refused' ;;
    closed | '') silent_closed ;;
    strange) silent_strange ;;
  esac
  measured=${said#* }
  answered "${said%% *}" "${measured%% *}" "${measured#* }"
}

answered() {
  echo "$id answered $1 $2 $3"
  exit
}

silent() {
  echo "$id silent $*"
  exit
}

silent_late() {
  silent "no answer within $timeout_ms ms"
}

silent_closed() {
  silent 'closed without an answer'
}

silent_strange() {
  silent 'answered something that is not HTTP'
}

main
