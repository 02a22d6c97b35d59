# What stands before each block: bash ends at the first command that fails, and what a block leaves in the background ends
# with it.
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# The program is built already, and the tests run.
cargo() {
  case $1 in
    run)
      shift
      while [ "$1" != -- ]; do shift; done
      shift
      diskferry "$@"
      ;;
    test) diskferry --version ;;
    *)
      echo "cargo $1 is not played here" >&2
      return 9
      ;;
  esac
}

# `diskferry serve … &`: takes the place of the emulator before it, and is there for the blocks that follow. A person types
# the next command when the lines are there, so this waits for them.
serve() {
  if [ -e serve.pid ]; then
    kill "$(cat serve.pid)" || true
    while kill -0 "$(cat serve.pid)" 2>/dev/null; do sleep 0.02; done
  fi
  local listeners=0 word
  for word in "$@"; do
    case $word in *=127.0.0.1:* | --control) listeners=$((listeners + 1)) ;; esac
  done
  case "$*" in
    *=127.0.0.1:*) ;;
    *)
      set -- "${EMULATED[@]}" "$@"
      listeners=$((listeners + ${#EMULATED[@]}))
      ;;
  esac
  (
    command diskferry serve "$@" </dev/null >serve.out 2>serve.err &
    echo $! >serve.pid
  )
  until [ "$(wc -l <serve.out)" -ge "$listeners" ]; do
    kill -0 "$(cat serve.pid)" 2>/dev/null || { cat serve.err >&2; return 1; }
    sleep 0.02
  done
}
