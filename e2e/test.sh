#!/usr/bin/env bash
# Runs all tests on this machine: ./test.sh [<test file> ...]. `make test` calls it with all that they need in place.
# What needs no Envoy comes first, then the suite; several programs at a time.
set -euo pipefail
cd -P "$(dirname "$0")/.."
. e2e/parallel.sh

die() { echo "test: $*" >&2; exit 1; }

cleanup() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  stop_parallel
  rm -rf "$folder"
  exit "$status"
}

# From the folder of its package, as Cargo does.
run_file() {
  local package
  package=$(awk -F '\t' -v file="$2" '$4 == file { print $1 }' "$folder/tests")
  echo "     Running $1"
  (cd "$package" && "$2" --color never)
}

# What needs no Envoy, as `<package>-<name>`; the simulations, each of which keeps one core busy for long, begin first.
list_others() {
  awk -F '\t' -v OFS='\t' '!($1 ~ /\/e2e$/ && $2 == "test") {
    sub(/.*\//, "", $1)
    print ($3 ~ /^(simulation|parking)$/ ? 0 : 1), $1 "-" $3, $4
  }' "$folder/tests" | sort -s -k 1,1 | cut -f 2- >"$folder/others"
}

folder=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
build_tests
list_suite "$@"
if [ $# -eq 0 ]; then
  list_others
  run_parallel "$folder/others" "$(nproc)"
  cargo test --locked --workspace --quiet --doc || failed+=(documentation)
fi
run_parallel "$folder/suite"
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
echo "test: all passed in $SECONDS s"
