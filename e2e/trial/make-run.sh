#!/usr/bin/env bash
# `make run`, and then what it says is to be tried: the three commands that it prints, with what it says comes of each.
set -euo pipefail
said=$(mktemp)
set -m
make run >"$said" 2>&1 &
run=$!
trap 'kill -INT -- -"$run" 2>/dev/null || true; wait "$run" 2>/dev/null || true; rm -f "$said"' EXIT
set +m

until grep -q '^Ctrl-C ends it' "$said"; do
  kill -0 "$run" 2>/dev/null || { cat "$said" >&2; exit 1; }
  sleep 1
done
printf '%4d s  make run, until Envoy answers\n' "$SECONDS"
SECONDS=0
eval "$(sed -n 's/^  \(TOKEN=\)/\1/p' "$said")"
answers=$(sed -n 's/^  \(curl .*\)/\1/p' "$said" | while IFS= read -r command; do
  eval "$command" | sed -n 's,^HTTP/1.1 \([0-9]*\).*,\1,p'
done | paste -s -d ' ')
[ "$answers" = '101 401 403' ] || { cat "$said" >&2; echo "its commands were answered: $answers" >&2; exit 1; }
printf '%4d s  the commands that it prints\n' "$SECONDS"
