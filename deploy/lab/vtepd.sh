# shellcheck shell=bash
# vtepd in a lab: a host, its devices, its configuration file, start and stop, its API.
#
#   host_add h1
#   vtepd_uplink h1                       # device up0, cabled to the fabric
#   vtepd_access h1 vm1 10.0.0.1/24       # device vm1, cabled to a new end host vm1
#   vtepd_start h1                        # returns when /healthz says that it forwards
#   api h1 PUT /v1/networks/red '{...}'
#   vtepd_stop h1                         # checks exit code and pool balance

VTEPD_BIN=${VTEPD_BIN:-${CARGO_TARGET_DIR:-$REPO/target}/release}
VTEPD_MEMORY=${VTEPD_MEMORY:-auto} # or huge, no-huge: see [dpdk] memory
VTEPD_MEMORY_MB=256
VTEPD_HUGE_MB=512 # for two daemons
VTEPD_CORES="[$(($(nproc) > 1 ? 1 : 0))]" # one worker on each
VTEPD_QUEUES=1                            # of each device
VTEPD_AS=()                               # a command that runs it as somebody else
VTEPD_TAPS=no                             # yes: end hosts and the outside are on net_tap, see vtepd_tap
declare -A VTEPD_DEVICES=() VTEPD_PLUGS=() DAEMON_PID=()

# A veth carries more than its MTU says to AF_PACKET, but the ring's slots must hold a whole frame, and the driver wants
# each slot to fit one mbuf. 2048 (the default) is good for MTUs up to 1900; a jumbo slot of 9216 in blocks of four.
vtepd_devargs() { # DEV MTU
  local args="net_af_packet_$1,iface=$1"
  if ((VTEPD_QUEUES > 1)); then args+=",qpairs=$VTEPD_QUEUES"; fi
  if (($2 > 1900)); then args+=",framesz=9216,blocksz=36864,framecnt=512"; fi
  echo "$args"
}

# vtepd_device HOST DEV MTU: opens an interface of the host as a DPDK device of the same name.
vtepd_device() {
  local host=$1 dev=$2 mtu=$3
  VTEPD_DEVICES[$host]+="
[[device]]
name = \"$dev\"
devargs = \"$(vtepd_devargs "$dev" "$mtu")\"
mtu = $mtu
"
}

# vtepd_devices_clear HOST: forgets its devices and its configuration, for a daemon that is started anew with others.
vtepd_devices_clear() {
  VTEPD_DEVICES[$1]=''
  rm -f "$LAB_DIR/$1.toml"
}

# vtepd_cable HOST DEV MTU: the cable as a device, by AF_PACKET or, with VTEPD_TAPS, by a tap.
vtepd_cable() {
  if [[ $VTEPD_TAPS == yes ]]; then
    vtepd_tap "$1" "$2" $(($3 < 1504 ? $3 : 1504))
    VTEPD_PLUGS[$1]+=" $2"
  else
    vtepd_device "$@"
  fi
}

# vtepd_uplink HOST: up0 on the fabric, or on a cable to the router that it is behind. It has no address in the kernel: vtepd
# is the one who answers there.
vtepd_uplink() {
  if [[ -v UNDERLAY_ROUTER[$1] ]]; then
    link "$1" up0 "${UNDERLAY_ROUTER[$1]}" "$1" "$FABRIC_MTU"
    address "${UNDERLAY_ROUTER[$1]}" "$1" "${UNDERLAY_ADDRESS[$1]}"
  else
    fabric_port "$1"
  fi
  vtepd_device "$1" up0 "$FABRIC_MTU"
}

# vtepd_provider HOST: prov0 on the provider's switch, for VLAN segments. Its frames have a tag more than its MTU says.
vtepd_provider() {
  provider_port "$1"
  vtepd_cable "$1" prov0 "$PROVIDER_MTU"
}

