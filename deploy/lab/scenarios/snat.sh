#!/usr/bin/env bash
# SNAT on a network node: end hosts without a floating IP go outside by way of the central port of their network, on another
# host or on the same one, over a routed underlay, in VXLAN and VLAN segments. TCP, UDP, echo, fragments, ICMP errors and what
# they quote; and what nobody inside has asked for stays outside.
#
#   red1, red2, blue1 ── h1 vtepd ══ ur ══ n1 vtepd ── red3       out1 10.100.0.14      web 203.0.113.80, MTU 1400
#                           └─────────────────┴─────── outside ─────┴──── gw 10.100.0.1 ───┘
#
# The end hosts and the outside are on net_tap devices: AF_PACKET would put fragments together. The end hosts believe in an MTU
# of 1500, so that only the routers know of the smaller ones.

source "$(dirname "$0")/../lib.sh"
export VTEPD_TAPS=yes
lab_begin "$@"

NAT=("[nat]" "sessions = 65536")

cloud_of two-networks outside <<'END'
{
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"] },
    "red2": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12"] },
    "red3": { "network": "red", "host": "n1", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] },
    "blue1": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11"] }
  }
}
END

fabric_add 1600
provider_add 1500
outside_add 1500
underlay_router ur 192.0.2.1/24
underlay_behind n1 ur 198.51.100.1/24
host_add h1 n1
outside_host out1 10.100.0.14/24
outside_router gw 10.100.0.1/24
outside_behind gw web 203.0.113.1/24 203.0.113.80/24 1400
ip -n "$(netns web)" route replace default via 203.0.113.1 advmss 1460 # it does not know of the 1400
ip -n "$(netns gw)" route add unreachable 203.0.113.128/25
for vtep in h1 n1; do
  cloud_devices $vtep mtu=1500
  vtepd_start $vtep "${NAT[@]}"
  vtepd_fill $vtep < <(cloud_ask state $vtep)
done
cloud_joined h1 n1
serve out1
serve web

# out_and_back VM: to a host outside, and to one behind a router there.
out_and_back() {
  local vm=$1
  check "$vm: ping" ping_ok "$vm" 10.100.0.14
  check "$vm: ping behind the router" ping_ok "$vm" 203.0.113.80
  check "$vm: 2 MB down" transfer "$vm" get 10.100.0.14 --bytes 2000000
  check "$vm: 2 MB up" transfer "$vm" put 10.100.0.14 --bytes 2000000
  check "$vm: UDP" transfer "$vm" ask 10.100.0.14 203.0.113.80 --bytes 1000
  check "$vm: it is seen as the router" seen_from "$vm" 10.100.0.5
}

captures_start() { # NAME SWITCH
  capture_start "$1" "$2" h1
  capture_start "$1-outside" outside n1
  capture_start "$1-idle" outside h1 '(ip or arp) and ether[6:4] = 0xfa163e00 and ether[10:2] != 0x6405'
}

captures_end() { # NAME
  capture_stop "$1"
  capture_stop "$1-outside"
  capture_stop "$1-idle"
  check "every length and checksum between the hosts" verify_pcap "$1" --at-least 0
  check "and outside" verify_outside "$1-outside"
  check "the hosts see the ways to and from the central ports" verify_cloud "$1"
  check "the outside sees the router and nothing that is inside" verify_cloud "$1-outside" --outside r1
  check "h1 itself has said nothing outside" capture_without "$1-idle"
}

section "Out and back"
captures_start vxlan fabric
check "the first packet is not lost" ping_once red1 10.100.0.14
out_and_back red1 # on another host than the router's way outside
out_and_back blue1
out_and_back red3 # on the same
check "TCP red1 → out1" iperf red1 out1 10.100.0.14 --bytes 5M
check "TCP out1 → red1" iperf red1 out1 10.100.0.14 --bytes 5M --reverse
check "a hundred connections at once" transfer red1 get 10.100.0.14 203.0.113.80 --connections 50 --bytes 10000

