#!/usr/bin/env bash
# Runs a command where a node may do as nodes do: with a network, a process tree and mounts of its own. Port 443, /run and
# /var/lib are not the machine's; all processes end with the command, and nothing of it is left. It needs root.
#
#   sandbox.sh COMMAND [ARGUMENT...]
#
# The addresses in it are those of tests/node/src/sandbox.rs.
set -euo pipefail

die() { printf 'sandbox: %s\n' "$*" >&2; exit 1; }

if [[ ${1:-} != --inside ]]; then
  [[ $EUID == 0 ]] || die "a node needs root: run this as root (kubelet mounts, containerd makes namespaces)"
  for tool in unshare mount ip; do
    command -v "$tool" >/dev/null || die "$tool is missing (on Debian: apt-get install util-linux mount iproute2)"
  done
  export TFC_SANDBOX=tfc-node-$$
  status=0
  unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc -- "$0" --inside "$@" || status=$?
  # What the kubelet made for its pods: empty by now, since their processes are gone.
  for cgroup in /sys/fs/cgroup/"$TFC_SANDBOX" /sys/fs/cgroup/*/"$TFC_SANDBOX"; do
    [[ ! -d $cgroup ]] || find "$cgroup" -depth -type d -exec rmdir {} +
  done
  exit "$status"
fi
shift

# The network: the servers' addresses on loopback, and a wire with the node's that leads nowhere. Kubernetes' programs look for a
# default route to find out who they are.
ip link set lo up
for address in 10.0.0.1 10.0.0.10 198.51.100.10; do
  ip address add "$address/32" dev lo
done
ip link add uplink type veth peer name nowhere
ip address add 192.0.2.10/24 dev uplink
ip link set uplink up
ip link set nowhere up
ip route add default via 192.0.2.1
echo 1 >/proc/sys/net/ipv4/ip_forward

# The folders of a node, in memory. What is below /var/lib stays readable.
mount -t tmpfs -o mode=755,size=3g tmpfs /run
mkdir -p /run/tmp /run/upper /run/work
chmod 1777 /run/tmp
export TMPDIR=/run/tmp
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib ||
  die "could not put an overlay over /var/lib"

# The kubelet sets these for the whole machine. In here it finds them as it wants them, and leaves the machine's alone.
mkdir /run/sysctl
while read -r name value; do
  echo "$value" >"/run/sysctl/${name//\//.}"
  mount --bind "/run/sysctl/${name//\//.}" "/proc/sys/$name"
done <<'SYSCTLS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTLS

# This shell is the first process in here: it collects orphans, and takes everything along when it ends.
"$@" </dev/null &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM
status=0
wait "$child" || status=$?
exit "$status"
