#!/usr/bin/env bash
# The four ways between two end hosts of a tenant (same or other network, same or other host), with a distributed router:
# on VXLAN and on VLAN segments, with jumbo frames, IPv4 and IPv6. What is routed between hosts goes straight to the
# other host, in the segment of the network it is for, from the sender's DVR MAC; gateways are never seen on the wire.
#
#   red1, red2, blue1 ── h1 vtepd ══ 192.0.2.0/24 and the provider's VLANs ══ h2 vtepd ── red3, blue3

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

# four RED BLUE MTU: the cloud, with these two as the segments of its networks.
four() {
  cloud_of two-networks <<END
{
  "networks": { "red": { "segment": $1, "mtu": $3 }, "blue": { "segment": $2, "mtu": $3 } },
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "red3": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13", "2001:db8:1::13"] },
    "blue1": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11", "2001:db8:2::11"] },
    "blue3": { "network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:13", "addresses": ["192.168.2.13", "2001:db8:2::13"] }
  }
}
END
}

# case_works TEXT FROM TO SUBNET.HOST: everything from one end host to another, both ways.
case_works() {
  local text=$1 from=$2 to=$3 v4=192.168.$4 v6=2001:db8:${4/./::}
  check "$text: ping" ping_ok "$from" "$v4"
  check "$text: ping, IPv6" ping_ok "$from" "$v6"
  check "$text: $MTU-byte packets" ping_ok "$from" "$v4" -s $((MTU - 28)) -M "do"
  check "$text: $MTU-byte packets, IPv6" ping_ok "$from" "$v6" -s $((MTU - 48)) -M "do"
  check "$text: TCP $from → $to" iperf "$from" "$to" "$v4" --bytes 3M
  check "$text: TCP $to → $from" iperf "$from" "$to" "$v4" --bytes 3M --reverse
  check "$text: TCP $from → $to, IPv6" iperf "$from" "$to" "$v6" --bytes 3M
}

# all_cases NAME SWITCH RED BLUE MTU: the four cases and what was on the wire between the hosts meanwhile.
all_cases() {
  local name=$1 switch=$2 vm before1 before2
  MTU=$5
  four "$3" "$4" "$MTU"
  for vm in red1 red2 red3 blue1 blue3; do ip -n "$(netns $vm)" link set eth0 mtu "$MTU"; done
  for vm in h1 h2; do vtepd_fill $vm < <(cloud_ask state $vm); done
  vm_forget red1 red2 red3 blue1 blue3
  before1=$(drops h1)
  before2=$(drops h2)
  capture_start "$name" "$switch" h1
  case_works "1 same network, same host" red1 red2 1.12
  case_works "2 same network, other host" red1 red3 1.13
  case_works "3 other network, same host" red1 blue1 2.11
  case_works "4 other network, other host" red1 blue3 2.13
  check "the gateway itself answers" ping_ok red1 192.168.1.1
  check "with any of its addresses" ping_ok red3 2001:db8:2::1
  capture_stop "$name"
  check "every length and checksum" verify_pcap "$name" --at-least 0
  check "the wire is that of a distributed router" verify_cloud "$name" \
    --seen "red1>red3" --seen "red3>red1" --seen "red1>blue3" --seen "blue3>red1"
  check "h1 has dropped nothing" drops_moved_are h1 "$before1" ""
  check "h2 has dropped nothing" drops_moved_are h2 "$before2" ""
}

not_learned() { # HOST MAC
  local found
  found=$(api "$1" GET /v1/fdb | jq -c --arg mac "$2" '.items[] | select(.mac == $mac)')
  echo "$found"
  [[ -z $found ]]
}

fabric_add 9000
provider_add 9000
host_add h1 h2
four "$(vxlan_segment 1671)" "$(vxlan_segment 1172)" 8950
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2

section "VXLAN, VNI 1671 and 1172"
all_cases vxlan fabric "$(vxlan_segment 1671)" "$(vxlan_segment 1172)" 1450

section "The way as traceroute sees it: the gateway once"
check "1 same network, same host" hops_are red1 192.168.1.12 "192.168.1.12"
check "2 same network, other host" hops_are red1 192.168.1.13 "192.168.1.13"
check "3 other network, same host" hops_are red1 192.168.2.11 "192.168.1.1 192.168.2.11"
check "4 other network, other host" hops_are red1 192.168.2.13 "192.168.1.1 192.168.2.13"
check "and back" hops_are blue3 192.168.1.11 "192.168.2.1 192.168.1.11"
check "IPv6" hops_are red1 2001:db8:2::13 "2001:db8:1::1 2001:db8:2::13"

section "DVR MACs are no stations"
check "h2 has not learned that of h1" not_learned h2 fa:16:3f:00:00:11
check "h1 has not learned that of h2" not_learned h1 fa:16:3f:00:00:12

section "VXLAN, jumbo frames, and the last VNI"
all_cases jumbo fabric "$(vxlan_segment 1671)" "$(vxlan_segment 16777215)" 8950

section "VLAN 197 and 148"
all_cases vlan provider "$(vlan_segment 197)" "$(vlan_segment 148)" 1500

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
