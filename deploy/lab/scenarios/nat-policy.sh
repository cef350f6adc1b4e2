#!/usr/bin/env bash
# What a router's way outside lets in and lets be: filtering by address, destinations that are exempt, prefixes in the outside's
# own address scope, no SNAT at all; a SYN that nobody waits for, and one that meets another half way; ports in blocks and what
# the log says of them; sessions that are listed and ended while others run, and end when their time is over. The external network
# is a VLAN.
#
#   c1, c2 ── VLAN 20 ──┐                                ┌── out1 10.100.0.14
#                       ├─ g1 vtepd ── outside, VLAN 100 ┤
#   b1 ────── VLAN 30 ──┘   10.100.0.5; c2 is .20 too    └── out2 10.100.0.15
#
# The times of RFC 4787 and 5382 are minutes: here they are seconds, which has to be asked for.

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud_of gateway <<'END'
{
  "networks": {
    "public": { "segment": { "type": "vlan", "vlan": 100 } },
    "lan2": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 30 }, "mtu": 1500,
      "subnets": [{ "cidr": "192.168.60.0/24", "dhcp": false }]
    }
  },
  "routers": {
    "r1": {
      "interfaces": [
        { "network": "lan", "mac": "fa:16:3e:00:50:01", "addresses": ["192.168.50.1/24"] },
        { "network": "lan2", "mac": "fa:16:3e:00:60:01", "addresses": ["192.168.60.1/24"] }
      ],
      "external_gateway": { "filtering": "address-dependent" }
    }
  },
  "floating-ips": { "fip2": { "address": "10.100.0.20", "network": "public", "router": "r1", "fixed_address": "192.168.50.12" } }
}
END

LOG=$LAB_DIR/nat.log

# policy TEXT JSON: the router's way outside is changed by this.
policy() {
  cloud_change "{ \"routers\": { \"r1\": { \"external_gateway\": $2 } } }"
  check "$1" api g1 PUT /v1/routers/r1 "$(jq .routers.r1 "$LAB_DIR/cloud.json")"
}

# counted REASON COMMAND...: it fails, and drops of this reason are counted.
counted() {
  local reason=$1 before
  before=$(dropped g1 "$reason")
  shift
  ! "$@" || return
  wait_for 5 more_drops g1 "$reason" "$before"
}

# asks_in HOST ADDRESS PORT [PATIENCE]: a datagram to a port where nothing listens has reached the station, which says so.
asks_in() { transfer_fails 'Connection refused' "$1" ask "$2" --port "$3" --patience "${4:-5}"; }

# seen_between NAME [OPTION...]: the capture shows what the cloud allows as it is described now, with sound packets.
seen_between() {
  capture_stop "$1"
  check "outside: every length and checksum" verify_outside "$1"
  check "everybody speaks for himself" verify_cloud "$@"
}

provider_add 1500
outside_add 1500
host_add g1
lan_host c1 20 192.168.50.1 192.168.50.11/24
lan_host c2 20 192.168.50.1 192.168.50.12/24
lan_host b1 30 192.168.60.1 192.168.60.11/24
for last in 14 15; do
  outside_host out$((last - 13)) vlan=100 10.100.0.$last/24
  # Both know the way to what is inside; whether it is open is not theirs to say.
  for inside in 192.168.50.0/24 192.168.60.0/24; do ip -n "$(netns out$((last - 13)))" route add $inside via 10.100.0.5; done
done
cloud_vtepd g1 '[nat]' 'sessions = 65536' '[nat.log]' "file = \"$LOG\""
for host in out1 out2 c1 c2 b1; do serve $host; done

section "A SYN that nobody waits for, and silence"
capture_start silent out1 eth0 'port 2222 or icmp[icmptype] = icmp-unreach'
check "c1 gets out" wait_for 5 ping_once c1 10.100.0.14
knocks() { serve_by knocking out1 "$LAB_HOME/transfer.py" get 10.100.0.5 --port 2222 --patience 60; }
knocks # and again after 1, 3 and 7 seconds

