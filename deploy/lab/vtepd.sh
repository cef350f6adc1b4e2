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
declare -A VTEPD_DEVICES=() DAEMON_PID=()

# A veth carries more than its MTU says to AF_PACKET, but the ring's slots must hold a whole frame, and the driver wants
# each slot to fit one mbuf. 2048 (the default) is good for MTUs up to 1900; a jumbo slot of 9216 in blocks of four.
vtepd_devargs() { # DEV MTU
  local args="net_af_packet_$1,iface=$1"
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

# vtepd_uplink HOST: up0 on the fabric. It has no address in the kernel: vtepd is the one who answers there.
vtepd_uplink() {
  fabric_port "$1"
  vtepd_device "$1" up0 "$FABRIC_MTU"
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
  vtepd_device "$host" "$vm" "$((mtu + 8))"
}

# vtepd_config HOST [LINE...]: writes the configuration; extra lines are appended as they are.
vtepd_config() {
  local host=$1
  shift
  cat >"$LAB_DIR/$host.toml" <<EOF
host = "$host"

[dpdk]
memory = "$VTEPD_MEMORY"
memory_mb = 256
main_core = 0
file_prefix = "vtl-$LAB_NAME-$host"

[workers]
cores = [$(($(nproc) > 1 ? 1 : 0))]
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
  ip netns exec "$(netns "$host")" "$VTEPD_BIN/vtepd" --config "$LAB_DIR/$host.toml" >>"$LAB_DIR/$host.log" 2>&1 </dev/null &
  DAEMON_PID[$host]=$!
  wait_for 20 vtepd_up_or_gone "$host" || die "vtepd on $host does not answer /healthz"
  vtepd_healthy "$host" || die "vtepd on $host has ended: $(tail -n 3 "$LAB_DIR/$host.log")"
}

vtepd_healthy() { api "$1" GET /healthz; }
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
  tail -n 1 "$LAB_DIR/$1.log" | tee /dev/stderr | grep -Eiq 'pool.*balanced'
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
  local request=(--silent --show-error --fail-with-body --max-time 10 --unix-socket "$LAB_DIR/$host.sock" -X "$method")
  if (($# > 3)); then request+=(-H 'content-type: application/json' --data-binary "$4"); fi
  curl "${request[@]}" "http://vtepd$path"
}

# api_refuses HOST STATUS METHOD PATH BODY: the status is that, and the answer is a problem document (RFC 9457). Prints it.
api_refuses() {
  local host=$1 want=$2 method=$3 path=$4 body=$5 answer status
  answer=$(curl --silent --show-error --max-time 10 --unix-socket "$LAB_DIR/$host.sock" -X "$method" \
    -H 'content-type: application/json' --data-binary "$body" -w '\n%{http_code} %{content_type}' "http://vtepd$path")
  status=${answer##*$'\n'}
  echo "$answer"
  [[ $status == "$want application/problem+json"* ]]
}

# vtepctl HOST ARGUMENT...: the client, talking to that host's daemon.
vtepctl() {
  local host=$1
  shift
  "$VTEPD_BIN/vtepctl" --server "unix:$LAB_DIR/$host.sock" "$@"
}

# drops HOST: "reason count" per line, sorted, only those that are not zero.
drops() {
  api "$1" GET /v1/drops | jq -r '.items[] | select(.packets > 0) | "\(.reason) \(.packets)"' | sort
}

# dropped HOST REASON: its count.
dropped() {
  drops "$1" | awk -v reason="$2" '$1 == reason { n = $2 } END { print n + 0 }'
}

# drops_moved HOST BEFORE: what was added since, as "reason +n" in one line. BEFORE is an earlier output of drops.
drops_moved() {
  join -a 2 <(echo "$2") <(drops "$1") | awk '
    { added = NF == 3 ? $3 - $2 : $2; if (added) line = line (line ? ", " : "") $1 " +" added }
    END { print line }'
}

drops_moved_are() { # HOST BEFORE EXPECTED
  equal "$3" "$(drops_moved "$1" "$2")"
}
