#!/usr/bin/env bash
# Plays streams to the dynamic module, and panics in each of its hooks, with a watch on memory: any error, any leak, and any
# stream that does not become what it must, fails. The watch is Valgrind's, which is installed by apt-get if it is missing, or
# AddressSanitizer's, by which program and module are built.
#
# memcheck.sh valgrind|asan STUB_HOST MODULE PANICKING_MODULE REQUESTS
set -euo pipefail
watch=$1 stub=$2 module=$3 panicking=$4 requests=$5
jobs=${MEMCHECK_JOBS:-$(nproc)}

install_valgrind() {
  command -v valgrind >/dev/null && return
  local sudo=''
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends valgrind >/dev/null
}

# What can still be reached when the process ends is no leak: tables of the process, and the thread that keeps time.
check_by_valgrind() {
  valgrind --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect --fair-sched=yes --num-callers=30 "$stub" "$@"
}

check_by_asan() { ASAN_OPTIONS=detect_leaks=1:exitcode=99 "$stub" "$@"; }

# Prints what was found and no more, but for all of it if the run fails.
check() {
  local said
  said=$("check_by_$watch" "$@" 2>&1) || {
    echo "$said"
    return 1
  }
  grep 'stub-host: \|definitely lost\|indirectly lost\|ERROR SUMMARY' <<<"$said" || true
}

[ "$watch" = asan ] || install_valgrind

# Every hook that the module guards. What is no stream's can panic only as the environment says, once in a process.
hooks=(config_new config_destroy new destroy request_headers request_body request_trailers response_headers response_body
  response_trailers stream_complete scheduled config_scheduled config_http_callout_done config_http_stream_headers
  config_http_stream_data config_http_stream_trailers config_http_stream_complete config_http_stream_reset new_connection
  connection_write connection_destroy)
for hook in "${hooks[@]}"; do
  echo "== a panic in $hook"
  POSTERN_PANIC=$hook check "$panicking" 1500
done

echo "== panics in streams"
check "$panicking" 10000 --panics

echo "== $requests requests, in $jobs processes"
started=$SECONDS pids=()
for job in $(seq "$jobs"); do
  check "$module" $((requests / jobs)) --seed "$job" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
echo "memcheck: no error and no leak: $requests requests in $((SECONDS - started)) s, and ${#hooks[@]} hooks that panicked"
