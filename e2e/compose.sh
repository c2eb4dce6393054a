#!/usr/bin/env bash
# Brings up docker-compose.yaml, runs the suite in it, then the tests that only containers allow, and takes everything
# down again, however it ends: ./compose.sh [<test file> ...]. `make e2e-compose` calls it with everything built, and
# before that as `./compose.sh --tools`, which only says what is missing.
#
# Of the environment: DOCKER_HOST as for docker, POSTERN_COMPOSE_PORT for a port of this machine that leads to the
# shipped example, MODULE=native for the dynamic module in the place of the one of WebAssembly, POSTERN_NATIVE or
# POSTERN_WASM for another of either, RUST_TEST_THREADS for so many tests of a file at once.
set -euo pipefail
cd -P "$(dirname "$0")/.."
. e2e/parallel.sh

die() { echo "e2e-compose: $*" >&2; exit 1; }

# The tests of this script run it within a run, under names that begin with that run's.
export COMPOSE_PROJECT_NAME=${POSTERN_PROJECT:-postern-e2e}-$$
export POSTERN_PROJECT=$COMPOSE_PROJECT_NAME
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}
export POSTERN_WORKSPACE=$PWD POSTERN_IMAGE=$COMPOSE_PROJECT_NAME
POSTERN_TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export POSTERN_TARGET
case ${MODULE:=wasm} in
  wasm) POSTERN_MODULE=${POSTERN_WASM:-$POSTERN_TARGET/wasm32-wasip1/release/postern.wasm} ;;
  native) POSTERN_MODULE=${POSTERN_NATIVE:-$POSTERN_TARGET/native/libpostern.so} ;;
  *) die "MODULE=$MODULE: there are only wasm and native" ;;
esac
POSTERN_MODULE=$(realpath -m "$POSTERN_MODULE")
export MODULE POSTERN_MODULE
# As in e2e/src/token.rs.
export POSTERN_EDGE_SECRET='a secret of the tests and of nobody else, 32 bytes and more'
folder='' up='' client=''

compose() { "${COMPOSE[@]}" --file e2e/docker-compose.yaml "$@"; }

# The last thing that a program complained of.
last_word() { sed 's/^ *//; /^$/d' "$1" | tail -n 1; }

cleanup() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  stop_parallel
  if [ -n "$up" ]; then
    take_down "$status" || {
      echo "e2e-compose: cannot take the containers of $COMPOSE_PROJECT_NAME down: $(last_word "$folder/down.log")" >&2
      [ "$status" -ne 0 ] || status=1
    }
  fi
  if [ -n "$folder" ]; then
    docker image rm "$POSTERN_IMAGE" >/dev/null 2>&1 || true
    rm -rf "$folder"
    local left
    left=$(left_over)
    [ -z "$left" ] || {
      echo "e2e-compose: left over: ${left//$'\n'/, }" >&2
      [ "$status" -ne 0 ] || status=1
    }
  fi
  exit "$status"
}

# Ends with the status of the last try. Behind an interrupt the engine may still be making what it was asked for, which
# comes after what has been taken down, and a run within this one takes down what is its own.
take_down() {
  local try left
  for try in {1..20}; do
    [ "$try" -eq 1 ] || sleep 1
    compose down --volumes --remove-orphans --timeout 1 >"$folder/down.log" 2>&1 || continue
    [ "$1" -lt 128 ] || sleep 2
    left=$(left_over | grep -v '^image ' || true)
    [ -n "$left" ] || return 0
  done
  return 1
}

# What the engine has of this run.
left_over() {
  {
    docker ps --all --format 'container {{.Names}}'
    docker network ls --format 'network {{.Name}}'
    docker volume ls --format 'volume {{.Name}}'
    docker images --all --format 'image {{.Repository}}'
  } | grep -E " $COMPOSE_PROJECT_NAME([^0-9]|\$)" || true
}

find_tools() {
  command -v docker >/dev/null || die "there is no docker command; install Docker's client and engine"
  timeout --foreground 30 docker version >/dev/null 2>&1 ||
    die "no Docker engine answers at ${DOCKER_HOST:-its usual socket}; start it, or name it in DOCKER_HOST"
  local version
  if docker compose version >/dev/null 2>&1; then
    COMPOSE=(docker compose)
  elif version=$(docker-compose version --short 2>/dev/null); then
    COMPOSE=(docker-compose)
    case $version in
      1.[0-9].* | 1.1[0-9].* | 1.2[0-8].*) die "docker-compose is $version; install 1.29 or later, or \`docker compose\`" ;;
    esac
  else
    die "there is neither \`docker compose\` nor docker-compose (1.29 or later); install one of them"
  fi
  command -v python3 >/dev/null || die "there is no python3"
}

