# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# The scenarios. Each starts its far end, has the peers run, and ends the far end.

is_scenario() {
  local number='[0-9]+(\.[0-9]+)?'
  [[ $1 =~ ^(sink|sink-down|parts|limited|rungs|serve|loop|memory|nbd|nbd-delay|formats|imageio|backup)$ ]] ||
    [[ $1 =~ ^(wan|wan-down|line|nbd):$number:$number:$number(:$number)?$ ]]
}

run_scenario() {
  case $1 in
    *:*)
      can_make_lines "$1" || return 0
      line_up "${1#*:}" ;;
  esac
  case $1 in
    sink) sink_up 127.0.0.1:0; uploads "upload into the sink" ;;
    sink-down) sink_up 127.0.0.1:0; downloads "download from the sink" ;;
    parts) parts ;;
    limited) limited ;;
    rungs) rungs ;;
    serve) over_emulator ;;
    loop) with_loop=1 over_emulator ;;
    memory) memory ;;
    wan:*) sink_up "$server_address:80"; uploads "upload over $line_text" ;;
    wan-down:*) sink_up "$server_address:80"; downloads "download over $line_text" ;;
    line:*) probe_line ;;
    nbd) over_nbd "$1" raw qcow2 memory file ;;
    nbd-delay) over_nbd "$1" delay ;;
    nbd:*) over_nbd "$1" raw ;;
    formats) formats ;;
    imageio) over_imageio ;;
    backup) backups ;;
  esac
  if [ -n "${line_pid:-}" ]; then
    kill "$line_pid"
    wait "$line_pid" || true
    tail -n +2 "$work/line"
    line_pid=
  fi
  stop_servers
  line_down
}

title() {
  printf '%s: %s, %s MiB' "$1" "$image_name" "$((image_bytes >> 20))"
  if [ ${#server_options[@]} -gt 0 ]; then printf ', server %s' "${server_options[*]}"; fi
}

# The vendors' loop and the same four wide, where they were asked for and can be had.
loops() {
  [ "$with_loop" = 1 ] || return 0
  has curl curl 'the loops' >&2 && has gzip gzip 'the loops' >&2 && printf '%s\n' loop loop4
}

uploads() {
  local all=("${peers[@]}")
  mapfile -t -O ${#all[@]} all < <(loops)
  side_by_side "$(title "$1")" "$image_bytes" upload_once - "${all[@]}"
}

downloads() {
  drive=
  side_by_side "$(title "$1")" "$image_bytes" download_once - "${peers[@]}"
}

# upload_once - PEER. Sets: drive.
upload_once() {
  local options
  shift
  case $1 in
    loop | loop4)
      drive=$(new_drive) || return 1
      measured "$1" "$here/loop" upload "$(width "$1")" "$url" "$drive" "$image" ;;
    *)
      read -ra options <<<"${options_of[$1]}"
      measured "$1" "${binary_of[$1]}" --json upload "$image" far: "${options[@]}" || return 1
      drive=$(sed -n '/"event":"summary"/s/.*"drive":"\([^"]*\)".*/\1/p' "$work/out") ;;
  esac
}

# download_once - PEER: downloads $drive, or the sink's image where there is none.
download_once() {
  local options status=0 from=${drive:-$image_drive}
  shift
  rm -f "$work/back"
  case $1 in
    loop | loop4)
      measured "$1" "$here/loop" download "$(width "$1")" "$url" "$from" "$image" "$work/back" || return 1 ;;
    *)
      read -ra options <<<"${options_of[$1]}"
      measured "$1" "${binary_of[$1]}" --json download "far:$from" "$work/back" "${options[@]}" || return 1 ;;
  esac
  cmp "$image" "$work/back" || { printf '%s: what came back differs\n' "$1"; status=1; }
  rm -f "$work/back"
  return "$status"
}

# A drive of the image's size, made as the vendors' script makes it.
new_drive() {
  printf 'name loop\nsize %s\n' "$image_bytes" |
    "${in_client[@]}" curl -sSf -K "$CURLRC" -H 'Content-Type: text/plain' --data-binary @- "$url/drives/create" |
    sed -n 's/^drive //p'
}

width() { if [ "$1" = loop4 ]; then echo 4; else echo 1; fi; }