section "Ports outside"
check "red1 holds a connection from port 40000" hold_start red1 10.100.0.14 --source-port 40000
check "and red2 one from the same to the same" hold_start red2 10.100.0.14 --source-port 40000
check "n1 knows both" equal "192.168.1.11:40000 192.168.1.12:40000" \
  "$(sessions n1 "protocol=tcp&remote=10.100.0.14&inside_port=40000" | jq -rs 'map(.inside) | sort | join(" ")')"
check "red1's was alive all the time" hold_end red1
check "red2's too" hold_end red2
check "red1 has its port outside" equal 10.100.0.5:40000 "$(seen_as red1)"
check "red2 has another" fails equal 10.100.0.5:40000 "$(seen_as red2)"
check "of the same address" seen_from red2 10.100.0.5
class_kept() { [[ $1 =~ :([0-9]+)$ ]] && ((BASH_REMATCH[1] > 1023)); }
check "above 1023 as well" class_kept "$(seen_as red2)"
parity_kept() { [[ $1 =~ :([0-9]+)$ ]] && ((BASH_REMATCH[1] > 1023 && BASH_REMATCH[1] % 2 == 1)); }
check "red1 asks by UDP from port 6001" transfer red1 ask 10.100.0.14 --source-port 6001
check "red2 too" transfer red2 ask 10.100.0.14 --source-port 6001
check "red1 has its port outside" equal 10.100.0.5:6001 "$(seen_as red1)"
check "red2 has another" fails equal 10.100.0.5:6001 "$(seen_as red2)"
check "of UDP it is odd, too" parity_kept "$(seen_as red2)"
check "UDP ports stay as they are" transfer blue1 ask 10.100.0.14 --source-port 5000 --connections 20
check "all of them" kept_ports blue1

section "Fragments"
fragments() { on red1 "$LAB_HOME/fragments.py" ask 10.100.0.14 --gateway fa:16:3e:00:01:01 "$@"; }
serve_by out1-fragments out1 "$LAB_HOME/fragments.py" serve --gateway fa:16:3e:00:64:05 --order 1,2,0
check "in order; the answer comes back without" wait_for 5 fragments --order 0,1,2
check "the last first" fragments --order 2,1,0
check "the first in the middle" fragments --order 1,0,2
check "8000 bytes by the kernel" transfer red1 ask 10.100.0.14 --bytes 8000
check "echo of 8000 bytes" ping_ok red1 10.100.0.14 -s 8000
before=$(dropped n1 nat-fragment-timeout)
check "without the first one there is no answer" fails fragments --without 0 --patience 0.5
check "and what waited is dropped" wait_for 12 dropped_is n1 nat-fragment-timeout $((before + 2))
serve_end out1-fragments

section "Too big"
check "1,500 bytes and DF: the gateway says 1450" ping_hears red1 10.100.0.14 "From 192.168.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1450)" -s 1472 -M "do"
check "1,450 bytes and DF: gw says 1400, and red1 hears it" ping_hears red1 203.0.113.80 "From 10.100.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)" -s 1422 -M "do"
for vm in red1 blue1 red3; do on $vm ip route flush cache; done
check "TCP finds the MTU of its way out" transfer blue1 put 203.0.113.80 --bytes 1000000
check "it has learned 1400" learned_mtu blue1 203.0.113.80 1400
check "TCP finds that of the way in" transfer red1 get 10.100.0.14 --bytes 1000000
check "out1 has learned 1450" learned_mtu out1 10.100.0.5 1450
check "without DF it arrives" ping_ok red1 203.0.113.80 -s 1472 -M dont
captures_end vxlan

section "ICMP errors from outside reach whom they are for"
check "port unreachable" transfer_fails 'Connection refused' red1 ask 10.100.0.14 --port 9
check "of another" transfer_fails 'Connection refused' red2 ask 10.100.0.14 --port 9
check "network unreachable, of a SYN" transfer_fails 'Errno 11[31]|Errno 101' red1 get 203.0.113.200 --patience 3
check "and of an echo" ping_hears red1 203.0.113.200 "From 10.100.0.1 icmp_seq=1 Destination Host Unreachable"

