# Runs test files side by side, since most tests wait, for an Envoy to start or for a timer, and shows what became of each
# file when it has ended. Sourced by what runs the suite, which sets `folder`, a folder of its own that is empty at first, and
# defines `die <complaint>`, which ends it, and `run_file <name> <executable>`. It finds the names of the files that
# failed in `failed`.

# The files that take longest, which begin first.
LONGEST='audit|compose|global_rate_limit_mesh|jwks|liveness|clients_socketio|trap|memory|http2|pushes|backpressure|config|revocation'

failed=()

# Builds all tests as `cargo test --workspace` does, and lists the executables, one a line, with tabs between: the package,
# the kind (lib, bin or test), the name, the executable.
build_tests() {
  cargo test --locked --workspace --no-run --quiet --message-format json-render-diagnostics >"$folder/built.json" ||
    die "the tests do not build"
  python3 - "$folder/built.json" <<'PYTHON' >"$folder/tests" || die "the tests cannot be listed"
import json, os, sys

for line in open(sys.argv[1]):
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        target = message["target"]
        package = os.path.dirname(message["manifest_path"])
        print(package, target["kind"][0], target["name"], message["executable"], sep="\t")
PYTHON
}

# Lists the test files in a real Envoy in `suite`, name and executable a line, those that take longest first; or only
# those that are named. What only the dynamic module has is tested with that alone.
list_suite() {
  local name
  awk -F '\t' -v OFS='\t' -v longest="^($LONGEST)\$" -v wanted=" $* " -v module="${MODULE:-wasm}" '
    $1 ~ /\/e2e$/ && $2 == "test" && ($3 !~ /^(dynamic_module|without_sender)$/ || module == "native") && (wanted ~ /^ *$/ || index(wanted, " " $3 " ")) {
      print ($3 ~ longest ? 0 : 1), $3, $4
    }' "$folder/tests" | sort -s -k 1,1 | cut -f 2- >"$folder/suite"
  for name in "$@"; do
    grep -q "^$name"$'\t' "$folder/suite" || die "there is no test file $name in e2e/tests"
  done
  [ -s "$folder/suite" ] || die "there are no test files"
}

# run_parallel <list> [<files at once>]: runs the files that are listed as in `suite`. Without a number so many at once,
# and so many tests of each, as the cores can do before tests wait for each other. Each file has a group of processes of
# its own, to be ended as one.
run_parallel() {
  local name file running=0 at_once=${2:-$(($(nproc) + 1))}
  export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(nproc)}
  mkdir "$folder/runs"
  set -m
  while IFS=$'\t' read -r name file <&3; do
    while [ "$running" -ge "$at_once" ]; do
      await_run
      show_runs
    done
    run_recorded "$name" "$file" 3<&- &
    running=$((running + 1))
  done 3<"$1"
  while [ "$running" -gt 0 ]; do
    await_run
    show_runs
  done
  set +m
  show_runs
  while IFS=$'\t' read -r name file; do
    [ -e "$folder/runs/$name/status" ] || {
      echo "     $name left no result"
      failed+=("$name")
    }
  done <"$1"
  rm -r "$folder/runs"
}

# Waits until one more file has ended, or all have. Between tests there is no command substitution: bash 5.2 cannot run a
# trap while it reads one.
await_run() {
  local ended=0
  wait -n || ended=$?
  if [ "$ended" -eq 127 ]; then running=0; else running=$((running - 1)); fi
}

# Leaves what came of one file in its folder: the `log`, and when that is whole the `status`.
run_recorded() {
  local run=$folder/runs/$1 status=0
  mkdir "$run"
  run_file "$1" "$2" </dev/null >"$run/log" 2>&1 || status=$?
  echo "$status" >"$run/writing"
  mv "$run/writing" "$run/status"
}

# Shows the files that have ended since this was last done.
show_runs() {
  local run status
  for run in "$folder"/runs/*; do
    [ -e "$run/status" ] && [ -e "$run/log" ] || continue
    cat "$run/log"
    rm "$run/log"
    read -r status <"$run/status"
    [ "$status" = 0 ] || failed+=("${run##*/}")
  done
}

# Ends what still runs, and waits for that, but not for ever.
stop_parallel() {
  local groups group deadline=$((SECONDS + 60))
  groups=$(jobs -rp)
  for group in $groups; do kill -TERM -- "-$group" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for group in $groups; do
    while kill -0 -- "-$group" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
  done
}
