# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# Servers of network block devices, and the clients that others wrote, beside ours.

# The clients that are here, for the table of SCENARIO. Sets: rivals.
find_rivals() {
  rivals=()
  ! has nbdcopy libnbd-bin "nbdcopy in $1" || rivals+=(nbdcopy)
  ! has qemu-img qemu-utils "qemu-img in $1" || rivals+=(qemu-img)
}

# start_apart COMMAND...: starts a server that leaves this shell once it accepts connections, and writes its id to
# $work/server.pid.
start_apart() {
  local i
  rm -f "$work/server.pid"
  "${in_server[@]}" "$@" >"$work/server" 2>&1 || die "$* did not start: $(cat "$work/server")"
  # nbdkit writes it a moment later.
  for ((i = 0; i < 200; i++)); do
    [ ! -s "$work/server.pid" ] || break
    sleep 0.02
  done
  apart+=("$(cat "$work/server.pid")")
}

# serve_image FORMAT FILE [OPTION...]: qemu-nbd over FILE, on a unix socket or, at the end of a line, on its address.
serve_image() {
  local format=$1 file=$2
  shift 2
  if [ ${#in_server[@]} -gt 0 ]; then
    start_apart qemu-nbd --fork --pid-file="$work/server.pid" --persistent --shared=0 --discard=unmap -f "$format" \
      --bind "$server_address" "$@" "$file"
    nbd_remote "nbd://$server_address/"
  else
    start_apart qemu-nbd --fork --pid-file="$work/server.pid" --persistent --shared=0 --discard=unmap -f "$format" \
      --socket "$work/nbd.socket" "$@" "$file"
    nbd_remote "nbd+unix:///?socket=$work/nbd.socket"
  fi
}

# serve_nbdkit ARGUMENT...: nbdkit with that plugin or filter.
serve_nbdkit() {
  start_apart nbdkit --pidfile "$work/server.pid" --unix "$work/nbd.socket" "$@"
  nbd_remote "nbd+unix:///?socket=$work/nbd.socket"
}

# nbd_remote URI. Sets: nbd, DISKFERRY_CONFIG.
nbd_remote() {
  nbd=$1
  export DISKFERRY_CONFIG=$work/nbd.toml
  printf '[remotes.far]\nprovider = "nbd"\nurl = "%s"\n' "$nbd" >"$DISKFERRY_CONFIG"
  chmod 600 "$DISKFERRY_CONFIG"
}

# empty_server KIND: a server of KIND over a new disk of the image's size.
empty_server() {
  rm -f "$work/target" "$work/nbd.socket"
  case $1 in
    raw) truncate -s "$image_bytes" "$work/target"; serve_image raw "$work/target" ;;
    qcow2) qemu-img create -q -f qcow2 "$work/target" "$image_bytes"; serve_image qcow2 "$work/target" ;;
    file) truncate -s "$image_bytes" "$work/target"; serve_nbdkit file "$work/target" ;;
    memory) serve_nbdkit memory "$image_bytes" ;;
    delay)
      truncate -s "$image_bytes" "$work/target"
      serve_nbdkit --filter=delay file "$work/target" rdelay=10ms wdelay=10ms ;;
  esac
}

# full_server KIND: a server of KIND, for reading, over the image.
full_server() {
  rm -f "$work/nbd.socket"
  case $1 in
    raw) serve_image raw "$image" --read-only ;;
    qcow2)
      qemu-img convert -f raw -O qcow2 "$image" "$work/served.qcow2"
      serve_image qcow2 "$work/served.qcow2" --read-only ;;
    file) serve_nbdkit --readonly file "$image" ;;
    memory)
      serve_nbdkit memory "$image_bytes"
      nbdcopy "$image" "$nbd" ;;
    delay) serve_nbdkit --readonly --filter=delay file "$image" rdelay=10ms wdelay=10ms ;;
  esac
}

server_name() {
  case $1 in
    raw | qcow2) printf 'qemu-nbd over %s' "$1" ;;
    delay) printf 'nbdkit over a file, 10 ms a request' ;;
    *) printf 'nbdkit over %s' "${1/file/a file}" ;;
  esac
}

