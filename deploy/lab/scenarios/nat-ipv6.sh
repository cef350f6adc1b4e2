#!/usr/bin/env bash
# IPv6 goes outside as it is, by the same ways: by the central port of the network to the node that has the router's way outside,
# or from that node itself. With outbound_only_ipv6 only what was begun inside may come in.
#
#   red1 2001:db8:1::11 ── h1 vtepd ══ ur ══ n1 vtepd ── red3      out1 2001:db8:64::14      web 2001:db8:ff::80
#                                               └──── outside ─────────┴── gw 2001:db8:64::1 ───┘

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud_of two-networks outside <<'END'
{
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red3": { "network": "red", "host": "n1", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13", "2001:db8:1::13"] }
  }
}
END

fabric_add 1600
outside_add 1500
underlay_router ur 192.0.2.1/24
underlay_behind n1 ur 198.51.100.1/24
host_add h1 n1
outside_host out1 10.100.0.14/24 2001:db8:64::14/64
outside_router gw 10.100.0.1/24 2001:db8:64::1/64 fe80::1/64
outside_behind gw web 2001:db8:ff::1/64 2001:db8:ff::80/64
# The way back to the inside: by the router's address.
for host in out1 gw; do ip -n "$(netns $host)" -6 route add 2001:db8:1::/64 via 2001:db8:64::5; done
cloud_vtepd h1 '[nat]' 'sessions = 65536'
cloud_vtepd n1 '[nat]' 'sessions = 65536'
cloud_joined h1 n1
for host in out1 web red1; do serve $host; done

outbound_only() { # true|false
  cloud_change "{ \"routers\": { \"r1\": { \"external_gateway\": { \"outbound_only_ipv6\": $1 } } } }"
  for vtep in h1 n1; do vtepd_fill $vtep < <(cloud_ask state $vtep); done
}

out() { # VM: out, and what comes back
  check "$1: ping" ping_ok "$1" 2001:db8:64::14
  check "$1: ping behind the router" ping_ok "$1" 2001:db8:ff::80
  check "$1: 2 MB down, 2 MB up" transfer "$1" get 2001:db8:64::14 2001:db8:ff::80 --bytes 2000000
  check "$1: 2 MB up" transfer "$1" put 2001:db8:64::14 --bytes 2000000
  check "$1: UDP" transfer "$1" ask 2001:db8:64::14 --bytes 1000
  check "$1: it is seen as itself" seen_from "$1" "[$2]"
}

section "Routed both ways"
capture_start wire fabric h1
capture_start outside outside n1
check "the first packet is not lost" ping_once red1 2001:db8:64::14
out red1 2001:db8:1::11
out red3 2001:db8:1::13
check "in: ping" ping_ok out1 2001:db8:1::11
check "in: 2 MB" transfer out1 get 2001:db8:1::11 --bytes 2000000
check "in, from behind the router" transfer web get 2001:db8:1::11
check "IPv4 is translated beside it" transfer red1 get 10.100.0.14
check "to the router" seen_from red1 10.100.0.5
capture_stop wire
capture_stop outside
for capture in wire outside; do
  check "$capture: every length and checksum" verify_pcap $capture --at-least 0
  check "$capture: everybody speaks for himself" verify_cloud $capture
done
check "the way: gateway, central port, and on" hops_are red1 2001:db8:ff::80 "2001:db8:1::1 2001:db8:1::2 2001:db8:64::1 2001:db8:ff::80"

section "Outbound only"
outbound_only true
out red1 2001:db8:1::11
out red3 2001:db8:1::13
before=$(drops n1)
check "in: no ping" fails ping_once out1 2001:db8:1::11
check "in: no TCP" fails opens out1 2001:db8:1::11 8000
counted_alone() { [[ $(drops_moved n1 "$before" | tee /dev/stderr) =~ ^nat-unsolicited\ \+[1-9][0-9]*$ ]]; }
check "they are counted, and nothing else" counted_alone
check "an error about what red1 has sent comes in" transfer_fails 'Connection refused' red1 ask 2001:db8:64::14 --port 9
outbound_only false
check "in again: ping" ping_ok out1 2001:db8:1::11

section "The end"
vtepd_stop h1
vtepd_stop n1
lab_end
