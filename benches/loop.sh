#!/usr/bin/env bash
# diskferry against the loop that a vendor's upload and download scripts are (head | gzip | curl, a chunk at a time), over
# the same emulator, in one run: wall time, CPU seconds of the client, peak resident memory.
#
#   benches/loop.sh [IMAGE]
#
# Without IMAGE a 2 GiB ext4 image is made of the files in $SOURCE (/usr/share) with mke2fs -d, which needs no root.
# Needs: curl, gzip, cmp; mke2fs for the image; GNU time (/usr/bin/time) for the memory, or does without it.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/diskferry-bench.XXXXXX")
cleanup() { [ -n "${server:-}" ] && kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
cargo build --release --locked --manifest-path "$here/Cargo.toml" 2>&1 | tail -1
df=${CARGO_TARGET_DIR:-$here/target}/release/diskferry
export HOME=$work DISKFERRY_CONFIG=$work/config.toml

image=${1:-}
if [ -z "$image" ]; then
  image=$work/image.ext4
  mke2fs -q -t ext4 -d "${SOURCE:-/usr/share}" "$image" 2G
fi
size=$(stat -c %s "$image")
printf 'image: %s, %d bytes, %d KiB on disk\n' "$image" "$size" "$(du -k "$image" | cut -f1)"

"$df" serve openhosting=127.0.0.1:0 --data "$work/data" --write-config "$DISKFERRY_CONFIG" >"$work/serve" 2>/dev/null &
server=$!
until [ -s "$work/serve" ]; do sleep 0.1; done
url=$(sed -n 's/^url = "\(.*\)\/"$/\1/p' "$DISKFERRY_CONFIG")
auth=$(sed -n 's/^user = "\(.*\)"/\1/p' "$DISKFERRY_CONFIG"):$(sed -n 's/^secret = "\(.*\)"/\1/p' "$DISKFERRY_CONFIG")
printf 'user = "%s"\n' "$auth" >"$work/curlrc"
curl() { command curl -sSf -K "$work/curlrc" "$@"; }

chunk=4194304
loop_up() { # the vendor's way: one chunk after the other, each its own three processes
  local drive=$1 offset=0
  while [ "$offset" -lt "$size" ]; do
    head -c "$chunk" <&3 | gzip -c | curl -H 'Expect:' -H 'Content-Type: application/octet-stream' \
      -H 'Content-Encoding: gzip' --data-binary @- "$url/drives/$drive/write/$offset"
    offset=$((offset + chunk))
  done 3<"$image"
}
loop_down() {
  local drive=$1 offset=0
  while [ "$offset" -lt "$size" ]; do
    local len=$((size - offset < chunk ? size - offset : chunk))
    curl "$url/drives/$drive/read/$offset/$len"
    offset=$((offset + chunk))
  done >"$work/loop.back"
}
TIMEFORMAT='  wall %R s, cpu %U user + %S sys s'
peak() { if [ -x /usr/bin/time ]; then /usr/bin/time -f '  peak resident %M KiB' "$@"; else "$@"; fi; }

echo "upload, diskferry"
time peak "$df" upload "$image" openhosting: >"$work/drive"
drive=$(cat "$work/drive")
echo "download, diskferry"
time peak "$df" download "openhosting:$drive" "$work/back"
cmp "$image" "$work/back" && echo "  equal; $(du -k "$work/back" | cut -f1) KiB on disk"
if [ "${LOOP:-1}" != 0 ]; then
  echo "upload, the loop"
  other=$(printf 'name loop\nsize %s\n' "$size" | curl --data-binary @- -H 'Content-Type: text/plain' "$url/drives/create" | sed -n 's/^drive //p')
  time loop_up "$other"
  echo "download, the loop"
  time loop_down "$other"
  cmp "$image" "$work/loop.back" && echo "  equal"
fi
