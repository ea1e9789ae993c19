#!/usr/bin/env bash
# Builds the test bed: the programs of a Kubernetes control plane, each from its pinned Go module beside this script.
#
#   build.sh              build what is missing (once per machine; a second run builds nothing)
#   build.sh --node       the same for a node: kubelet, scheduler, containerd and what they call, in a folder of their own
#   build.sh --only NAME  build that program alone, if it is missing, into the same folder
#   build.sh [--node] --path   print the folder of the programs, build nothing
#
# They are kept outside the checkout. The control plane's are in a folder named after their versions and a hash of the files of
# the modules k8s and etcd (etcdutl, which restores snapshots, is of etcd's own version); each other module has a folder of its
# own, named in the same way, so that a new tool rebuilds nothing else. What is printed is a folder of links to all of them,
# and to what is taken out of a module as it is (`files`). Where KUBEBUILDER_ASSETS names a folder that has some of the
# programs, those are used and only the others are built.
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
  "helm helm helm.sh/helm/v4/cmd/helm 3"
  "kube-score kube-score github.com/zegl/kube-score/cmd/kube-score 1"
)
# link, module's folder, module, folder in it: CRDs of the Prometheus operator and of Flux, which the chart's monitors and the recipes
# are tried on
files=(
  "prometheus-operator-crds prometheus-operator github.com/prometheus-operator/prometheus-operator example/prometheus-operator-crd"
  "kustomize-controller-crds kustomize-controller github.com/fluxcd/kustomize-controller config/crd/bases"
)
# The machine's own kubectl will do.
if ! command -v kubectl >/dev/null; then
  programs+=("kubectl k8s k8s.io/kubernetes/cmd/kubectl 1")
fi

# The node's. Kubelet and scheduler have a module beside that of the control plane, so that neither's change rebuilds the other.
node_programs=(
  "kubelet kubelet k8s.io/kubernetes/cmd/kubelet 1"
  "kube-scheduler kubelet k8s.io/kubernetes/cmd/kube-scheduler 1"
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
kubelet_version=$(version_of kubelet k8s.io/kubernetes)
[[ $kubelet_version == "$k8s_version" ]] || die "kubelet $kubelet_version is not of Kubernetes $k8s_version: pin the same"
hash=$(cat "$here"/{k8s,etcd}/go.{mod,sum} | sha256sum)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfc-token-operator/testbed
control_plane=$cache/k8s-${k8s_version#v}-etcd-${etcd_version#v}-${hash:0:12}/bin

# store MODULE-FOLDER: where what is built from a module is kept.
store() {
  local hash
  case $1 in
    k8s | etcd | etcdutl) echo "$control_plane" ;;
    *)
      hash=$(cat "$here/$1"/go.{mod,sum} | sha256sum)
      echo "$cache/$1-${hash:0:12}/bin"
      ;;
  esac
}

# The bed is a folder of links: to foreign programs, and to what was built for the rest.
assets=${KUBEBUILDER_ASSETS:-}
if [[ -n $assets ]]; then
  [[ -d $assets ]] || die "KUBEBUILDER_ASSETS=$assets is no folder; correct it or unset it"
  assets=$(cd "$assets" && pwd)
fi
bed_hash=$({ cat "$here"/*/go.{mod,sum} && echo "$assets ${programs[*]} ${files[*]}"; } | sha256sum)
bed=$cache/bed-${bed_hash:0:12}/bin

node=
if [[ ${1:-} == --node ]]; then
  node=1
  shift
  programs=("${node_programs[@]}")
  files=()
  assets=
  bed_hash=$({ cat "$here"/{kubelet,containerd}/go.{mod,sum} && echo "${programs[*]} ${node_packages[*]}"; } | sha256sum)
  bed=$cache/node-${bed_hash:0:12}/bin
fi

only=
case ${1:-} in
  --path) echo "$bed"; exit ;;
  --only) only=${2:?"--only takes a program's name"} ;;
  "") ;;
  *) die "usage: build.sh [--node] [--path | --only NAME]" ;;
esac
if [[ -n $only ]]; then
  for program in "${programs[@]}"; do
    if [[ ${program%% *} == "$only" ]]; then chosen=$program; fi
  done
  programs=("${chosen:?"no program is called $only"}")
  files=()
fi

from_assets() { [[ -n $assets && -x $assets/$1 ]]; }

missing=() # programs to build
unlinked=() # programs that the folder of links lacks
for program in "${programs[@]}"; do
  read -r name folder _ <<<"$program"
  if from_assets "$name"; then
    [[ $bed/$name -ef $assets/$name ]] || unlinked+=("$program")
  else
    built=$(store "$folder")
    [[ -x $built/$name ]] || missing+=("$program")
    [[ $bed/$name -ef $built/$name ]] || unlinked+=("$program")
  fi
done
unpacked=() # files to take out of their modules
for file in ${files[@]+"${files[@]}"}; do
  read -r name folder _ <<<"$file"
  [[ $bed/$name -ef $(store "$folder")/$name ]] || unpacked+=("$file")
done
lacking=() # files of Debian's packages that the node lacks
if [[ -n $node && -z $only ]]; then
  for package in "${node_packages[@]}"; do
    read -r _ file _ <<<"$package"
    [[ -x $bed/${file##*/} ]] || lacking+=("$package")
  done
