#!/usr/bin/env bash
# Installs Node with ws and ajv by apt-get, if they are missing and there is an apt-get. A Node that is there stays the
# one it is, and finds Debian's libraries by NODE_PATH.
set -euo pipefail
export NODE_PATH=${NODE_PATH:-}:/usr/share/nodejs

packages=()
command -v node >/dev/null || packages+=(nodejs)
node -e 'require("ws")' 2>/dev/null || packages+=(node-ws)
node -e 'require("ajv")' 2>/dev/null || packages+=(node-ajv)
[ ${#packages[@]} -gt 0 ] || exit 0
echo "node: missing: ${packages[*]}" >&2
command -v apt-get >/dev/null || exit 0
sudo=''
[ "$(id -u)" -eq 0 ] || sudo=sudo
{
  $sudo apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
} || echo "node: apt-get did not install them" >&2
