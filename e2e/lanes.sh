# Runs test files side by side, since most tests wait, for an Envoy to start or for a timer, and tells of each file when
# it has ended. Sourced by what runs the suite, which sets `folder`, a folder of its own that is empty at first, and
# defines `run_file <name> <executable>`. It finds the names of the files that failed in `failed`.

# The files that take longest, which begin first.
LONGEST='compose|liveness|jwks|backpressure|auth_carriers|close|auth_first_message|revocation|http2'

failed=()

# Builds all tests as `cargo test --workspace` does, and lists the executables, one a line: the package, the kind (lib,
# bin or test), the name, the executable.
build_tests() {
  cargo test --locked --workspace --no-run --quiet --message-format json >"$folder/built.json" || return
  python3 - "$folder/built.json" <<'PYTHON' >"$folder/tests"
import json, os, sys

for line in open(sys.argv[1]):
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        target = message["target"]
        package = os.path.dirname(message["manifest_path"])
        print(package, target["kind"][0], target["name"], message["executable"])
PYTHON
}

# The test files in a real Envoy, `name executable` a line, those that take longest first; or only those that are named.
suite() {
  awk -v longest="^($LONGEST)\$" -v wanted=" $* " '
    $1 ~ /\/e2e$/ && $2 == "test" && (wanted ~ /^ *$/ || index(wanted, " " $3 " ")) {
      print ($3 ~ longest ? 0 : 1), $3, $4
    }' "$folder/tests" | sort -s -k 1,1 | cut -d ' ' -f 2-
}

# Runs the files that standard input lists, so many at once, and so many tests of each, as the cores can do before tests
# wait for each other. Each file has a group of processes of its own, to be ended as one.
run_lanes() {
  local name file lanes=$(($(nproc) + 1))
  export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(nproc)}
  mkdir "$folder/runs"
  set -m
  while read -r name file; do
    while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do
      wait -n || true
      tell_runs
    done
    run_lane "$name" "$file" &
  done
  while [ -n "$(jobs -rp)" ]; do
    wait -n || true
    tell_runs
  done
  set +m
  tell_runs
}

# Ends what still runs, and waits for that.
stop_lanes() {
  local job
  for job in $(jobs -rp); do kill -TERM -- "-$job" 2>/dev/null || true; done
  wait 2>/dev/null || true
}

# Leaves what came of one file in its folder: `told` at last, and before it `failed` if it did.
run_lane() {
  local run=$folder/runs/$1
  mkdir "$run"
  run_file "$1" "$2" </dev/null >"$run/log" 2>&1 || touch "$run/failed"
  mv "$run/log" "$run/told"
}

# Tells of the files that have ended since this was last done.
tell_runs() {
  local run
  for run in "$folder"/runs/*/; do
    [ -f "$run/told" ] || continue
    cat "$run/told"
    [ ! -f "$run/failed" ] || failed+=("$(basename "$run")")
    rm -r "$run"
  done
}
