#!/usr/bin/env bash
# One box between a VLAN and the outside, without any overlay: a NAT gateway on bare metal. Hundreds of connections; downloads
# that run while everything beside their rule is added, changed and removed; and a rule that goes ends its sessions at once.
#
#   c1, c2 ── VLAN 20 ── g1 vtepd ── outside ── out1 10.100.0.14, whose kernel keeps a list of all connections it sees
#   192.168.50.0/24         10.100.0.5

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud_of gateway <<<'{}'
provider_add 1500
outside_add 1500
host_add g1
lan_host c1 20 192.168.50.1 192.168.50.11/24
lan_host c2 20 192.168.50.1 192.168.50.12/24
outside_host out1 10.100.0.14/24 10.100.0.15/24
# The kernel's conntrack: it works once a rule asks for it.
on out1 nft 'add table ip witness; add chain ip witness in { type filter hook input priority 0; }; add rule ip witness in ct state new counter'
cloud_vtepd g1 '[nat]' 'sessions = 65536' '[nat.log]' "file = \"$LAB_DIR/nat.log\""
serve out1

# witnessed: the connections that out1 has seen, by the first tuple of each, "address port" a line.
witnessed() {
  on out1 sed -nE 's/^.* tcp .*(src=([0-9.]+) dst=[0-9.]+ sport=([0-9]+) dport=8000) src=.*/\2 \3/p' /proc/net/nf_conntrack | sort
}

# as_told VM: the other ends that vtepd's clients were told by the server are those that out1's kernel has seen.
as_told() { equal "" "$(comm -23 <(seen_as "$1" | tr ':' ' ' | sort) <(witnessed))"; }

put_router() { api g1 PUT /v1/routers/r1 "$(jq "${1:-.}" <<<"$ROUTER")"; } # [JQ]: as described, or changed by this
ROUTER=$(jq .routers.r1 "$LAB_DIR/cloud.json")

section "A gateway"
check "the first packet is not lost" ping_once c1 10.100.0.14
check "ping" ping_ok c2 10.100.0.14
check "1,500 bytes, not to be fragmented" ping_ok c1 10.100.0.14 -s 1472 -M "do"
check "one hop" hops_are c1 10.100.0.14 "192.168.50.1 10.100.0.14"
capture_start out out1 eth0
check "TCP up" iperf c1 out1 10.100.0.14
check "TCP down" iperf c1 out1 10.100.0.14 --reverse

section "Hundreds of connections"
check "300 from c1 to two addresses each" transfer c1 get 10.100.0.14 10.100.0.15 --connections 300 --bytes 20000
check "all of one address" seen_from c1 10.100.0.5
check "by their own ports" kept_ports c1
check "out1's kernel has seen the same" as_told c1
check "and no two as one" equal 600 "$(witnessed | wc -l)"
check "200 from c2 from ports that c1 had" transfer c2 get 10.100.0.14 --connections 200 --bytes 20000 --source-port 32800
check "out1's kernel has seen the same" as_told c2
check "UDP from 300 ports" transfer c2 ask 10.100.0.14 10.100.0.15 --connections 300 --source-port 32800 --at-once 100
capture_stop out
check "every length and checksum" verify_outside out
check "the outside sees the router and nothing that is inside" verify_cloud out --outside r1

section "Downloads while all beside their rule is changed"
change() { # N: adds, changes and removes neighbours of the rule
  local n=$1
  api g1 POST /v1/transaction "{ \"put\": {
    \"networks\": { \"other\": { \"segment\": { \"type\": \"vlan\", \"interface\": \"prov0\", \"vlan\": 30 }, \"mtu\": 1500,
      \"subnets\": [{ \"cidr\": \"192.168.60.0/24\", \"dhcp\": false }] } },
    \"tenants\": { \"t$n\": { \"nat\": { \"sessions\": $((1000 + n)) } } },
    \"routers\": { \"r2\": { \"distributed\": false, \"tenant\": \"t$n\",
      \"interfaces\": [{ \"network\": \"other\", \"mac\": \"fa:16:3e:00:60:01\", \"addresses\": [\"192.168.60.1/24\"] }],
      \"external_gateway\": { \"network\": \"public\",
        \"gateways\": [{ \"mac\": \"fa:16:3e:00:64:06\", \"addresses\": [\"10.100.0.6/24\"] }] } } },
    \"floating-ips\": {
      \"whole\": { \"address\": \"10.100.0.$((30 + n % 9))\", \"network\": \"public\", \"router\": \"r1\", \"fixed_address\": \"192.168.50.$((100 + n % 9))\" },
      \"part\": { \"address\": \"10.100.0.40\", \"network\": \"public\", \"router\": \"r1\",
        \"forwardings\": [{ \"protocol\": \"tcp\", \"port\": $((1000 + n)), \"to\": \"192.168.50.77:80\" }] } } } }" || return
  put_router ".external_gateway.exempt = [\"198.51.100.$n/32\"]" || return
  put_router ".external_gateway.gateways[0].addresses += [\"10.100.0.7/24\"]" || return
  put_router || return
  api g1 POST /v1/transaction "{ \"delete\": { \"floating-ips\": [\"whole\", \"part\"], \"routers\": [\"r2\"], \"networks\": [\"other\"], \"tenants\": [\"t$n\"] } }"
}
check "twenty connections are held" hold_start c2 10.100.0.14 --connections 20
transfer c1 get 10.100.0.14 --connections 5 --bytes 3000000 --rate 1000000 --at-once 5 >"$LAB_DIR/c1.download" &
downloading=$!
changes=0
while kill -0 $downloading 2>/dev/null; do
  change $((changes % 200)) >"$LAB_DIR/change.out" || break
  changes=$((changes + 1))