section "The way as traceroute sees it: the gateway, the central port, and on"
check "to out1" hops_are red1 10.100.0.14 "192.168.1.1 192.168.1.2 10.100.0.14"
check "to web" hops_are red1 203.0.113.80 "192.168.1.1 192.168.1.2 10.100.0.1 203.0.113.80"
check "by echo" hops_are red1 203.0.113.80 "192.168.1.1 192.168.1.2 10.100.0.1 203.0.113.80" -I
check "by TCP" hops_are blue1 203.0.113.80 "192.168.2.1 192.168.2.2 10.100.0.1 203.0.113.80" -T -p 8000
check "from the node itself" hops_are red3 10.100.0.14 "192.168.1.1 192.168.1.2 10.100.0.14"

section "What nobody inside has asked for"
capture_start red1 red1 eth0 'src host 10.100.0.14 or src net 192.168.1.0/24'
check "the router itself answers echo" ping_ok out1 10.100.0.5
before=$(dropped n1 nat-no-mapping)
check "a connection from outside is not answered" fails opens out1 10.100.0.5 2222
check "it is counted" more_drops n1 nat-no-mapping "$before"
before=$(dropped n1 nat-not-ours)
ip -n "$(netns out1)" route add 192.168.1.0/24 via 10.100.0.5
check "an address inside is not reached by way of the router" fails ping_once out1 192.168.1.11
check "it is counted" more_drops n1 nat-not-ours "$before"
capture_stop red1
check "red1 has seen nothing of it" capture_without red1 'dst host 192.168.1.11'
capture_start stray outside n1 'tcp or ip proto 47'
before=$(drops n1)
check "a segment in the middle of a stream" on red1 "$LAB_HOME/misbehave.py" --gateway fa:16:3e:00:01:01 --target 10.100.0.14 mid-stream
check "is dropped" wait_for 3 drops_moved_are n1 "$before" "nat-no-session +1"
before=$(drops n1)
check "GRE has no ports" on red1 "$LAB_HOME/misbehave.py" --gateway fa:16:3e:00:01:01 --target 10.100.0.14 gre
check "and is dropped" wait_for 3 drops_moved_are n1 "$before" "nat-protocol +1"
capture_stop stray
check "the outside has seen neither" capture_without stray

section "VLAN 197 and 148 between the hosts"
cloud_change "{ \"networks\": {
  \"red\": { \"segment\": $(vlan_segment 197) }, \"blue\": { \"segment\": $(vlan_segment 148) } } }"
for vtep in h1 n1; do vtepd_fill $vtep < <(cloud_ask state $vtep); done
captures_start vlan provider
out_and_back red1
out_and_back blue1
check "fragments, the last first" transfer red1 ask 10.100.0.14 --bytes 8000
captures_end vlan

section "A way outside on each host"
cloud_change '{ "routers": { "r1": { "external_gateway": { "gateways": [
  { "host": "n1", "mac": "fa:16:3e:00:64:05", "addresses": ["10.100.0.5/24"] },
  { "host": "h1", "mac": "fa:16:3e:00:64:06", "addresses": ["10.100.0.6/24"] } ] } } } }'
for vtep in h1 n1; do vtepd_fill $vtep < <(cloud_ask state $vtep); done
capture_start own-between fabric h1
capture_start own-outside outside h1
check "the first packet is not lost" ping_once red1 10.100.0.14
check "red1: 2 MB" transfer red1 get 10.100.0.14 --bytes 2000000
check "is seen as h1's address" seen_from red1 10.100.0.6
check "red3: 2 MB" transfer red3 get 10.100.0.14 --bytes 2000000
check "is seen as n1's" seen_from red3 10.100.0.5
check "one hop less" hops_are red1 203.0.113.80 "192.168.1.1 10.100.0.1 203.0.113.80"
capture_stop own-between
capture_stop own-outside
check "nothing of it was between the hosts" capture_without own-between 'udp port 4789'
check "outside: every length and checksum" verify_outside own-outside

section "The end"
vtepd_stop h1
vtepd_stop n1
lab_end