# over_nbd SCENARIO KIND...: uploads to and downloads from each kind of server.
over_nbd() {
  local kind scenario=$1
  shift
  find_rivals "$scenario"
  for kind in "$@"; do
    case $kind in
      raw | qcow2) has qemu-nbd qemu-utils "$(server_name "$kind")" || continue ;;
      *) has nbdkit nbdkit "$(server_name "$kind")" || continue ;;
    esac
    case $kind in
      qcow2) has qemu-img qemu-utils "$(server_name "$kind")" || continue ;;
      memory) has nbdcopy libnbd-bin "$(server_name "$kind")" || continue ;;
    esac
    side_by_side "$(title "upload to $(server_name "$kind")${line_text:+, $line_text}")" "$image_bytes" \
      put_once "$kind" "${peers[@]}" "${rivals[@]}"
    full_server "$kind"
    side_by_side "$(title "download from $(server_name "$kind")${line_text:+, $line_text}")" "$image_bytes" \
      get_once "$kind" "${peers[@]}" "${rivals[@]}"
    stop_apart
    rm -f "$work/served.qcow2"
  done
  rivals=()
}

# put_once KIND PEER: uploads the image to an empty server, and compares what is there then.
put_once() {
  local kind=$1 status=0
  empty_server "$kind"
  copy_to_server "$2" raw "$image" || status=1
  if [ "$kind" = memory ]; then
    # Its bytes go with it.
    [ "$status" != 0 ] || { nbdcopy "$nbd" "$work/target" && cmp "$image" "$work/target"; } || status=1
    stop_apart
  else
    stop_apart
    [ "$status" != 0 ] || same_as_image "$work/target" "$kind" "$2" || status=1
  fi
  rm -f "$work/target"
  return "$status"
}

# copy_to_server PEER FORMAT FILE: measures a copy of an image to the server that runs.
copy_to_server() {
  local options
  case $1 in
    nbdcopy) measured "$1" nbdcopy --flush "$3" "$nbd" ;;
    # It flushes at its end unless it is told not to.
    qemu-img) measured "$1" qemu-img convert -n -W -m 8 -f "$2" -O raw "$3" "$nbd" ;;
    *)
      read -ra options <<<"${options_of[$1]}"
      measured "$1" "${binary_of[$1]}" --json upload "$3" far: "${options[@]}" ;;
  esac
}

# get_once KIND PEER: downloads the image from the server that runs. The file is synced by all: by ours in any case, by the
# others because this asks for it.
get_once() {
  local options status=0
  rm -f "$work/back"
  case $2 in
    nbdcopy) and_sync "$2" nbdcopy "$nbd" "$work/back" || return 1 ;;
    qemu-img) and_sync "$2" qemu-img convert -W -m 8 -f raw -O raw "$nbd" "$work/back" || return 1 ;;
    *)
      read -ra options <<<"${options_of[$2]}"
      measured "$2" "${binary_of[$2]}" --json download far: "$work/back" "${options[@]}" || return 1 ;;
  esac
  cmp "$image" "$work/back" || { printf '%s: what came back differs\n' "$2"; status=1; }
  rm -f "$work/back"
  return "$status"
}

# and_sync PEER COMMAND...: measures COMMAND and a sync of what it wrote.
and_sync() {
  local peer=$1
  shift
  # shellcheck disable=SC2016 # the inner shell is to expand these
  measured "$peer" sh -c 'back=$1; shift; "$@" && sync "$back"' sh "$work/back" "$@"
}

# same_as_image FILE KIND PEER
same_as_image() {
  case $2 in
    qcow2) qemu-img compare -q -f raw -F qcow2 "$image" "$1" ;;
    *) cmp "$image" "$1" ;;
  esac || { printf '%s: what it wrote differs\n' "$3"; return 1; }
}

# Uploads of the image in formats of its own to qemu-nbd over a raw image.
formats() {
  local kind
  has qemu-nbd qemu-utils formats || return 0
  has qemu-img qemu-utils formats || return 0
  rivals=(qemu-img)
  for kind in plain compressed; do
    if [ "$kind" = compressed ]; then set -- -c; else set --; fi
    qemu-img convert "$@" -f raw -O qcow2 "$image" "$work/source.qcow2"
    side_by_side "$(title "upload of a $kind qcow2 to qemu-nbd over raw")" "$image_bytes" \
      put_format_once raw "${peers[@]}" "${rivals[@]}"
    rm -f "$work/source.qcow2"
  done
  rivals=()
}

# put_format_once KIND PEER
put_format_once() {
  local status=0
  empty_server "$1"
  copy_to_server "$2" qcow2 "$work/source.qcow2" || status=1
  stop_apart
  [ "$status" != 0 ] || same_as_image "$work/target" "$1" "$2" || status=1
  rm -f "$work/target"
  return "$status"
}