done
echo "  $changes rounds of changes"
check "all downloads are whole, by their SHA-256" wait $downloading
check "and all connections alive" hold_end c2
check "many changes were made" test $changes -ge 10

section "Without the rule"
check "twenty connections are held" hold_start c2 10.100.0.14 --connections 20 --patience 1
capture_start without out1 eth0 'ip'
check "the way outside is removed" put_router 'del(.external_gateway)'
check "no session is left" equal "" "$(sessions g1)"
check "c1 does not get out" fails ping_once c1 10.100.0.14
check "nor is the router itself there" fails ping_once out1 10.100.0.5
capture_stop without
check "nothing has left as it was" capture_without without 'net 192.168.50.0/24'
check "the way outside again" put_router
check "c1 gets out" wait_for 5 ping_once c1 10.100.0.14
check "the connections of before are not taken up" hold_fails c2
check "new ones are" transfer c2 get 10.100.0.14 --connections 20 --bytes 10000

section "Sessions, looked at and ended"
check "one is held" hold_start c1 10.100.0.14 --source-port 45000 --patience 1
check "it is shown" equal "tcp 192.168.50.11:45000 10.100.0.5:45000 10.100.0.14:8000" \
  "$(sessions g1 "inside=192.168.50.11&inside_port=45000" | jq -r '"\(.protocol) \(.inside) \(.outside) \(.remote)"')"
explains() { vtepctl g1 explain --interface prov0 --vlan 20 --source-mac "$(mac c1 eth0)" --destination-mac fa:16:3e:00:50:01 \
  --source 192.168.50.11 --source-port 45000 --destination 10.100.0.14 tcp/8000 | tee /dev/stderr | grep -q "$1"; }
check "explain knows it" explains '192.168.50.11:45000 becomes 10.100.0.5:45000'
check "vtepctl shows it too" grep -q '192.168.50.11:45000 .*10.100.0.5:45000' <(vtepctl g1 sessions list --inside 192.168.50.11)
check "and ends it" vtepctl g1 sessions delete --inside 192.168.50.11 --inside-port 45000
check "so it is dead" hold_fails c1
check "others are there" test "$(sessions g1 | wc -l)" -ge 20

section "Who had which port, for months to come"
logged() { grep -E "^[0-9T:-]+Z port-taken router=r1 .*inside=192\.168\.50\.11 outside=10\.100\.0\.5 protocol=$1 ports=$2\$" "$LAB_DIR/nat.log"; }
is_logged() { wait_for 10 logged "$@"; }
check "c1 had port 45000" is_logged tcp 45000
mv "$LAB_DIR/nat.log" "$LAB_DIR/nat.log.1"
kill -HUP "${DAEMON_PID[g1]}"
check "a file put aside is followed by another" wait_for 10 test -e "$LAB_DIR/nat.log"
check "UDP from port 46000" transfer c1 ask 10.100.0.14 --source-port 46000
check "is there" is_logged udp 46000
check "neither names a destination" fails grep -h 10.100.0.14 "$LAB_DIR/nat.log" "$LAB_DIR/nat.log.1"

section "After kill -9"
vtepd_kill g1
vtepd_start g1
check "c1 gets out" wait_for 5 ping_once c1 10.100.0.14
check "100 connections" transfer c1 get 10.100.0.14 --connections 100 --bytes 20000

section "The end"
vtepd_stop g1
lab_end
