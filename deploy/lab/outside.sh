# shellcheck shell=bash
# What is outside a cloud: an external network, a switch named outside, on which each vtepd has the device ext0, and hosts of
# the kernel's; and the traffic that goes there and comes from there.
#
#   outside_add 1500
#   outside_host out1 10.100.0.14/24
#   outside_router gw 10.100.0.1/24 && outside_behind gw web 203.0.113.1/24 203.0.113.80/24
#   cloud_vtepd h1                                        # has ext0 now
#   serve out1 && transfer red1 get 10.100.0.14           # transfer.py says what comes and goes

declare -A SERVE_PID=() # processes that serve, by name

# outside_add MTU
outside_add() {
  OUTSIDE_MTU=$1
  switch_add outside "$1"
}

# vtepd_outside HOST: ext0 on the switch outside.
vtepd_outside() {
  switch_port outside "$1" ext0 "$OUTSIDE_MTU"
  vtepd_cable "$1" ext0 "$OUTSIDE_MTU"
}

# outside_host NAME [ADDRESS/LEN...]: a Linux host outside (options: endhost).
outside_host() {
  endhost "$1" outside "$1" mtu="$OUTSIDE_MTU" "${@:2}"
  ip -n "$(netns outside)" link set "$1" master br0
}

# outside_router NAME [ADDRESS/LEN...]: one that forwards, and tells of each packet that it cannot.
outside_router() {
  outside_host "$@"
  on "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
}

# outside_behind ROUTER NAME ROUTER'S/LEN NAME'S/LEN [MTU]: a host behind such a router, on a cable of its own.
outside_behind() {
  host_add "$2"
  if [[ $3 == *:* ]]; then ipv6_on "$2"; fi
  link "$2" eth0 "$1" "$2" "${5:-$OUTSIDE_MTU}"
  address "$1" "$2" "$3"
  if [[ $3 == *:* ]]; then address "$1" "$2" fe80::1/64; fi # a router asks from its link-local address
  address "$2" eth0 "$4"
  ip -n "$(netns "$2")" route add default via "${3%/*}"
}

# lan_host NAME VLAN GATEWAY [ADDRESS/LEN...]: a Linux host in that VLAN of the provider's switch.
lan_host() {
  endhost "$1" provider "$1" vlan="$2" "${@:4}"
  ip -n "$(netns provider)" link set "$1" master br0
  ip -n "$(netns "$1")" route add default via "$3"
}

# ------------------------------------------------------------------------------------------------- traffic

# serve HOST: the other end of transfer, at all its addresses.
serve() {
  local host=$1 answer=()
  mapfile -t answer < <(ip -n "$(netns "$host")" -j addr show dev eth0 | jq -r '.[].addr_info[] | "--answer=\(.local)"')
  serve_by "$host" "$host" "$LAB_HOME/transfer.py" serve "${answer[@]}"
  wait_for 20 listens "$host" 8000 || die "transfer.py on $host does not listen: $(<"$LAB_DIR/$host.serve")"
}

# serve_by NAME HOST COMMAND...: in the background, until serve_end NAME or the end of the lab.
serve_by() {
  local name=$1 host=$2
  shift 2
  # Not by a function: the signal must reach the program itself.
  ip netns exec "$(netns "$host")" "$@" >"$LAB_DIR/$name.serve" 2>&1 </dev/null &
  SERVE_PID[$name]=$!
}

serve_end() {
  kill -TERM "${SERVE_PID[$1]}" 2>/dev/null || true
  wait "${SERVE_PID[$1]}" 2>/dev/null || true
  unset "SERVE_PID[$1]"
}

# transfer HOST KIND ADDRESS... [OPTION...]: see transfer.py; what it says is kept in $LAB_DIR/HOST.transfer. Fails unless all
# went well and was whole.
transfer() {
  local host=$1 result=0
  shift
  on "$host" "$LAB_HOME/transfer.py" "$@" >"$LAB_DIR/$host.transfer" || result=$?
  tail -n 1 "$LAB_DIR/$host.transfer" | cut -c 1-1000
  return $result
}

# transferred HOST JQ [ARGUMENT...]: asks its last transfer.
transferred() {
  local host=$1 query=$2
  shift 2
  tail -n 1 "$LAB_DIR/$host.transfer" | jq -r "$@" "$query"
}

# transfer_fails "WORDS" HOST KIND ADDRESS... [OPTION...]: because of this.
transfer_fails() {
  transfer "${@:2}" || true
  transferred "$2" .error | grep -E "$1"
}

# seen_as HOST: whom the other end has seen, a line for each connection.
seen_as() { transferred "$1" '.ends[].outside'; }

seen_from() { equal "$2" "$(seen_as "$1" | sed 's/:[0-9]*$//' | sort -u | paste -sd' ')"; } # HOST "ADDRESS ..."

# kept_ports HOST: each connection of its last transfer has the same port outside as inside.
kept_ports() { equal "" "$(transferred "$1" '.ends[] | select((.inside | sub(".*:"; "")) != (.outside | sub(".*:"; "")))')"; }

# hold_start HOST ADDRESS [OPTION...]: connections that stand, and speak, until hold_end. One such for a host at a time; it may
# transfer beside.
hold_start() {
  local host=$1
  shift
  ip netns exec "$(netns "$host")" "$LAB_HOME/transfer.py" hold "$@" >"$LAB_DIR/$host.hold" </dev/null &
  HOLD_PID[$host]=$!
  wait_for 10 grep -q held "$LAB_DIR/$host.hold" || hold_end "$host"
}
declare -A HOLD_PID=()

# hold_end HOST: true if all of them were alive. It is the host's last transfer then.
hold_end() {
  local result=0
  [[ -v HOLD_PID[$1] ]] || return 1
  kill -TERM "${HOLD_PID[$1]}" 2>/dev/null || true
  wait "${HOLD_PID[$1]}" || result=$?
  unset "HOLD_PID[$1]"
  mv "$LAB_DIR/$1.hold" "$LAB_DIR/$1.transfer"
  tail -n 1 "$LAB_DIR/$1.transfer" | cut -c 1-1000
  return $result
}

# hold_fails HOST: true if all of them end by themselves (hold_start: --patience), and not well.
hold_fails() {
  wait_for 10 all_gone "${HOLD_PID[$1]}" || true
  ! hold_end "$1"
}

# learned_mtu HOST ADDRESS MTU: what the kernel there believes of its path.
learned_mtu() { on "$1" ip route get "$2" | tee /dev/stderr | grep -q "mtu $3"; }

# verify_outside NAME [OPTION...]: every packet's lengths and checksums, as verify_pcap; but no port is VXLAN's there, for
# translation may give any to a station.
verify_outside() { verify_pcap "$1" --ports 0 --at-least 0 "${@:2}"; }

# more_drops HOST REASON BEFORE: more have been counted since.
more_drops() { test "$(dropped "$1" "$2")" -gt "$3"; }

# sessions HOST [QUERY] [LIMIT]: its sessions, a JSON object a line; by pages of LIMIT.
sessions() {
  local page next="/v1/sessions?limit=${3:-1000}${2:+&$2}"
  while [[ -n $next ]]; do
    page=$(api "$1" GET "$next") || return
    jq -c '.items[]' <<<"$page"
    next=$(jq -r '.next // empty' <<<"$page")
  done
}
