#!/usr/bin/env bash
# vtepd and an Open vSwitch host with the DVR flows of the Neutron agents, in one cloud with one router: either routes for
# its own end hosts, and each rewrites the other's DVR MAC. On VXLAN and on VLAN segments.
#
#   red1, green1 ── h1 vtepd ══ 192.0.2.0/24: VXLAN ══ o2 Open vSwitch ── red2, blue2, gold2
#                            ══ provider: VLAN      ══
#
# red ↔ blue: VNI 1671 and 1172; green ↔ gold: VLAN 197 and 148. How the flows behave among themselves: ovs-dvr-selftest.sh.

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud <<'END'
{
  "hosts": {
    "h1": { "vtep": "192.0.2.11/24", "dvr_mac": "fa:16:3f:00:00:11" },
    "o2": { "vtep": "192.0.2.32/24", "dvr_mac": "fa:16:3f:00:00:32" }
  },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 1671 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.1.0/24", "dhcp": false }, { "cidr": "2001:db8:1::/64", "ipv6_mode": "none" }]
    },
    "blue": {
      "segment": { "type": "vxlan", "vni": 1172 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.2.0/24", "dhcp": false }, { "cidr": "2001:db8:2::/64", "ipv6_mode": "none" }]
    },
    "green": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 197 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.3.0/24", "dhcp": false }, { "cidr": "2001:db8:3::/64", "ipv6_mode": "none" }]
    },
    "gold": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 148 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.4.0/24", "dhcp": false }, { "cidr": "2001:db8:4::/64", "ipv6_mode": "none" }]
    }
  },
  "routers": {
    "r1": {
      "interfaces": [
        { "network": "red", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"] },
        { "network": "blue", "mac": "fa:16:3e:00:02:01", "addresses": ["192.168.2.1/24", "2001:db8:2::1/64"] },
        { "network": "green", "mac": "fa:16:3e:00:03:01", "addresses": ["192.168.3.1/24", "2001:db8:3::1/64"] },
        { "network": "gold", "mac": "fa:16:3e:00:04:01", "addresses": ["192.168.4.1/24", "2001:db8:4::1/64"] }
      ]
    }
  },
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "o2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "blue2": { "network": "blue", "host": "o2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"] },
    "green1": { "network": "green", "host": "h1", "mac": "fa:16:3e:00:03:11", "addresses": ["192.168.3.11", "2001:db8:3::11"] },
    "gold2": { "network": "gold", "host": "o2", "mac": "fa:16:3e:00:04:12", "addresses": ["192.168.4.12", "2001:db8:4::12"] }
  }
}
END

fabric_add 1500
provider_add 1500
host_add h1 o2
cloud_vtepd h1
cloud_ovs o2

section "VXLAN: red1 behind vtepd, blue2 behind Open vSwitch"
# Open vSwitch drops the packets for which it still resolves the tunnel's next hop.
check "they have found each other" wait_for 5 ping_once red2 192.168.1.11
capture_start vxlan fabric h1 udp port 4789
check "same network" ping_ok red1 192.168.1.12
check "same network, IPv6" ping_ok red1 2001:db8:1::12
check "routed, red1 → blue2" ping_ok red1 192.168.2.12
check "routed, blue2 → red1" ping_ok blue2 192.168.1.11
check "routed, red1 → blue2, IPv6" ping_ok red1 2001:db8:2::12
check "routed, blue2 → red1, IPv6" ping_ok blue2 2001:db8:1::11
check "1450-byte packets" ping_ok red1 192.168.2.12 -s 1422 -M "do"
check "TCP red1 → blue2" iperf red1 blue2 192.168.2.12 --bytes 3M
check "TCP blue2 → red1" iperf red1 blue2 192.168.2.12 --bytes 3M --reverse
check "a connection that blue2 begins" iperf blue2 red1 192.168.1.11 --bytes 3M
capture_stop vxlan
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap vxlan --vtep 192.0.2.11 --at-least 100
check "the wire is that of a distributed router" verify_cloud vxlan --floods --leaks o2 \
  --seen "red1>red2" --seen "red2>red1" --seen "red1>blue2" --seen "blue2>red1"

section "VLAN: green1 behind vtepd, gold2 behind Open vSwitch"
capture_start vlan provider h1
before=$(dropped h1 gateway-from-underlay)
vm_forget gold2
check "routed, green1 → gold2" ping_ok green1 192.168.4.12
check "routed, gold2 → green1" ping_ok gold2 192.168.3.11
check "routed, green1 → gold2, IPv6" ping_ok green1 2001:db8:4::12
check "TCP green1 → gold2" iperf green1 gold2 192.168.4.12 --bytes 3M
check "TCP gold2 → green1" iperf green1 gold2 192.168.4.12 --bytes 3M --reverse
check "from VLAN to VXLAN" ping_ok green1 192.168.2.12
check "from VLAN to VXLAN, IPv6" ping_ok green1 2001:db8:2::12
check "from VXLAN to VLAN" ping_ok red1 192.168.4.12
check "from VXLAN to VLAN, IPv6" ping_ok red1 2001:db8:4::12
capture_stop vlan
check "every length and checksum" verify_pcap vlan --at-least 0
check "the wire is that of a distributed router" verify_cloud vlan --floods --leaks o2 \
  --seen "green1>gold2" --seen "gold2>green1" --seen "blue2>green1" --seen "red1>gold2"
check "Open vSwitch's question for its gateway was not answered by vtepd's" \
  capture_without vlan 'vlan and arp and ether src fa:16:3f:00:00:11'
check "but dropped, and counted" test "$(dropped h1 gateway-from-underlay)" -gt "$before"

section "The end"
vtepd_stop h1
lab_end
