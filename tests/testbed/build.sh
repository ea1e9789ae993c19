#!/usr/bin/env bash
# Builds the test bed: the programs of a Kubernetes control plane, each from its pinned Go module beside this script.
#
#   build.sh                  build what is missing (once per machine; a second run builds nothing)
#   build.sh --node           the same for a node: kubelet, scheduler, containerd and what they call
#   build.sh [--node] --path  print the folder of the programs, build nothing
#
# They are kept outside the checkout, in a folder named after their versions and a hash of the files of the modules k8s
# and etcd; etcdutl, which restores snapshots, is of etcd's own version. Where KUBEBUILDER_ASSETS names a folder that has
# some of them, those are used and only the others are built.
#
# To add a program: a `tool` line in its module (`go get -tool PACKAGE`, `go mod tidy`) and a line in `programs`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
needed_go=1.26

# program, module's folder, package, minutes of a cold build on two cores
programs=(
  "etcd etcd go.etcd.io/etcd/server/v3 2"
  "etcdutl etcdutl go.etcd.io/etcd/etcdutl/v3 1"
  "kube-apiserver k8s k8s.io/kubernetes/cmd/kube-apiserver 5"
  "kube-controller-manager k8s k8s.io/kubernetes/cmd/kube-controller-manager 2"
)
# The machine's own kubectl will do.
if ! command -v kubectl >/dev/null; then
  programs+=("kubectl k8s k8s.io/kubernetes/cmd/kubectl 1")
fi

# The node's. They need nothing that the module of the control plane has not; containerd is a module of its own.
node_programs=(
  "kubelet k8s k8s.io/kubernetes/cmd/kubelet 1"
  "kube-scheduler k8s k8s.io/kubernetes/cmd/kube-scheduler 1"
  "containerd containerd github.com/containerd/containerd/v2/cmd/containerd 1"
  "containerd-shim-runc-v2 containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 1"
  "ctr containerd github.com/containerd/containerd/v2/cmd/ctr 1"
)
# What is no Go program, or needs more than Go: Debian's package, the file in it, and where the machine may have its own.
node_packages=(
  "runc usr/sbin/runc /usr/bin/runc:/usr/sbin/runc:/usr/local/sbin/runc"
  "containernetworking-plugins usr/lib/cni/bridge /opt/cni/bin/bridge:/usr/lib/cni/bridge"
  "containernetworking-plugins usr/lib/cni/host-local /opt/cni/bin/host-local:/usr/lib/cni/host-local"
  "containernetworking-plugins usr/lib/cni/loopback /opt/cni/bin/loopback:/usr/lib/cni/loopback"
  "busybox-static bin/busybox -"
)

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# version_of MODULE-FOLDER MODULE: the version that go.mod pins, with its v.
version_of() {
  local module version
  while read -r module version _; do
    if [[ $module == "$2" ]]; then echo "$version"; return; fi
  done <"$here/$1/go.mod"
  die "$1/go.mod pins no $2"
}

if [[ -z ${HOME:-} ]]; then
  unset HOME # so that ~ is taken from the password database
  export HOME=~
fi
k8s_version=$(version_of k8s k8s.io/kubernetes)
etcd_version=$(version_of etcd go.etcd.io/etcd/server/v3)
etcdutl_version=$(version_of etcdutl go.etcd.io/etcd/etcdutl/v3)
[[ $etcdutl_version == "$etcd_version" ]] || die "etcdutl $etcdutl_version is not of etcd $etcd_version: pin the same"
hash=$(cat "$here"/{k8s,etcd}/go.{mod,sum} | sha256sum)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfc-token-operator/testbed
built=$cache/k8s-${k8s_version#v}-etcd-${etcd_version#v}-${hash:0:12}/bin

# With foreign programs the bed is a folder of links: to those, and to what was built for the rest.
assets=${KUBEBUILDER_ASSETS:-}
bed=$built
if [[ -n $assets ]]; then
  [[ -d $assets ]] || die "KUBEBUILDER_ASSETS=$assets is no folder; correct it or unset it"
  assets=$(cd "$assets" && pwd)
  assets_hash=$(sha256sum <<<"$assets")
  bed=${built%/bin}-assets-${assets_hash:0:12}/bin
fi

node=
path=
for option; do
  case $option in
    --node) node=1 ;;
    --path) path=1 ;;
    *) die "usage: build.sh [--node] [--path]" ;;
  esac
