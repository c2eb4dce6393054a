#!/usr/bin/env bash
# Runs all tests on this machine: ./test.sh [<test file> ...]. `make test` calls it with all that they need in place.
# What needs no Envoy comes first, one program after the other as `cargo test` runs them; then the suite, several files
# at a time.
set -euo pipefail
cd -P "$(dirname "$0")/.."
. e2e/lanes.sh

die() { echo "test: $*" >&2; exit 1; }

cleanup() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  stop_lanes
  rm -rf "$folder"
  exit "$status"
}

# From the folder of its package, as Cargo does.
run_file() {
  echo "     Running $1"
  (cd e2e && "$2" --color never)
}

run_others() {
  local package kind name file
  while IFS=$'\t' read -r package kind name file <&3; do
    [ "$kind $package" != "test $PWD/e2e" ] || continue
    echo "     Running ${package#"$PWD/"}: $name ($kind)"
    (cd "$package" && "$file" --color never 3<&-) || failed+=("$name")
  done 3<"$folder/tests"
  cargo test --locked --workspace --quiet --doc || failed+=("documentation")
}

folder=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
build_tests
list_suite "$@"
[ $# -gt 0 ] || run_others
run_lanes "$folder/suite"
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
echo "test: all passed in $SECONDS s"
