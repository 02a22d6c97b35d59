# shellcheck shell=bash disable=SC2034,SC2154 # `run` and the files beside it have the other end of these variables
# The far ends, and the lines to them.

# What a command of the client, or of the server, is run under.
in_client=() in_server=()
started=()

# start FILE COMMAND...: starts a server and waits until it has written a line to FILE.
start() {
  local out=$1 pid i
  shift
  : >"$out"
  "$@" >"$out" 2>"$out.err" &
  pid=$!
  started+=("$pid")
  for ((i = 0; i < 200; i++)); do
    [ ! -s "$out" ] || return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  die "$* did not start: $(cat "$out.err")"
}

# The ids of servers that are no children of this shell.
apart=()

# Ends these.
stop_apart() {
  local pid
  for pid in "${apart[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${apart[@]}"; do while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; done
  apart=()
}

# Ends every server, and a line.
stop_servers() {
  local pid
  stop_apart
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  started=()
}

clean_up() {
  stop_servers
  line_down
  rm -rf "$work"
}

image_drive=00000000-0000-4000-8000-000000000001

# sink_up ADDRESS: starts the sink, whose drive $image_drive reads as the image. Sets: url, DISKFERRY_CONFIG.
sink_up() {
  start "$work/sink" "${in_server[@]}" "$tools" sink "$1" --image "$image" "${server_options[@]}"
  url=http://$(head -n 1 "$work/sink")
  export DISKFERRY_CONFIG=$work/sink.toml
  local remote
  for remote in far other; do
    printf '[remotes.%s]\nprovider = "openhosting"\nurl = "%s/"\nuser = "%s"\nsecret = "none"\nallow_http = true\n' \
      "$remote" "$url" 11111111-1111-4111-8111-111111111111
  done >"$DISKFERRY_CONFIG"
  chmod 600 "$DISKFERRY_CONFIG"
  write_curlrc
}

# Starts an emulator that has no drives. Sets: url, DISKFERRY_CONFIG.
emulator_up() {
  export DISKFERRY_CONFIG=$work/emulator.toml
  rm -rf "$work/data" "$DISKFERRY_CONFIG"
  start "$work/emulator" "$first_binary" serve openhosting=127.0.0.1:0 --data "$work/data" \
    --write-config "$DISKFERRY_CONFIG"
  sed -i 's/^\[remotes\.openhosting\]/[remotes.far]/' "$DISKFERRY_CONFIG"
  url=$(sed -n 's/^url = "\(.*\)\/"$/\1/p' "$DISKFERRY_CONFIG")
  write_curlrc
}

# The credentials for curl, so that they are in no command line. Sets: CURLRC.
write_curlrc() {
  export CURLRC=$work/curlrc
  sed -n -e 's/^user = "\(.*\)"/\1/p' -e 's/^secret = "\(.*\)"/\1/p' "$DISKFERRY_CONFIG" | head -n 2 | paste -sd: |
    sed 's/.*/user = "&"/' >"$CURLRC"
}

# The addresses are of the block that is set aside for benchmarks (RFC 2544).
client_address=198.18.0.1 server_address=198.18.0.2

# can_make_lines SCENARIO: whether lines can be made on this machine. Otherwise says that SCENARIO is skipped.
can_make_lines() {
  has ip iproute2 "$1" || return 1
  if [ -c /dev/net/tun ] && ip netns add "diskferry-$$" 2>/dev/null; then
    ip netns del "diskferry-$$"
  else
    printf 'skipped %s: network namespaces and TUN devices cannot be made here, which takes root\n' "$1"
    return 1
  fi
}

# line_up MBIT:RTT:LOSS[:QUEUE]: joins two new network namespaces by a line. Without QUEUE, as much waits for its turn as
# is on its way in a round trip, and at least 64 KiB.
line_up() {
  local mbit rtt loss queue namespace peer address client=diskferry-client-$$ server=diskferry-server-$$
  IFS=: read -r mbit rtt loss queue <<<"$1"
  queue=${queue:-$(awk -v mbit="$mbit" -v rtt="$rtt" 'BEGIN { q = mbit * rtt * 125 / 1024; printf "%d", q < 64 ? 64 : q }')}
  for namespace in "$client" "$server"; do
    ip netns add "$namespace"
    namespaces+=("$namespace")
  done
  # Above the others: what it does late is measured as the line's.
  start "$work/line" nice -n -10 "$tools" link "$client" "$server" --mbit "$mbit" --rtt "$rtt" --loss "$loss" \
    --queue "$queue"
  line_pid=${started[-1]}
  for namespace in "$client" "$server"; do
    address=$client_address peer=$server_address
    [ "$namespace" = "$client" ] || { address=$server_address peer=$client_address; }
    ip -n "$namespace" addr add "$address" peer "$peer" dev line0
    ip -n "$namespace" link set lo up
    # The queue of the device is not the line's. Packets of several segments stay below a fraction of a millisecond.
    ip -n "$namespace" link set line0 txqueuelen 10000 gso_max_size 16384 up
    # No run may profit or suffer from what the one before it learnt of the line.
    in_namespace "$namespace" tcp_no_metrics_save 1
    # A namespace may not change its default to any algorithm that the machine has; a route may ask for it.
    ip -n "$namespace" route replace "$peer" dev line0 src "$address" congctl "$congestion"
  done
  in_client=(ip netns exec "$client")
  in_server=(ip netns exec "$server")
  line_text="$mbit Mbit/s, $rtt ms, $loss % loss, queue $queue KiB, $congestion"
}

# in_namespace NAMESPACE SETTING VALUE: sets net.ipv4.SETTING there.
in_namespace() {
  # shellcheck disable=SC2016 # the inner shell is to expand these
  ip netns exec "$1" sh -c 'echo "$2" >"/proc/sys/net/ipv4/$1"' sh "$2" "$3"
}

namespaces=()
# Takes the line and its namespaces away. The servers on it have ended before.
line_down() {
  local namespace
  for namespace in "${namespaces[@]}"; do ip netns del "$namespace" || true; done
  namespaces=() in_client=() in_server=() line_text=
}
