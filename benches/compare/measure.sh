# shellcheck shell=bash disable=SC2034,SC2154 # `run` has the other end of these variables
# What is run, how it is measured, and how the figures are printed.

# The peers by name, in the order in which they run, each a diskferry with options. Sets: peers, binary_of, options_of.
set_peers() {
  local sets=("$@") pair set name
  [ ${#sets[@]} -gt 0 ] || sets=("=")
  peers=()
  declare -gA binary_of=() options_of=()
  for set in "${sets[@]}"; do
    for pair in "${binaries[@]}"; do
      name=${pair%%=*}
      if [ ${#binaries[@]} = 1 ] && [ -n "${set%%=*}" ]; then
        name=${set%%=*}
      elif [ -n "${set%%=*}" ]; then
        name+=/${set%%=*}
      fi
      peers+=("$name")
      binary_of[$name]=${pair#*=}
      options_of[$name]=${set#*=}
    done
  done
}

# has COMMAND PACKAGE WHAT: whether COMMAND is here. Otherwise says which Debian package has it and that WHAT is skipped.
has() {
  command -v "$1" >/dev/null && return
  printf 'skipped %s: it needs %s, of the Debian package %s\n' "$3" "$1" "$2"
  return 1
}

# measured PEER COMMAND...: runs COMMAND with a fresh home directory, in the client's namespace if there is one, and adds
# its figures to those of PEER. Standard input, if any, is the caller's.
measured() {
  local peer=$1 status=0 wall user system peak wire limited
  shift
  rm -rf "$HOME"
  mkdir "$HOME"
  "${in_client[@]}" "$tools" measure "$work/measured" "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" != 0 ]; then
    printf '%s failed with exit status %s: %s\n' "$peer" "$status" "$(grep -m1 . "$work/err" || true)"
    return 1
  fi
  read -r wall user system peak _ <"$work/measured"
  wire=$(sed -n 's/.*"bytes_wire":\([0-9]*\).*/\1/p' "$work/out" | tail -n 1)
  limited=$(sed -n 's/.*"limited_by":"\([^"]*\)".*/\1/p' "$work/out" | tail -n 1)
  printf '%s %s %s %s %s %s\n' "$wall" "$user" "$system" "$peak" "${wire:--}" "${limited:--}" >>"$(figures "$peer")"
}

# The file of a peer's figures for the table $table, a run a line: wall, user, system (s), peak (KiB), bytes on the wire,
# what limited it.
table=
figures() { printf '%s/figures.%s.%s\n' "$work" "$table" "${1//\//_}"; }

# side_by_side TITLE BYTES FUNCTION ARGUMENT PEER...: calls FUNCTION with ARGUMENT and each PEER in turn, as often as asked,
# and prints a table.
side_by_side() {
  local title=$1 bytes=$2 function=$3 argument=$4 peer i
  shift 4
  rm -f "$work"/figures.*
  for ((i = 0; i < runs; i++)); do
    for peer in "$@"; do "$function" "$argument" "$peer" || true; done
  done
  print_table "$title" "$bytes" "$@"
}

# The peers that others wrote, where a table has some.
rivals=()

# print_table TITLE BYTES PEER...: prints the medians of each peer and their ratios to the best of $rivals or, where there are
# none, to the first.
print_table() {
  local title=$1 bytes=$2 peer
  shift 2
  printf '\n%s, load %s\n' "$title" "$(cut -d' ' -f1 /proc/loadavg)"
  printf '%-16s %8s %6s %7s %7s %8s %6s %9s %8s %8s  %s\n' \
    peer 'wall s' ratio spread MB/s 'cpu s' ratio 'cpu s/GiB' 'peak MiB' 'wire MiB' 'limited by'
  for peer in "$@"; do
    [ -s "$(figures "$peer")" ] || continue
    awk -v peer="$peer" '{ print peer, $0 }' "$(figures "$peer")"
  done | awk -v bytes="$bytes" -v rivals=" ${rivals[*]} " '
    function median(of, peer,   i, j, x, sorted, n) {
      n = count[peer]
      for (i = 1; i <= n; i++) {
        x = value[of, peer, i]
        for (j = i - 1; j > 0 && sorted[j] > x; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = x
      }
      least = sorted[1]; most = sorted[n]
      return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    }
    {
      if (!($1 in count)) order[++peers] = $1
      n = ++count[$1]
      value["wall", $1, n] = $2 + 0
      value["cpu", $1, n] = $3 + $4
      value["peak", $1, n] = $5 + 0
      value["wire", $1, n] = $6 + 0
      if (index(" " limited[$1] " ", " " $7 " ") == 0) limited[$1] = limited[$1] (limited[$1] ? " " : "") $7
    }
    # The least of the rivals, or what the first peer has.
    function base(of,   p, best) {
      for (p = 1; p <= peers; p++)
        if (index(rivals, " " order[p] " ") && (!best || median(of, order[p]) < best)) best = median(of, order[p])
      if (!best) best = median(of, order[1])
      return best > 0 ? best : 1e-6
    }
    END {
      base_wall = base("wall"); base_cpu = base("cpu")
      for (p = 1; p <= peers; p++) {
        peer = order[p]
        cpu = median("cpu", peer); peak = median("peak", peer); wire = median("wire", peer)
        wall = median("wall", peer)
        printf "%-16s %8.2f %6.2f %6.0f%% %7.1f %8.2f %6.2f %9.2f %8.0f %8s  %s\n", peer, wall, wall / base_wall,
          (most - least) / wall * 100, bytes / wall / 1e6, cpu, cpu / base_cpu, cpu / (bytes / 1073741824), peak / 1024,
          wire ? sprintf("%.0f", wire / 1048576) : "-", limited[peer]
      }
    }'
}
