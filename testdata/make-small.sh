#!/bin/sh
# Makes small.ext4, the image that the README's first commands upload: 16 MiB, ext4, the same bytes on every run.
#
#   testdata/make-small.sh [OUTPUT [REVISION]]
#
# OUTPUT is testdata/small.ext4 unless given. REVISION is the commit whose sources go into the image, HEAD unless given.
# Needs git, tar, awk, openssl (for a cipher stream as fixed noise), and mke2fs, debugfs and e2fsck of e2fsprogs.
#
# The files are written into the file system one by one with debugfs rather than with `mke2fs -d`, because the latter
# copies owners, change times and directory order from this machine, and the image would differ from run to run.
# Written in order, they also lie in order: each 4 MiB of the image is of a kind of its own (see README.md).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
'') output=$here/small.ext4 ;;
/*) output=$1 ;;
*) output=$PWD/$1 ;; # the script changes directory
esac
revision=${2:-HEAD}
PATH=$PATH:/sbin:/usr/sbin

work=$(mktemp -d)
tree=$work/tree
image=$work/image
trap 'rm -rf "$work"' EXIT
mkdir "$tree"

export LC_ALL=C TZ=UTC
export E2FSPROGS_FAKE_TIME=1262304000  # 2010-01-01, for every time stamp
export MKE2FS_CONFIG=$work/mke2fs.conf # not this machine's defaults
printf '[fs_types]\next4 = {\ninode_size = 256\n}\nsmall = {\ninode_size = 256\n}\n' >"$MKE2FS_CONFIG"
umask 022

# --- What is in it ---------------------------------------------------------------------------------------------------

# Compressible text: this project's own sources.
mkdir "$tree/diskferry"
git -C "$here/.." archive "$revision" src Cargo.toml | tar -x -C "$tree/diskferry"

# Compressible text: the log of a server that never was. The numbers are a linear congruential sequence small enough to
# be exact in every awk.
mkdir -p "$tree/var/log"
awk 'BEGIN {
    verbs = split("started stopped read wrote synced checked moved resized", verb)
    things = split("drive server image snapshot network address queue journal", thing)
    for (line = 0; line < 16000; line++) {
        seed = (seed * 1103 + 12345) % 1048576
        printf "2010-01-%02d %02d:%02d:%02d host%d %s %s %06d in %d ms\n",
            line / 1440 + 1, line / 60 % 24, line % 60, seed % 60, int(seed / 64) % 4,
            verb[int(seed / 1024) % verbs + 1], thing[int(seed / 8192) % things + 1], line, int(seed / 512) % 90
    }
}' >"$tree/var/log/events.log"

# Compressible, but no text: a picture of 512 by 512 pixels, in grey, as PGM.
awk 'BEGIN {
    print "P5\n512 512\n126"
    for (y = 0; y < 512; y++) for (x = 0; x < 512; x++) printf "%c", 1 + int((x * y) / 2080)
}' >"$tree/picture.pgm"

# Incompressible: 768 KiB of a cipher stream.
noise() {
    head -c "$1" /dev/zero |
        openssl enc -aes-128-ctr -nosalt -K 6469736b6665727279206e6f69736521 -iv 00000000000000000000000000000000
}
noise 786432 >"$tree/noise.bin"

# Holes: two pages of noise, one at 64 KiB and the last one of 1 MiB, and nothing between.
mkdir "$tree/sparse"
noise 4096 | dd of="$tree/sparse/holes.bin" bs=4096 seek=16 conv=notrunc status=none
noise 4096 | dd of="$tree/sparse/holes.bin" bs=4096 seek=255 conv=notrunc status=none

# The odd ones.
: >"$tree/empty"
printf 'a name with blanks and letters beyond ASCII\n' >"$tree/a näme"

chmod -R u=rwX,go=rX "$tree" # tar keeps other modes for root than for anyone else

# --- The file system -------------------------------------------------------------------------------------------------

truncate -s 16M "$image"
mke2fs -q -F -t ext4 -b 4096 -I 256 -N 512 -m 0 -L small -J size=4 \
    -O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
    -U 64697366-6572-7279-8000-736d616c6c00 \
    -E hash_seed=64697366-6572-7279-8000-736565640000,lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0 \
    "$image"

# Runs the debugfs commands of its standard input. debugfs does not fail where a file cannot be written, but it says so.
write_into_image() {
    debugfs -w -f - "$image" >"$work/said" 2>&1 || { cat "$work/said" >&2 && exit 1; }
    if grep -v -e '^debugfs' -e '^Allocated inode' "$work/said" >&2; then exit 1; fi
}

# Directories before what is in them, and the noise later.
cd "$tree"
{
    find . -mindepth 1 -type d | sort | sed 's|^\./\(.*\)|mkdir "/\1"|'
    find . -type f ! -path ./noise.bin | sort | sed "s|^\./\(.*\)|write \"$tree/\1\" \"/\1\"|"
    echo "symlink /log var/log"
} | write_into_image

# A file that has room set aside but nothing written takes what is left below 8 MiB, where the noise is to begin.
free=$(debugfs -R 'ffb 1 1030' "$image" 2>/dev/null | sed 's/.*: *\([0-9]*\).*/\1/')
aside=$((2048 - free))
: >"$work/set-aside"
{
    echo "write \"$work/set-aside\" /set-aside"
    echo "fallocate /set-aside 0 $((aside - 1))"
    echo "sif /set-aside size $((aside * 4096))"
    echo "write \"$tree/noise.bin\" /noise.bin"
    echo "ln /noise.bin /noise-again.bin"
    echo "sif /noise.bin links_count 2"
} | write_into_image

e2fsck -f -n "$image" >/dev/null 2>&1
cp --sparse=always "$image" "$output"
