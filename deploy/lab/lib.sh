# shellcheck shell=bash
# The lab: namespaces, links, captures and checks from which the demo and every scenario are built.
#
#   in   a script that calls lab_begin, builds its hosts, states its checks and calls lab_end
#   out  one line per check, "N passed, N failed" at the end, exit code 0 only if nothing failed
#
# Every host of a lab is a network namespace named vtl-<lab>-<host>; its files are under $LAB_RUN/<lab>.
# Whatever ends the script (success, a failed command, Ctrl-C) removes both, unless --keep was given.
# peers.sh has the VTEPs that vtepd talks to, vtepd.sh the daemon itself, cloud.sh whole clouds from one description, outside.sh
# what is outside them.

set -Eeuo pipefail

LAB_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LAB_HOME/../.." && pwd)
LAB_RUN=/run/vtepd-lab
# In memory also where /run is on a disk: daemons wait for each fsync, which a busy virtual machine may do in half a minute.
if [[ $(stat -f -c %T /run) != tmpfs && $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs ]]; then LAB_RUN=/dev/shm/vtepd-lab; fi
LAB_NAME='' # set by lab_begin
LAB_DIR=''  # files of this lab
LAB_KEEP=no
PASSED=0
FAILED=0
declare -A CAPTURE_PID=() STREAM_PID=()

# shellcheck source=huge_pages.sh
source "$LAB_HOME/huge_pages.sh"
# shellcheck source=peers.sh
source "$LAB_HOME/peers.sh"
# shellcheck source=vtepd.sh
source "$LAB_HOME/vtepd.sh"
# shellcheck source=cloud.sh
source "$LAB_HOME/cloud.sh"
# shellcheck source=outside.sh
source "$LAB_HOME/outside.sh"
# (A file here must not have the name of a scenario: shellcheck would read that one in its place, and so itself.)
# shellcheck source=dhclient.sh
source "$LAB_HOME/dhclient.sh"

# ---------------------------------------------------------------------------------------------- begin and end

# lab_begin [--keep | --clean | --help]: the options of the script; takes the lab's name from its file name.
lab_begin() {
  LAB_NAME=$(basename "$0" .sh)
  LAB_DIR=$LAB_RUN/$LAB_NAME
  while (($#)); do
    case $1 in
      --keep) LAB_KEEP=yes ;;
      --clean) lab_remove && exit 0 ;;
      -h | --help) lab_usage && exit 0 ;;
      *) die "unknown option '$1' (known: --keep, --clean, --help)" ;;
    esac
    shift
  done
  [[ $EUID == 0 ]] || die "network namespaces need root: run it with sudo"
  if [[ -e $LAB_DIR/owner && -d /proc/$(<"$LAB_DIR/owner") ]]; then
    die "the lab '$LAB_NAME' is in use by process $(<"$LAB_DIR/owner")"
  fi
  lab_remove
  mkdir -p "$LAB_DIR"
  echo $$ >"$LAB_DIR/owner"
  trap lab_exit EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'lab_error "$LINENO" "$BASH_COMMAND"' ERR
}

# lab_end: the summary; the exit code tells whether all checks passed.
lab_end() {
  if ((FAILED)); then lab_show_logs; fi
  echo "$PASSED passed, $FAILED failed"
  if ((FAILED)); then exit 1; fi
}

# The comment block at the head of a script is its manual page.
lab_usage() {
  sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
  echo "Options: --keep leaves the lab running, --clean removes a kept one."
}

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# A command that was no check has failed: the lab itself is broken.
lab_error() {
  lab_show_logs >&2
  echo "$(basename "$0"): line $1: '$2' failed" >&2
}

lab_exit() {
  local code=$?
  trap - EXIT ERR
  trap '' INT TERM # a second Ctrl-C must not leave half of it behind
  set +e
  if [[ -n ${LAB_ARTIFACTS:-} ]]; then
    mkdir -p "$LAB_ARTIFACTS" && find "$LAB_DIR" \( -name '*.log' -o -name '*.pcap' -o -name '*.toml' \) \
      -exec cp -t "$LAB_ARTIFACTS" {} +
  fi
  if [[ $LAB_KEEP == yes ]]; then
    rm -f "$LAB_DIR/owner"
  else
    lab_remove
  fi
  exit "$code"
}