fi
((${#missing[@]} + ${#unlinked[@]} + ${#unpacked[@]} + ${#lacking[@]})) || exit 0

for tool in flock sha256sum; do
  command -v "$tool" >/dev/null || die "$tool is missing (on Debian: apt-get install util-linux coreutils)"
done
mkdir -p "$bed"

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
  local major minor built started=$SECONDS seconds reported=0 stamp=k8s.io/component-base/version
  IFS=. read -r major minor _ <<<"${k8s_version#v}"
  built=$(store "$3")
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

if ((${#missing[@]} + ${#unpacked[@]})); then find_go; fi
if [[ -n $assets ]]; then
  for program in ${missing[@]+"${missing[@]}"}; do
    say "KUBEBUILDER_ASSETS has no ${program%% *}: it is built, from Kubernetes ${k8s_version#v}, etcd ${etcd_version#v}"
  done
fi
number=0
for program in ${missing[@]+"${missing[@]}"}; do
  number=$((number + 1))
  read -r name folder package minutes <<<"$program"
  built=$(store "$folder")
  mkdir -p "$built"
  exec 9>"$built/.lock"
  flock -n 9 || { say "another build of $name is under way; waiting for it"; flock 9; }
  [[ -x $built/$name ]] || build "$number" "$name" "$folder" "$package" "$minutes"
  exec 9>&-
done

# link TARGET NAME: in one step, since others may be using the bed.
link() {
  ln -s "$1" "$bed/.$2.$$"
  mv -T "$bed/.$2.$$" "$bed/$2"
}
for program in ${unlinked[@]+"${unlinked[@]}"}; do
  read -r name folder _ <<<"$program"
  if from_assets "$name"; then link "$assets/$name" "$name"; else link "$(store "$folder")/$name" "$name"; fi
done
for file in ${unpacked[@]+"${unpacked[@]}"}; do
  read -r name folder module path <<<"$file"
  built=$(store "$folder")
  if [[ ! -d $built/$name ]]; then
    source=$(cd "$here/$folder" && env GOFLAGS= GOWORK=off go mod download -json "$module" | sed -nE 's/^\t"Dir": "(.*)",$/\1/p')
    [[ -d $source/$path ]] || die "$module has no folder $path"
    mkdir -p "$built"
    unfinished=$built/.$name.$$
    cp -r --no-preserve=mode "$source/$path" "$unfinished"
    mv -T "$unfinished" "$built/$name" 2>/dev/null || [[ -d $built/$name ]] || die "could not write $built/$name"
    unfinished=
  fi
  link "$built/$name" "$name"
done

# from_debian PACKAGE FILE PLACES: the machine's own program, else the one of Debian's package. Nothing is installed.
from_debian() {
  local name=${2##*/} place places
  IFS=: read -ra places <<<"$3"
  for place in "${places[@]}"; do
    if [[ -x $place ]]; then
      say "$name: the machine's own, $place"
      link "$place" "$name"
      return
    fi
  done
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || die "$name is missing and $tool is not there to fetch it: put a static $name into $bed"
  done
  unfinished=$(mktemp -d)
  (
    cd "$unfinished"
    # As any user; only the lists of packages are root's to bring.
    apt-get -qq download "$1" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$1"; } ||
      die "Debian's package $1 could not be had (run apt-get update as root), and $name is missing"
    dpkg-deb --extract "$1"_*.deb .
    cp "$2" "$bed/.$name.$$"
    mv "$bed/.$name.$$" "$bed/$name"
  ) >&2 </dev/null
  rm -rf "$unfinished"
  unfinished=
  if ldd "$bed/$name" 2>/dev/null | grep -q "not found"; then
    ldd "$bed/$name" >&2
    rm "$bed/$name"
    die "libraries of $name are missing (on Debian: apt-get install $1)"
  fi
  say "unpacked $name of Debian's $1"
}
for package in ${lacking[@]+"${lacking[@]}"}; do
  read -r name file places <<<"$package"
  from_debian "$name" "$file" "$places"
done
say "ready in $bed"