section "Address-dependent: only who has been talked to may use an open port"
capture_start filtered outside g1
capture_start stranger c1 eth0 'host 10.100.0.15'
check "c1 asks out1, from port 5000" transfer c1 ask 10.100.0.14 --source-port 5000
check "by its own port" kept_ports c1
check "out2 does not get in" counted nat-filtered asks_in out2 10.100.0.5 5000 0.5
check "out1 does, from another port too" asks_in out1 10.100.0.5 5000
check "c1 holds a connection from port 40000" hold_start c1 10.100.0.14 --source-port 40000
check "a SYN of out2 does not get in" counted nat-filtered opens out2 10.100.0.5 40000
check "one of out1 does" transfer_fails 'Errno 111' out1 get 10.100.0.5 --port 40000
explains() { vtepctl g1 explain --interface ext0 --vlan 100 --source-mac "$(mac out2 eth0)" --destination-mac fa:16:3e:00:64:05 \
  --source 10.100.0.15 --destination 10.100.0.5 udp/5000 | tee /dev/stderr | grep "$1"; }
check "explain says why" explains 'dropped: nat-filtered'
check "a floating IP is open to all" asks_in out2 10.100.0.20 5000
capture_stop stranger
check "c1 has seen nothing of out2" capture_without stranger
policy "endpoint-independent from now on" '{ "filtering": "endpoint-independent" }'
check "c1's connection is alive" hold_end c1
check "c1 asks out1, from port 5001" transfer c1 ask 10.100.0.14 --source-port 5001
check "out2 gets in" asks_in out2 10.100.0.5 5001
seen_between filtered --outside r1 --outside fip2

section "Exempt: to out2 everything goes as it is"
policy "it is exempt" '{ "exempt": ["10.100.0.15/32"] }'
capture_start exempt outside g1
check "c1 to out2" transfer c1 get 10.100.0.15 --bytes 200000
check "is seen as itself" seen_from c1 192.168.50.11
check "to out1" transfer c1 get 10.100.0.14 --bytes 20000
check "as the router" seen_from c1 10.100.0.5
check "c2 to out2, although it has a floating IP" transfer c2 get 10.100.0.15 --bytes 20000
check "is seen as itself" seen_from c2 192.168.50.12
check "to out1" transfer c2 get 10.100.0.14 --bytes 20000
check "by its floating IP" seen_from c2 10.100.0.20
check "out2 to c1" transfer out2 get 192.168.50.11 --bytes 200000
check "out1 not" counted nat-not-ours opens out1 192.168.50.11 8000
check "there is no session of it" equal "" "$(sessions g1 remote=10.100.0.15\&protocol=tcp)"
seen_between exempt --outside r1 --outside fip2
check "some of it untranslated" test "$(captured exempt 'vlan 100 and src net 192.168.50.0/24 and dst host 10.100.0.15')" -gt 0

section "Address scopes: 192.168.60.0/24 is known outside"
policy "it is in the outside's own scope" '{ "exempt": null, "same_scope": ["192.168.60.0/24"] }'
capture_start scope outside g1
check "b1 gets out" transfer b1 get 10.100.0.14 10.100.0.15 --bytes 20000
check "is seen as itself" seen_from b1 192.168.60.11
check "c1 does" transfer c1 get 10.100.0.14 10.100.0.15 --bytes 20000
check "as the router" seen_from c1 10.100.0.5
check "out1 to b1" transfer out1 get 192.168.60.11 --bytes 20000
check "out2 to c1: not any more" counted nat-not-ours opens out2 192.168.50.11 8000
check "c1 to b1, within the router" transfer c1 get 192.168.60.11 --bytes 20000
check "is seen as itself" seen_from c1 192.168.50.11
seen_between scope --outside r1
policy "without SNAT" '{ "same_scope": null, "snat": false }'
capture_start routed outside g1
check "c1 gets out" transfer c1 get 10.100.0.14 --bytes 20000
check "as itself" seen_from c1 192.168.50.11
check "c2 too" transfer c2 get 10.100.0.14 --bytes 20000
check "by its floating IP" seen_from c2 10.100.0.20
check "out1 to c1" transfer out1 get 192.168.50.11 --bytes 20000
seen_between routed --outside fip2
policy "with SNAT again" '{ "snat": null }'

