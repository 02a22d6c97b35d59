# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# The oVirt image server and its own client, beside ours.

ticket=10000000-0000-4000-8000-000000000001

# Finds the server where the tests look for it: by DISKFERRY_OVIRT_IMAGEIO, in PATH, or where tests/clients/pypi has put it. Sets:
# image_server.
find_image_server() {
  local found
  for found in "$image_server" "$(command -v ovirt-imageio || true)" \
    "${CARGO_TARGET_DIR:-$here/../../target}/clients-ovirt/bin/ovirt-imageio"; do
    if [ -x "$found" ]; then
      image_server=$found
      return
    fi
  done
  printf 'skipped imageio: it needs ovirt-imageio, which tests/clients/pypi installs\n'
  return 1
}

# Makes a certificate that holds for this machine, once a run.
make_certificate() {
  [ ! -f "$work/cert.pem" ] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -addext basicConstraints=critical,CA:FALSE \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
}

# image_server_up KIND OPERATION: a server of KIND, `https` or `unix` (which is https too, and has a socket on this
# machine), with a ticket for what the NBD server holds that runs, as in oVirt. Sets: url, DISKFERRY_CONFIG.
image_server_up() {
  local i pid local_socket=false
  [ "$1" = https ] || local_socket=true
  rm -rf "$work/imageio"
  mkdir -p "$work/imageio/conf.d"
  cat >"$work/imageio/conf.d/50-run.conf" <<END
[daemon]
systemd_enable = false
drop_privileges = false
run_dir = $work/imageio
[remote]
host = 127.0.0.1
port = 0
[control]
transport = unix
socket = $work/imageio/control
[local]
enable = $local_socket
socket = $work/imageio/local
[tls]
enable = true
cert_file = $work/cert.pem
key_file = $work/key.pem
[handler_logfile]
keyword__class = logging.FileHandler
args = ("$work/imageio/log",)
kwargs = {}
END
  "$image_server" -c "$work/imageio" >"$work/imageio/out" 2>&1 &
  pid=$!
  started+=("$pid")
  for ((i = 0; i < 400; i++)); do
    ! grep -qs 'Ready for requests' "$work/imageio/log" || break
    kill -0 "$pid" 2>/dev/null || die "the image server did not start: $(cat "$work/imageio/out")"
    sleep 0.05
  done
  url=https://127.0.0.1:$(sed -n "s/.*remote.service listening on.*[^0-9]\([0-9]\{2,\}\)[^0-9]*$/\1/p" "$work/imageio/log")/images/
  curl -sSf --unix-socket "$work/imageio/control" -X PUT -H 'Content-Type: application/json' "http://control/tickets/$ticket" \
    -d '{"uuid":"'"$ticket"'","size":'"$image_bytes"',"url":"nbd:unix:'"$work/nbd.socket"'","timeout":3600,"sparse":true,"ops":["'"$2"'"]}' ||
    die 'the image server takes no ticket'
  export DISKFERRY_CONFIG=$work/imageio.toml
  printf '[remotes.far]\nprovider = "imageio"\nurl = "%s"\nsecret = "%s"\nca_file = "%s"\n' "$url" "$ticket" "$work/cert.pem" \
    >"$DISKFERRY_CONFIG"
  chmod 600 "$DISKFERRY_CONFIG"
}

over_imageio() {
  local kind
  find_image_server || return 0
  has qemu-nbd qemu-utils imageio || return 0
  has openssl openssl imageio || return 0
  has curl curl imageio || return 0
  make_certificate
  rivals=(ovirt-client)
  for kind in https unix; do
    side_by_side "$(title "upload to the oVirt image server, $kind")" "$image_bytes" \
      put_image_once "$kind" "${peers[@]}" "${rivals[@]}"
    full_server raw
    image_server_up "$kind" read
    side_by_side "$(title "download from the oVirt image server, $kind")" "$image_bytes" \
      get_image_once "$kind" "${peers[@]}" "${rivals[@]}"
    stop_servers
  done
  rivals=()
}

# The server's own client. It reads and writes the file through a qemu-nbd of its own, whose time is counted with it.
ovirt_client='
import sys
from ovirt_imageio import client
what, url, file, ca = sys.argv[1:]
if what == "upload":
    client.upload(file, url, ca)
else:
    client.download(url, file, ca, fmt="raw")
'

# put_image_once KIND PEER
put_image_once() {
  local options status=0
  empty_server raw
  image_server_up "$1" write
  case $2 in
    ovirt-client)
      measured "$2" "$(dirname "$image_server")/python3" -c "$ovirt_client" upload "$url$ticket" "$image" "$work/cert.pem" ||
        status=1 ;;
    *)
      read -ra options <<<"${options_of[$2]}"
      measured "$2" "${binary_of[$2]}" --json upload "$image" far: "${options[@]}" || status=1 ;;
  esac
  stop_servers
  [ "$status" != 0 ] || same_as_image "$work/target" raw "$2" || status=1
  rm -f "$work/target"
  return "$status"
}

# get_image_once KIND PEER
get_image_once() {
  local options status=0
  rm -f "$work/back"
  case $2 in
    ovirt-client)
      and_sync "$2" "$(dirname "$image_server")/python3" -c "$ovirt_client" download "$url$ticket" "$work/back" \
        "$work/cert.pem" || return 1 ;;
    *)
      read -ra options <<<"${options_of[$2]}"
      measured "$2" "${binary_of[$2]}" --json download far: "$work/back" "${options[@]}" || return 1 ;;
  esac
  cmp "$image" "$work/back" || { printf '%s: what came back differs\n' "$2"; status=1; }
  rm -f "$work/back"
  return "$status"
}
