# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# The images, each made once a run.

# make_image NAME|FILE: makes the image where it is not there yet. Sets: image, image_bytes.
make_image() {
  image=$1
  case $1 in
    dense | sparse | ext4 | random)
      image=$work/$1.img
      [ -f "$image" ] || "make_$1" "$image" || { rm -f "$image"; return 1; } ;;
  esac
  [ -f "$image" ] || die "$image is neither an image's name nor a file"
  image_bytes=$(stat -c %s "$image")
}

# Executables and libraries, as on a root file system, without a hole and almost without zeros.
make_dense() {
  local bytes=$((size_mib << 20))
  executables | head -c "$bytes" >"$1" || true # head ends before what feeds it
  while [ "$(stat -c %s "$1")" -lt "$bytes" ]; do # few are installed: repeat them
    head -c $((bytes - $(stat -c %s "$1"))) "$1" >"$1.more"
    cat "$1.more" >>"$1"
    rm "$1.more"
  done
  # The head of a program must not be taken for that of a container format.
  dd if=/dev/zero of="$1" bs=4096 count=1 conv=notrunc status=none
}
executables() {
  find /usr/bin /usr/lib -xdev -type f -size +16k -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0 cat 2>/dev/null
}

# 4 GiB with 25 extents of 8 MiB.
make_sparse() {
  local i mib=200
  truncate -s 4G "$1"
  executables | head -c $((mib << 20)) >"$1.data" || true
  for ((i = 0; i < mib / 8; i++)); do
    dd if="$1.data" of="$1" bs=8M count=1 skip="$i" seek=$((i * 20 + 1)) conv=notrunc status=none
  done
  rm "$1.data"
}

# A file system of 2 GiB that holds $SOURCE.
make_ext4() {
  has mke2fs e2fsprogs 'the ext4 image' || return 1
  mke2fs -q -t ext4 -d "${SOURCE:-/usr/share}" "$1" 2G >/dev/null
}

make_random() { head -c $((size_mib << 20)) /dev/urandom >"$1"; }
