#!/usr/bin/env bash
# A new user's way from nothing to a guarded WebSocket, by README.md and docs/first-policy.md alone, in a container that has
# an empty Debian: what the pages say is taken from them and done as it stands there. Prints how long each step took.
# `make trial` calls it. Of the environment: TRIAL_IMAGE, an image of Debian or Ubuntu in the place of one by debootstrap.
set -euo pipefail
cd -P "$(dirname "$0")/../.."

die() { echo "trial: $*" >&2; exit 1; }

name=postern-trial-$$
image=${TRIAL_IMAGE:-$name}
folder=$(mktemp -d)
cleanup() {
  local status=$?
  trap '' INT TERM HUP
  docker rm --force "$name" >/dev/null 2>&1 || true
  [ "$image" != "$name" ] || docker image rm "$name" >/dev/null 2>&1 || true
  rm -rf "$folder"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

command -v docker >/dev/null || die "there is no docker command; install Docker's client and engine"
timeout 30 docker version >/dev/null 2>&1 || die "no Docker engine answers"
if [ "$image" = "$name" ]; then
  command -v debootstrap >/dev/null || die "there is no debootstrap (Debian, Ubuntu: apt-get install debootstrap); or name an image in TRIAL_IMAGE"
  [ "$(id -u)" -eq 0 ] || die "debootstrap needs root; or name an image in TRIAL_IMAGE"
  debootstrap --variant=minbase bookworm "$folder/root" >"$folder/debootstrap.log" 2>&1 || { tail -n 3 "$folder/debootstrap.log" >&2; die "debootstrap failed"; }
  tar -C "$folder/root" -c . | docker import - "$image" >/dev/null
fi

# The tree as it is, without what was built; and whom this machine trusts.
git ls-files -z --cached --others --exclude-standard | tar --null --files-from - -c >"$folder/tree.tar"
python3 e2e/trial/page.py README.md 'What you need' >"$folder/needs.sh"
python3 e2e/trial/page.py docs/first-policy.md >"$folder/first-policy.sh"
cp e2e/trial/make-run.sh "$folder/"
trust=()
[ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
  trust=(--volume /etc/ssl/certs/ca-certificates.crt:/usr/local/share/ca-certificates/this-machine.crt:ro)
docker run --detach --init --name "$name" --env http_proxy --env https_proxy --env no_proxy --env DEBIAN_FRONTEND=noninteractive \
  --volume "$folder:/trial:ro" "${trust[@]}" "$image" sleep 3h >/dev/null
docker exec "$name" sh -c 'mkdir /root/postern && tar -x -C /root/postern -f /trial/tree.tar && ! command -v cargo python3 cc make curl'

# In a shell as a new terminal has one.
inside() { docker exec --workdir /root/postern "$name" timeout "$1" bash -l "/trial/$2"; }
echo "trial: an empty Debian on $(nproc) cores"
inside 20m needs.sh
inside 60m make-run.sh
inside 60m first-policy.sh
printf '%4d s  all of it\n' "$SECONDS"