# The suite's programs and test files, as `make test` builds them too, so that nothing is built twice.
build() {
  build_tests
  list_suite "$@"
  mkdir "$folder/programs"
  local program
  for program in launcher client auth upstream; do
    strip -o "$folder/programs/$program" "$POSTERN_TARGET/debug/$program" 2>/dev/null ||
      cp "$POSTERN_TARGET/debug/$program" "$folder/programs/$program"
  done
  export POSTERN_PROGRAMS=$folder/programs
  docker build --quiet --force-rm --tag "$POSTERN_IMAGE" --file "${POSTERN_DOCKERFILE:-e2e/images/Dockerfile}" \
    "$folder/programs" >"$folder/build.log" 2>&1 || die "the image of our own programs does not build: $(last_word "$folder/build.log")"
}

# Whatever has come of the containers, one a line: name, state, health.
states() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" |
    xargs -r docker inspect --format \
      '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}'
}

# Why Compose has started nothing. It repeats the engine's complaint, and the last repetition says the least.
refusal() {
  { grep -E '^ERROR|^Error|no such|invalid' "$1" || cat "$1"; } | head -n 1 | tr -d '\r'
}

start() {
  up=yes
  compose up --detach >"$folder/up.log" 2>&1 || {
    die "the containers do not start: $(refusal "$folder/up.log")"
  }
  local deadline=$((SECONDS + 120)) state dead
  while state=$(states); [ "$(grep -c ' running healthy$' <<<"$state")" -ne 7 ]; do
    dead=$(grep -m 1 -vE ' (running|created) ' <<<"$state" | cut -d ' ' -f 1 || true)
    if [ -n "$dead" ]; then
      compose logs --no-color "$dead" >"$folder/dead.log" 2>&1 || true
      die "$dead ended at its start: $(complaint "$folder/dead.log")"
    fi
    [ "$SECONDS" -lt "$deadline" ] || die "not healthy after two minutes: $(grep -v ' healthy$' <<<"$state" | tr '\n' ';')"
    sleep 0.3
  done
}

# What a container that ended complained of: the module's own words before Envoy's, and Envoy's before ours.
complaint() {
  local pattern
  for pattern in 'wasm log|dynamic_modules' '\[critical\]|\[error\]' '.'; do
    if grep -E "$pattern" "$1" | grep -vE '^Attaching' | tail -n 1 | sed 's/^[^|]*| *//' | grep .; then return; fi
  done
  echo "it left no word"
}

show_logs() {
  echo "--- the end of the containers' logs ---"
  compose logs --no-color --tail 40 envoy upstream auth client-1 client-2 2>&1 || true
  echo "---"
}

# In the first client; but what drives containers or an engine from outside, here.
run_file() {
  local status=0 known missing
  echo "     Running $1$(is_outside "$1" || echo ' in containers')"
  if is_outside "$1"; then
    "$2" --include-ignored --test-threads 1 --color never || status=1
  else
    docker exec --workdir "$POSTERN_WORKSPACE/e2e" --env RUST_TEST_THREADS "$client" "$2" --color never || status=1
  fi
  # The cases are those that run natively, by the same names.
  known=$("$2" --list --format terse | sed -n 's/: test$//p' | sort)
  missing=$(comm -23 <(echo "$known") \
    <(sed -n 's/^test \(.*\) \.\.\. .*/\1/p' "$folder/runs/$1/log" | sed 's/ - should panic$//' | sort))
  [ -n "$known" ] && [ -z "$missing" ] || {
    status=1
    echo "e2e-compose: $1 has cases that were not reported in containers: $missing"
  }
  [ "$status" -eq 0 ] || show_logs
  return "$status"
}

is_outside() { case $1 in compose | image | network) ;; *) false ;; esac; }

# What could not run in containers says so in a file, since the output of a test that passes is not shown.
show_not_run() {
  docker cp "$(compose ps -q client-1):/scenes/not-run" "$folder/not-run" >/dev/null 2>&1 || return 0
  sort "$folder/not-run" | sed 's/^/NOT RUN in containers: /'
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
find_tools
[ "${1:-}" != --tools ] || exit 0
[ -f "$POSTERN_MODULE" ] || die "the module $POSTERN_MODULE is not built; \`make build\` builds it, or \`make native\`"
folder=$(mktemp -d)
build "$@"
start
client=$(compose ps -q client-1)
# The tests of this script run beside the others. What cuts networks, or makes images, runs alone.
grep -vE '^(network|image)\b' "$folder/suite" >"$folder/beside" || true
grep -E '^(network|image)\b' "$folder/suite" >"$folder/alone" || true
run_parallel "$folder/beside"
show_not_run
run_parallel "$folder/alone" 1
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
echo "e2e-compose: all passed in $SECONDS s"