section "SYNs again"
is_fourth() { test "$(captured silent 'tcp[tcpflags] == tcp-syn')" -ge 4; }
check "seven seconds after its first, out1 has sent its fourth" wait_for 15 is_fourth
capture_stop silent
check "nobody has told it anything" capture_without silent 'src port 2222 or (icmp and icmp[30:2] = 2222)' # the port that is quoted
serve_end knocking
check "who is not waited for shall hear it" api g1 PUT /v1/nat-settings/default '{ "unsolicited_syn": "unreachable" }'
knocks
transfer out2 meet 10.100.0.5 --port 40100 --source-port 40200 --patience 30 >/dev/null &
meeting=$!
is_held() { on out2 ss -Htn state syn-sent "dst 10.100.0.5" | grep -q 40100; }
check "out2 has sent one to port 40100" wait_for 5 is_held
check "it meets that of c1 from there: a simultaneous open" transfer c1 meet 10.100.0.15 --port 40200 --source-port 40100
check "and that of out2 meets c1's" wait $meeting
check "which is the router's to it" seen_from c1 10.100.0.5
check "with its own port" kept_ports c1

section "Ports in blocks, and the log"
check "blocks of 64, and ports do not rest" api g1 PUT /v1/nat-settings/default \
  '{ "port_block": 64, "timeouts": { "rest": 0 }, "unsolicited_syn": "unreachable" }'
check "what UDP there was is ended" api g1 DELETE '/v1/sessions?protocol=udp'
# blocks ADDRESS WHAT: its blocks that the log has as taken or as freed, "first-last" a line.
blocks() { sed -nE "s/^[0-9T:-]+Z block-$2 router=r1 tenant=r1 inside=$1 outside=10\.100\.0\.5 protocol=all ports=([0-9]+-[0-9]+)$/\1/p" "$LOG"; }
blocks_at_least() { test "$(blocks "$1" "$2" | wc -l)" -ge "$3"; } # ADDRESS WHAT COUNT
# in_blocks HOST ADDRESS: the ports by which it was seen are in blocks that it has.
in_blocks() {
  blocks "$2" taken | awk -F- 'NR == FNR { from[NR] = $1; to[NR] = $2; next }
    { found = 0; for (i in from) if ($0 >= from[i] && $0 <= to[i]) found = 1; if (!found) { print "in no block: " $0; ill = 1 } }
    END { exit ill }' - <(seen_as "$1" | sed 's/.*://')
}
logged_before=$(wc -l <"$LOG")
check "c1 asks from 100 ports" transfer c1 ask 10.100.0.14 --connections 100 --at-once 50
check "b1 too" transfer b1 ask 10.100.0.14 --connections 100 --at-once 50
check "the log has blocks of c1" wait_for 10 blocks_at_least 192.168.50.11 taken 2
check "and of b1" wait_for 10 blocks_at_least 192.168.60.11 taken 2
check "c1 was seen by ports of its own blocks" in_blocks c1 192.168.50.11
check "b1 by its own" in_blocks b1 192.168.60.11
check "nobody has a block of the other" equal "" "$(comm -12 <(blocks 192.168.50.11 taken | sort) <(blocks 192.168.60.11 taken | sort))"
check "a few lines for 200 ports" test "$(tail -n +$((logged_before + 1)) "$LOG" | grep -c taken)" -le 8
tail -n 2 "$LOG" | sed 's/^/        /'
check "c1's sessions are ended" api g1 DELETE '/v1/sessions?inside=192.168.50.11&protocol=udp'
check "so its blocks are freed" wait_for 10 blocks_at_least 192.168.50.11 freed "$(blocks 192.168.50.11 taken | wc -l)"
check "b1's are not" equal "" "$(blocks 192.168.60.11 freed)"
check "no line has a destination" fails grep -E '10\.100\.0\.1[45]|:8000' "$LOG"
check "ports one by one again" api g1 PUT /v1/nat-settings/default '{ "timeouts": { "rest": 0 } }'

