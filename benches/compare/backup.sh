# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# Backups into a directory, beside casync and restic.

# The size of the chunks of all that let one choose it.
backup_chunk=4194304

# First backups, second ones of an image that has not changed, and second ones of an image of which a twentieth of the chunks has.
backups() {
  local peer i trusting=()
  has qemu-nbd qemu-utils backup || return 0
  rivals=()
  ! has casync casync 'casync in backup' || rivals+=(casync casync-sha256)
  ! has restic restic 'restic in backup' || rivals+=(restic)
  for peer in "${peers[@]}"; do trusting+=("$peer/trust"); done
  change_chunks
  rm -f "$work"/figures.* "$work"/stored.*
  for ((i = 0; i < runs; i++)); do
    for peer in "${peers[@]}" "${rivals[@]}"; do backups_of "$peer" || true; done
  done
  rm -rf "$work/changed" "$work/store" "$work/state"
  for table in first again changed; do
    case $table in
      first) print_backups "first backup" "${peers[@]}" "${rivals[@]}" ;;
      again) print_backups "second backup, nothing has changed" "${peers[@]}" "${trusting[@]}" "${rivals[@]}" ;;
      changed) print_backups "second backup, a twentieth has changed" "${peers[@]}" "${rivals[@]}" ;;
    esac
  done
  table= rivals=()
}

# Makes $work/changed: the image with 4 KiB of random bytes in every twentieth chunk.
change_chunks() {
  local at
  cp --sparse=always "$image" "$work/changed"
  for ((at = backup_chunk / 2; at + 4096 <= image_bytes; at += 20 * backup_chunk)); do
    dd if=/dev/urandom of="$work/changed" bs=4096 count=1 seek="$((at / 4096))" conv=notrunc status=none
  done
}

# backups_of PEER: its three backups into a new store, and what comes back of the last.
backups_of() {
  local of=$image status=0
  rm -rf "$work/store" "$work/state"
  mkdir "$work/store"
  [ "$1" != restic ] || restic_runs -q init
  for table in first again changed; do
    [ "$table" != changed ] || of=$work/changed
    back_up "$1" "$of" || return 1
    # It believes that nothing has changed.
    if [ "$table" = again ] && [ -n "${binary_of[$1]:-}" ]; then back_up "$1/trust" "$of" || return 1; fi
  done
  rm -f "$work/back"
  case $1 in
    casync*) casync extract --store="$work/store" "$work/store/changed.caibx" "$work/back" || status=1 ;;
    restic) restic_runs dump latest image >"$work/back" || status=1 ;;
    *) "${binary_of[$1]}" -q restore "$work/store" "$work/back" >"$work/out" || status=1 ;;
  esac
  if [ "$status" != 0 ] || ! cmp "$work/changed" "$work/back"; then
    printf '%s: what comes back differs\n' "$1"
    status=1
  fi
  rm -f "$work/back"
  return "$status"
}

restic_runs() {
  RESTIC_PASSWORD=compare restic --no-cache -r "$work/store" "$@"
}

# back_up PEER FILE: measures a backup of FILE into the store that is there. Peers that read the file sync the file system of the store at
# their end, as ours does.
back_up() {
  local options server=0 status=0 peer=${1%/trust} more=()
  # shellcheck disable=SC2016 # the inner shell is to expand these
  local and_sync='store=$1; shift; "$@" && sync -f "$store"' chunks=$backup_chunk:$backup_chunk:$backup_chunk
  case $1 in
    casync | casync-sha256)
      [ "$1" = casync ] || more=(--digest=sha256)
      measured "$1" sh -c "$and_sync" sh "$work/store" casync make --store="$work/store" --chunk-size="$chunks" "${more[@]}" \
        "$work/store/$table.caibx" "$2" || return 1 ;;
    restic)
      RESTIC_PASSWORD=compare measured "$1" sh -c "$and_sync" sh "$work/store" restic --no-cache -q -r "$work/store" backup --stdin \
        --stdin-filename image <"$2" || return 1 ;;
    *)
      [ "$1" = "$peer" ] || more=(--resume trust)
      read -ra options <<<"${options_of[$peer]}"
      rm -f "$work/nbd.socket"
      serve_image raw "$2" --read-only
      server=$(processor_time "${apart[0]}")
      # What it knows of earlier runs is in a directory that stays.
      measured "$1" env XDG_STATE_HOME="$work/state" "${binary_of[$peer]}" --json backup far: "$work/store" "${options[@]}" \
        "${more[@]}" || status=1
      server=$(processor_time "${apart[0]}" "$server")
      stop_apart
      [ "$status" = 0 ] || return 1 ;;
  esac
  printf '%s %s %s\n' "$1" "$(find "$work/store" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" "$server" \
    >>"$work/stored.$table"
}

# processor_time PID [BEFORE]: the user and system time of a process in seconds, less BEFORE.
processor_time() {
  awk -v before="${2:-0}" -v ticks="$(getconf CLK_TCK)" '{ print ($14 + $15) / ticks - before }' "/proc/$1/stat"
}

# print_backups WHAT PEER...: the table $table, and what is in the stores then.
print_backups() {
  local what=$1
  shift
  [ -s "$work/stored.$table" ] || return 0
  print_table "$(title "$what")" "$image_bytes" "$@"
  printf '%-16s %10s %6s %16s\n' '' 'stored MiB' ratio 'qemu-nbd cpu s'
  awk -v rivals=" ${rivals[*]} " '
    {
      if (!($1 in runs)) order[++peers] = $1
      runs[$1]++; bytes[$1] += $2; server[$1] += $3
    }
    END {
      for (p = 1; p <= peers; p++) {
        bytes[order[p]] /= runs[order[p]]
        if (index(rivals, " " order[p] " ") && (!best || bytes[order[p]] < best)) best = bytes[order[p]]
      }
      if (!best) best = bytes[order[1]]
      for (p = 1; p <= peers; p++)
        printf "%-16s %10.1f %6.2f %16.2f\n", order[p], bytes[order[p]] / 1048576, bytes[order[p]] / best,
          server[order[p]] / runs[order[p]]
    }' "$work/stored.$table"
}