# Uploads to an emulator that has no drives and downloads that again, each a table of its own.
over_emulator() {
  local all=("${peers[@]}") peer i
  mapfile -t -O ${#all[@]} all < <(loops)
  rm -f "$work"/figures.*
  for ((i = 0; i < runs; i++)); do
    for peer in "${all[@]}"; do
      emulator_up
      if table=upload upload_once - "$peer"; then table=download download_once - "$peer" || true; fi
      stop_servers
    done
  done
  rm -rf "$work/data"
  for table in upload download; do
    print_table "$(title "$table, emulator")" "$image_bytes" "${all[@]}"
  done
  table=
}

# Every kind of compression with the same engine.
rungs() {
  sink_up 127.0.0.1:0
  set_peers auto= 'none=--compress none' '1=--compress 1' '3=--compress 3' '6=--compress 6' '9=--compress 9'
  uploads "upload into the sink"
  set_peers "${option_sets[@]}"
}

# What the parts of an upload cost one by one, and the program beside their sum, in turn.
parts() {
  local kind i
  sink_up 127.0.0.1:0
  for kind in auto none; do
    rm -f "$work"/figures.* "$work/parts"
    for ((i = 0; i < runs; i++)); do
      "$tools" parts "$url" "$image" --compress "$kind" >>"$work/parts"
      measured program "${binary_of[${peers[0]}]}" --json upload "$image" far: --compress "$kind" || return 0
    done
    printf '\n%s, compress %s: CPU s, medians\n' "$(title parts)" "$kind"
    printf '%10s %10s %10s %10s %10s %10s %10s\n' read digest compress requests sum program ratio
    {
      for i in 1 2 3 4 5; do column_median "$i" "$work/parts"; done
      awk '{ print $2 + $3 }' "$(figures program)" | column_median 1 -
    } | tr '\n' ' ' |
      awk '{ printf "%10.2f %10.2f %10.2f %10.2f %10.2f %10.2f %10.2f\n", $1, $2, $3, $4, $5, $6, $6 / $5 }'
  done
}

# Forces each limit once, and prints what the summary says of it.
limited() {
  local program=${binary_of[${peers[0]}]} options=("${server_options[@]}")
  printf '\n%s\n%12s %12s\n' "$(title 'limited by')" forced said
  sink_up 127.0.0.1:0
  said source bash -c '"$0" drip 60 <"$1" | "$2" --json upload - far: --size "$3" --compress none' \
    "$tools" "$image" "$program" "$image_bytes"
  said cpu "$program" --json upload "$image" far: --compress 9
  said destination bash -c '"$2" -v download "far:$3" - | "$0" drip 60 >/dev/null' \
    "$tools" "$image" "$program" "$image_drive"
  said bwlimit "$program" --json upload "$image" far: --bwlimit 60M --compress none
  stop_servers
  server_options=(--wait 400)
  sink_up 127.0.0.1:0
  said server "$program" --json upload "$image" far: --compress none
  server_options=("${options[@]}")
  stop_servers
  if can_make_lines limited; then
    line_up 500:50:0
    sink_up "$server_address:80"
    said network "$program" --json upload "$image" far: --compress none
    kill "$line_pid"
    wait "$line_pid" || true
    line_pid=
    stop_servers
    line_down
  fi
}

# said WHAT COMMAND...
said() {
  local what=$1 limit
  shift
  rm -f "$work"/figures.*
  measured "$what" "$@" || return 0
  limit=$(awk '{ print $6 }' "$(figures "$what")")
  # Where standard output takes the image, it is said beside it.
  [ "$limit" != - ] || limit=$(sed -n 's/.*limited by \([a-z]*\).*/\1/p' "$work/err" | tail -n 1)
  printf '%12s %12s\n' "$what" "$limit"
}

# column_median N FILE
column_median() {
  awk -v column="$1" '{ print $column }' "$2" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

# Measures the line alone: buffers large enough for it, one connection.
probe_line() {
  local setting namespace
  for namespace in "${namespaces[@]}"; do
    for setting in tcp_rmem tcp_wmem; do in_namespace "$namespace" "$setting" '4096 1000000 67108864'; done
  done
  start "$work/sink" "${in_server[@]}" "$tools" sink "$server_address:80"
  printf '\n%s\n' "$line_text"
  "${in_client[@]}" "$tools" probe "$server_address:80"
}

# Peak memory of each kind of transfer, with two processors and with 64 that only seem to be there.
memory() {
  local processors peer kind cell options command under=(env)
  sink_up 127.0.0.1:0
  printf '\n%s, load %s: peak MiB\n' "$(title memory)" "$(cut -d' ' -f1 /proc/loadavg)"
  printf '%-16s %10s %10s %10s %10s %10s\n' peer processors upload stdin migrate download
  for processors in 2 64; do
    case $processors in
      2)
        if [ "$(nproc)" -gt 2 ]; then
          has taskset util-linux 'memory at 2 processors' || continue
          under=(taskset -c 0-1)
        fi ;;
      64) claim_processors 64 || continue; under=(env "LD_PRELOAD=$work/processors.so") ;;
    esac
    for peer in "${peers[@]}"; do
      read -ra options <<<"${options_of[$peer]}"
      printf '%-16s %10s' "$peer" "$processors"
      for kind in upload stdin migrate download; do
        case $kind in
          upload) command=(upload "$image" far:) ;;
          stdin) command=(upload - far: --size "$image_bytes") ;;
          migrate) command=(migrate "far:$image_drive" other:) ;;
          download) command=(download "far:$image_drive" "$work/back") ;;
        esac
        rm -f "$work"/figures.* "$work/back"
        cell=failed
        if measured memory "${under[@]}" "${binary_of[$peer]}" --json "${command[@]}" "${options[@]}" <"$image" >&2; then
          cell=$(awk '{ printf "%.0f", $4 / 1024 }' "$(figures memory)")
        fi
        printf ' %10s' "$cell"
      done
      printf '\n'
    done
  done
  rm -f "$work/back"
}

# claim_processors N: builds the library that claims N processors, and checks that a Rust program believes it.
claim_processors() {
  local seen
  has cc gcc "memory at $1 processors" || return 1
  cc -O1 -shared -fPIC -DPROCESSORS="$1" -o "$work/processors.so" "$here/processors.c" -ldl || return 1
  seen=$(LD_PRELOAD=$work/processors.so "$tools" processors)
  [ "$seen" = "$1" ] && return
  printf 'skipped memory at %s processors: %s are seen nevertheless, as a control group limits them\n' "$1" "$seen"
  return 1
}