# vtepd_access HOST VM [ADDRESS/LEN...] [mac=MAC] [mtu=MTU] [vlan=ID]: an end host (options: endhost) on a device
# that has its name.
vtepd_access() {
  local host=$1 vm=$2 mtu=1500 option
  for option in "${@:3}"; do
    if [[ $option == mtu=* ]]; then mtu=${option#mtu=}; fi
  done
  endhost "$vm" "$host" "$vm" "${@:3}"
  # Frames with one or two tags are longer than the MTU says.
  ip -n "$(netns "$host")" link set "$vm" mtu "$((mtu + 8))"
  vtepd_cable "$host" "$vm" "$((mtu + 8))"
}

# vtepd_tap HOST DEV [MTU]: net_tap in place of AF_PACKET for the cable DEV, where each frame must arrive as it was sent:
# AF_PACKET hands over every VLAN tag as 0x8100, and DPDK has it put IPv4 fragments together (PACKET_FANOUT_FLAG_DEFRAG).
# A tap takes an MTU of 1504 at most. It exists once vtepd runs: vtepd_plug then joins it with the cable.
vtepd_tap() {
  VTEPD_DEVICES[$1]+="
[[device]]
name = \"$2\"
devargs = \"net_tap_$2,iface=tap-$2\"
mtu = ${3:-1500}
"
}

# vtepd_plug HOST DEV: whatever enters the cable leaves the tap, and the other way round.
vtepd_plug() {
  local host=$1 cable=$2 tap=tap-$2
  ip -n "$(netns "$host")" link set "$tap" mtu "$(on "$host" cat "/sys/class/net/$cable/mtu")" up
  on "$host" tc qdisc add dev "$cable" clsact
  on "$host" tc qdisc add dev "$tap" clsact 2>/dev/null || true # net_tap adds one for its own rules
  on "$host" tc filter add dev "$cable" ingress protocol all u32 match u32 0 0 action mirred egress redirect dev "$tap"
  on "$host" tc filter add dev "$tap" ingress protocol all u32 match u32 0 0 action mirred egress redirect dev "$cable"
}

# vtepd_config HOST [LINE...]: writes the configuration; extra lines are appended as they are.
vtepd_config() {
  local host=$1
  shift
  cat >"$LAB_DIR/$host.toml" <<EOF
host = "$host"

[dpdk]
memory = "$VTEPD_MEMORY"
memory_mb = $VTEPD_MEMORY_MB
main_core = 0
file_prefix = "vtl-$LAB_NAME-$host"

[workers]
cores = $VTEPD_CORES
idle = "sleep" # leave the core to others when nothing arrives: this is a laptop's lab

[api]
listen = ["127.0.0.1:4788"] # of the namespace
socket = "$LAB_DIR/$host.sock"

[state]
directory = "$LAB_DIR/$host-state"

[vxlan]
ports = [4789, 8472]
${VTEPD_DEVICES[$host]}
$(printf '%s\n' "$@")
EOF
}

# vtepd_start HOST [LINE...]: configures (unless that was done) and runs the daemon; returns when it forwards.
vtepd_start() {
  local host=$1
  shift
  [[ -x $VTEPD_BIN/vtepd ]] || die "no $VTEPD_BIN/vtepd: build it with 'cargo build --release' (package vtepd)"
  [[ -e $LAB_DIR/$host.toml ]] || vtepd_config "$host" "$@"
  take_huge_pages
  # Not by vtepd_run: the process must be the daemon itself, not a shell that waits for it.
  ip netns exec "$(netns "$host")" "${VTEPD_AS[@]}" "${VTEPD_PROGRAM:-$VTEPD_BIN/vtepd}" \
    --config "$LAB_DIR/$host.toml" >>"$LAB_DIR/$host.log" 2>&1 </dev/null &
  DAEMON_PID[$host]=$!
  wait_for 60 vtepd_up_or_gone "$host" || true
  vtepd_healthy "$host" || {
    lab_show_logs >&2
    die "vtepd on $host has not come up"
  }
  local cable
  for cable in ${VTEPD_PLUGS[$host]:-}; do vtepd_plug "$host" "$cable"; done
}

# vtepd_run HOST: runs the daemon in the foreground, for one that is to end by itself; its messages and exit code.
vtepd_run() {
  timeout --kill-after=1 10 ip netns exec "$(netns "$1")" "${VTEPD_AS[@]}" "${VTEPD_PROGRAM:-$VTEPD_BIN/vtepd}" \
    --config "$LAB_DIR/$1.toml" </dev/null
}

# Once for a lab, as much as all its daemons want; lab_remove gives it back. Without, "auto" means no-huge.
take_huge_pages() {
  local added
  if [[ $VTEPD_MEMORY == no-huge || -e $LAB_DIR/huge_pages ]]; then return; fi
  added=$(huge_pages_add "$VTEPD_HUGE_MB") || added=0
  echo "$added" >"$LAB_DIR/huge_pages"
}

vtepd_healthy() { api "$1" GET /healthz >/dev/null; }
vtepd_up_or_gone() { vtepd_healthy "$1" || all_gone "${DAEMON_PID[$1]}"; }

# vtepd_stop HOST: SIGTERM, then the two checks that end every system test.
vtepd_stop() {
  local host=$1 code=0
  kill -TERM "${DAEMON_PID[$host]}"
  wait_for 10 all_gone "${DAEMON_PID[$host]}" || die "vtepd on $host ignores SIGTERM"
  wait "${DAEMON_PID[$host]}" || code=$?
  unset "DAEMON_PID[$host]"
  check "vtepd on $host ends with exit code 0" equal 0 "$code"
  check "its packet pool is as full as at the start" vtepd_pool_balanced "$host"
}

# The daemon compares the pool with its size as its last act and says so.
vtepd_pool_balanced() {
  tail -n 1 "$LAB_DIR/$1.log" | tee /dev/stderr | grep -q 'packet pool balanced'
}

# vtepd_kill HOST: kill -9, as by the kernel's out-of-memory killer.
vtepd_kill() {
  kill -KILL "${DAEMON_PID[$1]}"
  wait "${DAEMON_PID[$1]}" 2>/dev/null || true
  unset "DAEMON_PID[$1]"
}

# ----------------------------------------------------------------------------------------------------- API

# api HOST METHOD PATH [BODY|@FILE]: prints the response; fails unless the status is 2xx.
api() {
  local host=$1 method=$2 path=$3
  local request=(--silent --show-error --fail-with-body --max-time 20 --unix-socket "$LAB_DIR/$host.sock" -X "$method")
  if (($# > 3)); then request+=(-H 'content-type: application/json' --data-binary "$4"); fi
  curl "${request[@]}" "http://vtepd$path"
}

# api_refuses HOST "STATUS CODE FIELD" METHOD PATH BODY: the answer is a problem document (RFC 9457) with that status and
# code, and points to that field (- for none, "(whole)" for the
# document itself). Prints the document.
api_refuses() {
  local host=$1 want=$2 answer meta body
  answer=$(curl --silent --show-error --max-time 10 --unix-socket "$LAB_DIR/$host.sock" -X "$3" \
    -H 'content-type: application/json' --data-binary "$5" -w '\n%{http_code} %{content_type}' "http://vtepd$4") || return
  meta=${answer##*$'\n'}
  body=${answer%$'\n'*}
  echo "$body"
  [[ $meta == *" application/problem+json"* ]] || { echo "not a problem document: $meta" && return 1; }
  equal "$want" "${meta%% *} $(jq -r '"\(.code) \(if .field == "" then "(whole)" else .field // "-" end)"' <<<"$body")"
}

# vtepctl HOST ARGUMENT...: the client, talking to that host's daemon.
vtepctl() {
  local host=$1
  shift
  "$VTEPD_BIN/vtepctl" --server "unix:$LAB_DIR/$host.sock" "$@"
}

# vtepd_fill HOST <STATE: replaces the whole state by the document on standard input. 2xx means that the workers
# forward by it, so nothing has to be waited for.
vtepd_fill() {
  local document
  document=$(cat)
  check "the state is accepted by vtepd on $1" api "$1" PUT /v1/state "$document"
}

# metric_is HOST NAME LABEL VALUE: the sum over the series of that name which have that label.
metric_is() {
  equal "$4" "$(api "$1" GET /metrics | awk -v name="$2{" -v label="$3" \
    'index($0, name) == 1 && index($0, label) { sum += $NF } END { print sum + 0 }')"
}

# next_hop HOST ADDRESS: what vtepd knows of that next hop on the underlay, as "state MAC".
next_hop() {
  api "$1" GET /v1/underlay | jq -r --arg address "$2" '.items[] | select(.address == $address) | "\(.state) \(.mac)"'
}

next_hop_is() { equal "$3" "$(next_hop "$1" "$2")"; } # HOST ADDRESS "STATE MAC"

# drops HOST: "reason count" per line, over all interfaces, sorted, only those that are not zero.
drops() {
  api "$1" GET /v1/drops |
    jq -r '.items | group_by(.reason)[] | "\(.[0].reason) \(map(.packets) | add)" | select(endswith(" 0") | not)' | sort
}

# dropped HOST REASON: its count.
dropped() {
  drops "$1" | awk -v reason="$2" '$1 == reason { n = $2 } END { print n + 0 }'
}

dropped_is() { equal "$3" "$(dropped "$1" "$2")"; } # HOST REASON COUNT

# drops_moved HOST BEFORE: what was added since, as "reason +n" in one line. BEFORE is an earlier output of drops.
drops_moved() {
  join -a 2 <(echo "$2") <(drops "$1") | awk '
    { added = NF == 3 ? $3 - $2 : $2; if (added) line = line (line ? ", " : "") $1 " +" added }
    END { print line }'
}

drops_moved_are() { # HOST BEFORE EXPECTED
  equal "$3" "$(drops_moved "$1" "$2")"
}