section "Sessions, listed and ended while others run"
has_heard() { grep -E 'Errno 11[13]' "$LAB_DIR/knocking.serve"; }
check "meanwhile out1 has heard that nobody waits for its SYN" wait_for 20 has_heard
check "that of out2 went nowhere once the other was there" wait_for 20 more_drops g1 nat-syn-crossed 0
check "c1 holds 10 connections" hold_start c1 10.100.0.14 --connections 10 --source-port 45000 --patience 1
check "b1 holds 20" hold_start b1 10.100.0.14 --connections 20 --source-port 46000
transfer c1 get 10.100.0.15 --connections 5 --bytes 3000000 --rate 1000000 >"$LAB_DIR/c1.download" &
downloading=$!
( # sessions that come and go
  while [[ ! -e $LAB_DIR/quiet ]]; do on b1 "$LAB_HOME/transfer.py" get 10.100.0.15 --connections 50 --bytes 1000 >/dev/null || exit; done
) &
coming=$!
is_whole() { equal "$(seq -f 192.168.60.11:%.0f 46000 46019)" "$(sessions g1 'inside=192.168.60.11&remote=10.100.0.14&protocol=tcp' 7 | jq -r .inside | sort)"; }
ended=0 lists=0
for port in {45000..45009}; do
  vtepctl g1 sessions delete --inside 192.168.50.11 --inside-port "$port" >"$LAB_DIR/delete.out"
  if grep -q '^1 session' "$LAB_DIR/delete.out"; then ended=$((ended + 1)); fi
  if is_whole >"$LAB_DIR/list.out"; then lists=$((lists + 1)); fi
done
touch "$LAB_DIR/quiet"
check "each of c1's was ended by itself" equal 10 "$ended"
check "each of ten lists had b1's whole, by pages of seven" equal 10 "$lists"
check "c1's are dead" hold_fails c1
check "its downloads are whole, by their SHA-256" wait $downloading
check "what came and went was whole" wait $coming
check "and b1's are alive" hold_end b1

section "Time over"
check "seconds are less than the RFCs demand" api_refuses g1 "422 invalid /timeouts/udp" PUT /v1/nat-settings/default '{ "timeouts": { "udp": 2 } }'
check "unless that is meant" api g1 PUT /v1/nat-settings/default '{
  "short_timeouts": true, "timeouts": { "udp": 2, "icmp": 2, "tcp_transitory": 2, "tcp_established": 4, "rest": 0 } }'
check "c1's sessions are ended" api g1 DELETE '/v1/sessions?inside=192.168.50.11'
check "c1 speaks by a connection from port 47000" hold_start c1 10.100.0.14 --source-port 47000
serve_by idle c1 bash -c 'exec 3<>/dev/tcp/10.100.0.14/8000 && exec sleep 600'
is_idle() { on c1 ss -Htnp state established dport = 8000 | grep -q sleep; }
check "has one where nobody speaks" wait_for 5 is_idle
check "one that is closed" transfer c1 get 10.100.0.14 --bytes 20000
check "and has asked by UDP from port 47001" transfer c1 ask 10.100.0.14 --source-port 47001
is_left() { equal tcp:192.168.50.11:47000 "$(sessions g1 inside=192.168.50.11 | jq -r '"\(.protocol):\(.inside)"')"; }
check "only where somebody speaks it lasts" wait_for 20 is_left
check "nobody gets in by the port of before" counted nat-no-mapping asks_in out1 10.100.0.5 47001 0.5
freed() { grep 'Z port-freed .* inside=192.168.50.11 .* protocol=udp ports=47001$' "$LOG"; }
check "it is free, says the log" wait_for 10 freed
check "who speaks has not been cut off" hold_end c1
serve_end idle

section "The end"
vtepd_stop g1
lab_end