# What the daemons said last: the first thing to read when a scenario fails.
lab_show_logs() {
  local log
  for log in "$LAB_DIR"/*.log; do
    [[ -s $log ]] || continue
    echo "--- the end of $(basename "$log")"
    tail -n 25 "$log"
  done
}

# lab_remove: ends every process in the namespaces of this lab, then removes them and the files.
lab_remove() {
  local ns pids=() pid
  for ns in $(lab_namespaces); do
    mapfile -t -O "${#pids[@]}" pids < <(ip netns pids "$ns")
  done
  if ((${#pids[@]})); then
    kill -TERM "${pids[@]}" 2>/dev/null || true
    wait_for 5 all_gone "${pids[@]}" || kill -KILL "${pids[@]}" 2>/dev/null || true
    for pid in "${pids[@]}"; do wait_for 5 all_gone "$pid" || true; done
  fi
  for ns in $(lab_namespaces); do
    ip netns del "$ns"
  done
  if [[ -e $LAB_DIR/huge_pages ]]; then huge_pages_remove "$(<"$LAB_DIR/huge_pages")"; fi
  rm -rf "${LAB_DIR:?}"
  rmdir "$LAB_RUN" 2>/dev/null || true
}

lab_namespaces() {
  ip netns list | awk -v prefix="vtl-$LAB_NAME-" 'index($1, prefix) == 1 { print $1 }'
}

all_gone() {
  local pid state
  for pid; do
    # A zombie is ours to reap, and gone for everybody else.
    state=$(awk '/^State:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
    [[ $state == Z || -z $state ]] || return 1
  done
}

# -------------------------------------------------------------------------------------------------- checks

# check TEXT COMMAND...: runs the command, prints a line, counts; shows the command's output when it fails.
check() {
  local text=$1 output=$LAB_DIR/check.out
  shift
  if "$@" >"$output" 2>&1 </dev/null; then
    printf '  ok    %s\n' "$text"
    PASSED=$((PASSED + 1))
  else
    printf '  FAIL  %s\n' "$text"
    printf '        $ %s\n' "$*"
    sed 's/^/        | /' "$output" | tail -n 30
    FAILED=$((FAILED + 1))
  fi
}

# fails COMMAND...: true when the command fails, for checks of what must not work.
fails() { ! "$@"; }

# equal WANT GOT
equal() {
  [[ $1 == "$2" ]] || { printf 'wanted: %s\ngot:    %s\n' "$1" "$2" && false; }
}

# wait_for SECONDS COMMAND...: tries the command until it succeeds; when the time is over it fails and shows the last try.
wait_for() {
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000)) output
  shift
  until output=$("$@" 2>&1); do
    ((${EPOCHREALTIME/./} < deadline)) || {
      printf 'not within the time given: %s\n%s\n' "$*" "$output"
      return 1
    }
    read -rt 0.05 <> <(:) || true # a pause between two tries, without a process
  done
}

section() { printf '\n%s\n' "$*"; }

# ---------------------------------------------------------------------------------------- hosts and links

# netns HOST: the namespace's full name.
netns() { echo "vtl-$LAB_NAME-$1"; }

# on HOST COMMAND...: runs a command on a host.
on() {
  local ns
  ns=$(netns "$1")
  shift
  ip netns exec "$ns" "$@"
}

# host_add HOST...: hosts without any address. IPv6 is off, so that the only frames seen are those a test sends
# (no router solicitations, no MLD); ipv6_on switches it on.
host_add() {
  local host
  for host; do
    ip netns add "$(netns "$host")"
    on "$host" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    # ARP is answered by the interface that has the address, not by any; bridges do not look into what they carry.
    on "$host" sysctl -qw net.ipv4.conf.all.arp_ignore=1
    on "$host" sysctl -qew net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 \
      net.bridge.bridge-nf-call-arptables=0
    ip -n "$(netns "$host")" link set lo up
  done
}

# ipv6_on HOST: IPv6 with the addresses we give, and silent otherwise. Call it before links are added.
ipv6_on() {
  on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 \
    net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0 \
    net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.addr_gen_mode=1
}

# link HOST DEV PEER PEERDEV [MTU]: a cable between two hosts.
link() {
  local mtu=${5:-1500}
  ip link add "$2" netns "$(netns "$1")" mtu "$mtu" type veth peer name "$4" netns "$(netns "$3")" mtu "$mtu"
  link_up "$1" "$2"
  link_up "$3" "$4"
}

# link_up HOST DEV: up, and without offloads: a checksum or a segment that the kernel leaves to the "NIC" would
# reach the AF_PACKET socket of vtepd unfinished (a veth is no NIC).
link_up() {
  on "$1" ethtool -K "$2" tx off rx off tso off gso off gro off txvlan off rxvlan off >/dev/null
  ip -n "$(netns "$1")" link set "$2" up
}

# address HOST DEV ADDRESS/LEN...
address() {
  local host=$1 dev=$2 addr flags
  shift 2
  for addr; do
    flags=''
    [[ $addr == *:* ]] && flags=nodad
    # shellcheck disable=SC2086 # no flag is no argument
    ip -n "$(netns "$host")" addr add "$addr" dev "$dev" $flags
  done
}

# mac HOST DEV [MAC]: prints the MAC address, or sets it.
mac() {
  if (($# == 3)); then
    ip -n "$(netns "$1")" link set "$2" address "$3"
  else
    on "$1" cat "/sys/class/net/$2/address"
  fi
}

# switch_add SWITCH MTU: a host that is a switch and nothing else. It carries tagged frames as they are.
switch_add() {
  host_add "$1"
  ip -n "$(netns "$1")" link add br0 mtu "$2" type bridge forward_delay 0 mcast_snooping 0
  ip -n "$(netns "$1")" link set br0 up
}

# switch_port SWITCH HOST DEV MTU: a cable from DEV of a host; the switch's port has the host's name.
switch_port() {
  link "$2" "$3" "$1" "$2" "$4"
  ip -n "$(netns "$1")" link set "$2" master br0
}

# fabric_add MTU: the underlay, a switch named fabric. 1600 carries tenant packets of 1500 on IPv4 and IPv6.
fabric_add() {
  FABRIC_MTU=$1
  switch_add fabric "$1"
}

# fabric_port HOST [ADDRESS/LEN...]: connects up0 of a host to the underlay.
fabric_port() {
  local host=$1
  shift
  switch_port fabric "$host" up0 "$FABRIC_MTU"
  address "$host" up0 "$@"
}

# underlay_router NAME ADDRESS/LEN: a router on the fabric. underlay_behind HOST ROUTER ADDRESS/LEN: up0 of that host, which
# has no cable yet, will be on a cable to the router, which has that address there.
underlay_router() {
  host_add "$1"
  on "$1" sysctl -qw net.ipv4.ip_forward=1
  fabric_port "$@"
}
declare -A UNDERLAY_ROUTER=() UNDERLAY_ADDRESS=()
underlay_behind() {
  UNDERLAY_ROUTER[$1]=$2
  UNDERLAY_ADDRESS[$1]=$3
}

# provider_add MTU: the network of the VLAN segments, a switch named provider.
provider_add() {
  PROVIDER_MTU=$1
  switch_add provider "$1"
}

# provider_port HOST: connects prov0 of a host to it.
provider_port() { switch_port provider "$1" prov0 "$PROVIDER_MTU"; }

# fabric_snoop: the fabric snoops IGMPv3 and MLDv2 as a real switch does (version 3 knows no suppressed reports, so each
# member is seen). Intervals are short, in hundredths of a second.
fabric_snoop() {
  ip -n "$(netns fabric)" link set br0 type bridge mcast_snooping 1 mcast_igmp_version 3 mcast_mld_version 2 \
    mcast_query_response_interval 50 mcast_last_member_interval 20
  fabric_query
}

# fabric_query: the fabric asks who is in which group (a querier begins with a query).
fabric_query() {
  ip -n "$(netns fabric)" link set br0 type bridge mcast_querier 0
  ip -n "$(netns fabric)" link set br0 type bridge mcast_querier 1
}

# fabric_group HOST GROUP: the fabric has seen it join.
fabric_group() { on fabric bridge mdb show | grep -q "port $1 grp $2 "; }

# endhost HOST PEER PEERDEV [ADDRESS/LEN...] [mac=MAC] [mtu=MTU] [vlan=ID]: a new host whose eth0 is cabled to
# PEERDEV of PEER; with vlan, eth0 is a VLAN interface over the cable.
endhost() {
  local host=$1 peer=$2 peerdev=$3 mac='' mtu=1500 vlan='' addresses=() arg
  shift 3
  for arg; do
    case $arg in
      mac=* | mtu=* | vlan=*) local "${arg?}" ;;
      *) addresses+=("$arg") ;;
    esac
  done
  host_add "$host"
  if [[ ${addresses[*]} == *:* ]]; then ipv6_on "$host"; fi
  if [[ -z $vlan ]]; then
    link "$host" eth0 "$peer" "$peerdev" "$mtu"
  else
    link "$host" trunk "$peer" "$peerdev" "$((mtu + 8))" # room for two tags
    vlan_add "$host" trunk "$vlan" eth0 "$mtu"
  fi
  if [[ -n $mac ]]; then mac "$host" eth0 "$mac"; fi
  address "$host" eth0 "${addresses[@]}"
}

# vlan_add HOST DEV ID NAME MTU [TPID]: the VLAN interface NAME over DEV. Where the kernel has no 802.1Q (micro-VM
# kernels) two BPF programs on a veth pair do the same: push the tag and redirect out, pop the tag and redirect in.
vlan_add() {
  local host=$1 dev=$2 id=$3 name=$4 mtu=$5 tpid=${6:-802.1Q} ns
  ns=$(netns "$host")
  if ip -n "$ns" link add link "$dev" name "$name" mtu "$mtu" type vlan id "$id" protocol "$tpid" 2>/dev/null; then
    link_up "$host" "$name"
    return
  fi
  local object=$LAB_DIR/$host-$name.bpf.o inside=$name-tag ethertype=0x8100
  if [[ $tpid == 802.1ad ]]; then ethertype=0x88a8; fi
  ip -n "$ns" link add "$name" mtu "$mtu" type veth peer name "$inside" mtu "$mtu"
  link_up "$host" "$name"
  link_up "$host" "$inside"
  clang -O2 -g -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -DVLAN_ID="$id" -DTPID="$ethertype" \
    -DOUTSIDE="$(on "$host" cat "/sys/class/net/$dev/ifindex")" \
    -DINSIDE="$(on "$host" cat "/sys/class/net/$inside/ifindex")" \
    -c "$LAB_HOME/vlan.bpf.c" -o "$object"
  on "$host" tc qdisc add dev "$inside" clsact
  on "$host" tc filter add dev "$inside" ingress bpf direct-action object-file "$object" section tc/tag
  on "$host" tc qdisc add dev "$dev" clsact 2>/dev/null || true # one is enough for several VLANs
  on "$host" tc filter add dev "$dev" ingress bpf direct-action object-file "$object" section tc/untag
}

# ------------------------------------------------------------------------------------------------ captures

# capture_start NAME HOST DEV [FILTER...]: into $LAB_DIR/NAME.pcap; returns when tcpdump listens.
# Capture on the far end of vtepd's cables: what its AF_PACKET port sends bypasses the near end's taps.
capture_start() {
  local name=$1 host=$2 dev=$3 note=$LAB_DIR/$1.tcpdump
  shift 3
  rm -f "$LAB_DIR/$name.pcap" "$note"
  # Started in this shell (no pipeline, no function), so that $! is tcpdump itself once ip has replaced itself by it.
  ip netns exec "$(netns "$host")" tcpdump -i "$dev" -B 65536 -U --immediate-mode -Z root -w "$LAB_DIR/$name.pcap" \
    "$*" 2>"$note" </dev/null &
  CAPTURE_PID[$name]=$!
  wait_for 15 grep -q 'listening on' "$note" || die "tcpdump does not listen: $(<"$note")"
}

# capture_stop NAME: waits until tcpdump has written all that its filter let through, then ends it.
capture_stop() {
  local name=$1 pid=${CAPTURE_PID[$1]}
  wait_for 10 capture_is_written "$name" || true
  kill -INT "$pid" 2>/dev/null || true
  wait "$pid" || true
  grep -q '^0 packets dropped by kernel' "$LAB_DIR/$name.tcpdump" || echo "  the capture $name is not complete" >&2
  unset "CAPTURE_PID[$name]"
}

# tcpdump answers SIGUSR1 with "N packets captured, N packets received by filter, ...".
capture_is_written() {
  local note=$LAB_DIR/$1.tcpdump before
  before=$(grep -c 'received by filter' "$note" || true)
  kill -USR1 "${CAPTURE_PID[$1]}"
  wait_for 1 has_more_lines "$note" 'received by filter' "$before"
  # captured + dropped by the kernel = received
  tail -n 1 "$note" | awk '{ for (i = 2; i <= NF; i++) if ($i ~ /^packets?$/) n[++k] = $(i - 1) } END { exit n[1] + n[3] < n[2] }'
}

has_more_lines() { (($(grep -c "$2" "$1") > $3)); }

# captured NAME [FILTER...]: the number of captured packets that match.
captured() {
  local name=$1
  shift
  tcpdump --count -r "$LAB_DIR/$name.pcap" "$*" 2>"$LAB_DIR/captured.err" | cut -d' ' -f1 || cat "$LAB_DIR/captured.err"
}

# capture_has_packets NAME: for a capture that still runs (an empty one is the file's header of 24 bytes).
capture_has_packets() { (($(stat -c %s "$LAB_DIR/$1.pcap") > 24)); }

# capture_shows NAME [FILTER...]: the same in words. UDP is shown as VXLAN whatever its port (8472 is OTV by its number).
capture_shows() {
  local name=$1
  shift
  tcpdump -ne -T vxlan -r "$LAB_DIR/$name.pcap" "$*" 2>/dev/null
}

# capture_without NAME [FILTER...]: no captured packet matches; shows those that do.
capture_without() {
  local found
  found=$(capture_shows "$@")
  echo "$found" | head -n 20
  [[ -z $found ]]
}

# verify_pcap NAME [OPTION...]: every packet's lengths and checksums, inner and outer (see verify_pcap.py --help).
verify_pcap() {
  local name=$1
  shift
  "$LAB_HOME/verify_pcap.py" "$LAB_DIR/$name.pcap" "$@"
}

# ------------------------------------------------------------------------------------------------- traffic

# ping_ok HOST ADDRESS [OPTION...]: three echoes, none lost. It waits for as long as a busy machine may need, and only if it must.
ping_ok() {
  local host=$1 addr=$2
  shift 2
  on "$host" ping -n -q -c 3 -i 0.05 -W 5 "$@" "$addr"
}

# ping_once HOST ADDRESS [OPTION...]
ping_once() {
  local host=$1 addr=$2
  shift 2
  on "$host" ping -n -q -c 1 -W 1 "$@" "$addr"
}

# opens HOST ADDRESS PORT: TCP is answered within a second.
opens() { on "$1" timeout 1 bash -c "exec 3<>/dev/tcp/$2/$3"; }

# hops FROM ADDRESS [OPTION...]: the addresses of a traceroute, in one line.
hops() {
  on "$1" traceroute -n -q 1 -w 1 -N 1 "${@:3}" "$2" | awk 'NR > 1 { line = line (line ? " " : "") $2 } END { print line }'
}
hops_are() { equal "$3" "$(hops "$1" "$2" "${@:4}")"; } # FROM ADDRESS "HOP..." [OPTION...]

# ping_hears FROM ADDRESS "WORDS" [OPTION...]: one echo request is answered by an error in these words.
ping_hears() { { on "$1" ping -n -c 1 -W 2 "${@:4}" "$2" || true; } | tee /dev/stderr | grep -F "$3"; }

# iperf CLIENT SERVER ADDRESS [OPTION...]: 20 MB of TCP by iperf3, or what the options say; prints Mbit/s received; fails
# when nothing arrives. (By size, not by time: where a capture runs along, each packet is looked at afterwards.)
iperf() {
  local client=$1 server=$2 addr=$3 pid result
  shift 3
  if [[ $* != *--time* ]]; then set -- --bytes 20M "$@"; fi
  ip netns exec "$(netns "$server")" iperf3 --server --one-off >/dev/null 2>&1 </dev/null &
  pid=$!
  wait_for 15 listens "$server" 5201 || return 1
  result=$(on "$client" iperf3 --client "$addr" --json --connect-timeout 3000 "$@") || true
  kill "$pid" 2>/dev/null || true # it still waits when the client has found no way to it
  wait "$pid" || true
  # With --json an error is part of the result, and the exit code says nothing of it.
  jq -r '.error // empty' <<<"$result"
  jq -er '.end | (.sum_received // .sum // empty).bits_per_second / 1e6 | floor | select(. > 0)' <<<"$result"
}

listens() { on "$1" ss -Hltn "sport = :$2" | grep -q .; }

# stream_start HOST [PORT]: a receiver of numbered datagrams on that host (see stream.py).
stream_start() {
  local host=$1 port=${2:-7000}
  ip netns exec "$(netns "$host")" "$LAB_HOME/stream.py" --port "$port" receive >"$LAB_DIR/$host.stream" </dev/null &
  STREAM_PID[$host]=$!
  wait_for 15 receives "$host" "$port"
}

receives() { on "$1" ss -Hlun "sport = :$2" | grep -q .; }

# stream_send HOST ADDRESS [OPTION...]: returns when all has been sent.
stream_send() {
  local host=$1 addr=$2
  shift 2
  on "$host" "$LAB_HOME/stream.py" send "$addr" "$@"
}

# stream_whole HOST: all datagrams have arrived there, once, in order within each flow, and nothing else.
stream_whole() {
  wait "${STREAM_PID[$1]}"
  cat "$LAB_DIR/$1.stream"
  jq -e '.received > 0 and .lost == 0 and .late == 0 and .twice == 0 and .wrong == 0' "$LAB_DIR/$1.stream" >/dev/null
}
