#!/usr/bin/env bash
# ARP requests and neighbour solicitations for known ports are answered from the table, as if by the port itself, and do
# not cross the underlay. What is unknown is flooded, and so is everything when the network says so.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2 (a port), vm3 (no port)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

VM2_MAC=02:00:00:00:00:02

red() { # SUPPRESS
  cat <<END
{
  "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }], "hosts": ["k1"],
  "arp_suppression": $1
}
END
}

# neighbour HOST ADDRESS: the MAC that a host has found for an address.
neighbour() { ip -n "$(netns "$1")" neigh show to "$2" | grep -o 'lladdr [0-9a-f:]*' | cut -d' ' -f2; }

forget() { ip -n "$(netns vm1)" neigh flush dev eth0; }

fabric_add 1600
host_add h1 k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24 fd00::1/64 mac=02:00:00:00:00:01
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24 fd00::2/64 mac=$VM2_MAC
kernel_vm k1 10 vm3 10.0.0.3/24 fd00::3/64

vtepd_start h1
vtepd_fill h1 <<END
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": { "red": $(red true) },
  "ports": {
    "p1": { "network": "red", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1", "fd00::1"], "interface": "vm1",
            "anti_spoofing": false },
    "p2": { "network": "red", "mac": "$VM2_MAC", "addresses": ["10.0.0.2", "fd00::2"], "host": "k1" }
  }
}
END

# arping -b: broadcast each time; without, it asks the neighbour it has found, and such a request is for that neighbour.
section "Known ports, from the access side"
capture_start underlay fabric h1 udp port 4789
capture_start vm1 vm1 eth0 arp or icmp6
check "ARP for vm2 is answered" on vm1 arping -b -c 3 -w 5 -I eth0 10.0.0.2
check "and a probe without a sender address (RFC 5227)" fails on vm1 arping -D -c 1 -w 2 -I eth0 10.0.0.2
capture_stop underlay
check "nothing of it was on the underlay" capture_without underlay "udp[28:2] = 0x0806" # the inner EtherType
capture_start underlay fabric h1 udp port 4789
check "IPv6: the first ping" ping_once vm1 fd00::2
capture_stop underlay
check "vm2's MAC was found" equal $VM2_MAC "$(neighbour vm1 fd00::2)"
# ICMPv6 type (135: solicitation) of the inner packet: 8 (UDP) + 8 (VXLAN) + 14 (Ethernet) + 40 (IPv6) bytes behind the start of UDP.
check "no solicitation was on the underlay, only the ping" capture_without underlay 'src host 192.0.2.11 and udp[70] = 135'
capture_stop vm1
check "every answer is right" verify_pcap vm1 --at-least 0

section "Known ports, from the tunnel"
on vm2 ip neigh flush dev eth0
capture_start vm1 vm1 eth0 arp
check "vm2's ARP for vm1 is answered" on vm2 arping -b -c 2 -w 5 -I eth0 10.0.0.1
capture_stop vm1
check "vm1 was not asked" capture_without vm1

section "An address without a port"
capture_start underlay fabric h1 udp port 4789
check "ARP for vm3 is flooded, and vm3 answers" on vm1 arping -c 1 -w 3 -I eth0 10.0.0.3
check "IPv6 too" ping_once vm1 fd00::3
check "one's own address is nobody's duplicate" on vm1 arping -D -c 1 -w 1 -I eth0 10.0.0.1
capture_stop underlay
check "the requests went to k1" test "$(captured underlay src host 192.0.2.11)" -ge 2

section "A port moves to another MAC"
forget
check "the port is changed" api h1 PUT /v1/ports/p2 '{ "network": "red", "mac": "'"$(mac vm3 eth0)"'", "addresses": ["10.0.0.2"], "host": "k1" }'
on vm1 arping -c 1 -w 2 -I eth0 10.0.0.2 >"$LAB_DIR/arping.out" || true
check "the very next answer has it" grep -iq "$(mac vm3 eth0)" "$LAB_DIR/arping.out"

section "Suppression off"
check "the network is changed" api h1 PUT /v1/networks/red "$(red false)"
capture_start underlay fabric h1 udp port 4789
check "vm2 itself answers" on vm1 arping -c 1 -w 3 -I eth0 10.0.0.2
capture_stop underlay
check "the request crossed the underlay" test "$(captured underlay src host 192.0.2.11)" -ge 1

section "The end"
vtepd_stop h1
lab_end