done
if [[ -n $node ]]; then
  programs=("${node_programs[@]}")
  containerd_version=$(version_of containerd github.com/containerd/containerd/v2)
  hash=$( (cat "$here"/{k8s,containerd}/go.{mod,sum}; echo "${node_packages[@]}") | sha256sum)
  built=$cache/node-${k8s_version#v}-containerd-${containerd_version#v}-${hash:0:12}/bin
  assets=
  bed=$built
fi
if [[ -n $path ]]; then echo "$bed"; exit; fi

from_assets() { [[ -n $assets && -x $assets/$1 ]]; }

missing=() # programs to build
unlinked=() # programs that the folder of links lacks
for program in "${programs[@]}"; do
  read -r name _ <<<"$program"
  if from_assets "$name"; then
    [[ $bed/$name -ef $assets/$name ]] || unlinked+=("$name")
  else
    [[ -x $built/$name ]] || missing+=("$program")
    [[ $bed/$name -ef $built/$name ]] || unlinked+=("$name")
  fi
done
unpacked=() # files of packages that the node lacks
if [[ -n $node ]]; then
  for package in "${node_packages[@]}"; do
    read -r _ file _ <<<"$package"
    [[ -x $built/${file##*/} ]] || unpacked+=("$package")
  done
fi
((${#missing[@]} + ${#unlinked[@]} + ${#unpacked[@]})) || exit 0

for tool in flock sha256sum; do
  command -v "$tool" >/dev/null || die "$tool is missing (on Debian: apt-get install util-linux coreutils)"
done
mkdir -p "$built" "$bed"

# Go: from PATH, else from where its own instructions put it.
find_go() {
  local version major minor
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || die "Go $needed_go or newer is missing: unpack it from https://go.dev/dl into" \
    "/usr/local/go, or put it on PATH"
  version=$(GOTOOLCHAIN=local go env GOVERSION)
  IFS=. read -r major minor _ <<<"${version#go}"
  ((major > ${needed_go%.*} || (major == ${needed_go%.*} && ${minor%%[!0-9]*} >= ${needed_go#*.}))) ||
    die "$(command -v go) is $version; Go $needed_go or newer is needed: unpack it from https://go.dev/dl into" \
      "/usr/local/go and put /usr/local/go/bin first on PATH"
}

# build NUMBER NAME MODULE-FOLDER PACKAGE MINUTES: into a name of its own, then moved, so that no half program is left.
building=
unfinished=
trap '[[ -z $building ]] || kill "$building" 2>/dev/null || true; [[ -z $unfinished ]] || rm -rf "$unfinished"' EXIT
trap 'exit 130' INT TERM
build() {
  local title="building $2 ($1 of ${#missing[@]}), about $5 min on two cores when nothing is cached"
  local major minor started=$SECONDS seconds reported=0 stamp=k8s.io/component-base/version
  IFS=. read -r major minor _ <<<"${k8s_version#v}"
  unfinished=$built/.$2.$$
  say "$title"
  (
    cd "$here/$3"
    # The tags are containerd's: storage that needs libraries of C.
    exec env CGO_ENABLED=0 GOFLAGS= GOWORK=off go build -trimpath -mod=readonly -o "$unfinished" \
      -tags "no_btrfs no_zfs no_devmapper" \
      -ldflags "-s -w -X $stamp.gitVersion=$k8s_version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" "$4"
  ) >&2 </dev/null &
  building=$!
  while kill -0 "$building" 2>/dev/null; do
    sleep 0.5
    seconds=$((SECONDS - started))
    if [[ -t 2 ]]; then
      printf '\rtestbed: %d:%02d ' $((seconds / 60)) $((seconds % 60)) >&2
    elif ((seconds - reported >= 30)); then
      reported=$seconds
      say "still building $2 after $seconds s"
    fi
  done
  [[ ! -t 2 ]] || printf '\r' >&2
  wait "$building" || die "$2 did not build (go's own words are above)"
  building=
  mv "$unfinished" "$built/$2"
  unfinished=
  say "built $2 in $((SECONDS - started)) s"
}

if ((${#missing[@]})); then
  find_go
  exec 9>"$built/.lock"
  flock -n 9 || { say "another build of the same is under way; waiting for it"; flock 9; }
  if [[ -n $assets ]]; then
    for program in "${missing[@]}"; do
      say "KUBEBUILDER_ASSETS has no ${program%% *}: it is built, from Kubernetes ${k8s_version#v}, etcd ${etcd_version#v}"
    done
  fi
  number=0
  for program in "${missing[@]}"; do
    number=$((number + 1))
    read -r name folder package minutes <<<"$program"
    [[ -x $built/$name ]] || build "$number" "$name" "$folder" "$package" "$minutes"
  done
fi

# unpack PACKAGE FILE PLACES: the machine's own program, else the one of Debian's package. Nothing is installed.
unpack() {
  local name=${2##*/} place places
  IFS=: read -ra places <<<"$3"
  for place in "${places[@]}"; do
    if [[ -x $place ]]; then
      say "$name: the machine's own, $place"
      ln -sf "$place" "$built/$name"
      return
    fi
  done
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || die "$name is missing and $tool is not there to fetch it: put a static $name into $built"
  done
  unfinished=$(mktemp -d)
  (
    cd "$unfinished"
    # As any user; only the lists of packages are root's to bring.
    apt-get -qq download "$1" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$1"; } ||
      die "Debian's package $1 could not be had (run apt-get update as root), and $name is missing"
    dpkg-deb --extract "$1"_*.deb .
    cp "$2" "$built/.$name.$$"
    mv "$built/.$name.$$" "$built/$name"
  ) >&2 </dev/null
  rm -rf "$unfinished"
  unfinished=
  if ldd "$built/$name" 2>/dev/null | grep -q "not found"; then
    ldd "$built/$name" >&2
    rm "$built/$name"
    die "libraries of $name are missing (on Debian: apt-get install $1)"
  fi
  say "unpacked $name of Debian's $1"
}
for package in ${unpacked[@]+"${unpacked[@]}"}; do
  read -r name file places <<<"$package"
  unpack "$name" "$file" "$places"
done

for name in ${unlinked[@]+"${unlinked[@]}"}; do
  [[ $bed != "$built" ]] || continue
  target=$built/$name
  if from_assets "$name"; then target=$assets/$name; fi
  ln -s "$target" "$bed/.$name.$$"
  mv -T "$bed/.$name.$$" "$bed/$name"
done
say "ready in $bed"
