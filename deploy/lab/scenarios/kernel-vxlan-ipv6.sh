#!/usr/bin/env bash
# Linux kernel VTEPs over an IPv6 underlay: unicast flood (VNI 10) and multicast flood (VNI 20), IPv4 and IPv6 tenants,
# with a UDP checksum (RFC 8200 asks for it) and without (RFC 6935 allows it for tunnels). vtepd runs without huge pages.
#
#   vm1, vm3 ── h1 vtepd ══ 2001:db8::/64 ══ k1 (kernel) ── vm2, vm4

source "$(dirname "$0")/../lib.sh"
export VTEPD_MEMORY=no-huge
lab_begin "$@"

fabric_add 1600
fabric_snoop
host_add h1 k1
ipv6_on k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24 fd00::1/64
vtepd_access h1 vm3 10.0.0.1/24
fabric_port k1 2001:db8::21/64
kernel_vtep k1 10 2001:db8::21 flood=2001:db8::11
kernel_vm k1 10 vm2 10.0.0.2/24 fd00::2/64
kernel_vtep k1 20 2001:db8::21 group=ff05::100
kernel_vm k1 20 vm4 10.0.0.2/24

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["2001:db8::11/64"] }, "vm1": {}, "vm3": {} },
  "hosts": { "k1": { "vtep": "2001:db8::21" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1"]
    },
    "green": {
      "segment": { "type": "vxlan", "vni": 20 }, "mtu": 1500, "bindings": [{ "interface": "vm3" }],
      "flood": { "mode": "multicast", "group": "ff05::100" }
    }
  }
}
END

section "The underlay"
check "vtepd answers neighbour solicitation and ping for its VTEP address" ping_ok k1 2001:db8::11

section "Unicast flood"
capture_start wire fabric h1
check "IPv4: vm1 → vm2" ping_ok vm1 10.0.0.2
check "IPv4: vm2 → vm1" ping_ok vm2 10.0.0.1
check "IPv6: vm1 → vm2" ping_ok vm1 fd00::2
check "IPv6: vm2 → vm1" ping_ok vm2 fd00::1
check "1500-byte packets" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
check "TCP over IPv6" iperf vm1 vm2 fd00::2

section "Multicast flood"
check "vm3 → vm4" ping_ok vm3 10.0.0.2
check "vm4 → vm3" ping_ok vm4 10.0.0.1
capture_stop wire
check "the fabric has seen vtepd join the group (MLD)" wait_for 3 fabric_group h1 ff05::100
check "a broadcast went to the group" test "$(captured wire src host 2001:db8::11 and dst host ff05::100)" -gt 0
check "every length and checksum, the UDP checksum filled in" verify_pcap wire --vtep 2001:db8::11 --at-least 100

section "Without UDP checksum"
check "the host is told so" api h1 PUT /v1/hosts/k1 '{ "vtep": "2001:db8::21", "udp_checksum": "off" }'
capture_start zero fabric h1 udp port 4789
check "vm1 → vm2" ping_ok vm1 10.0.0.2
capture_stop zero
check "the UDP checksum is zero" verify_pcap zero --vtep 2001:db8::11 --udp-checksum off --at-least 3

section "The end"
vtepd_stop h1
lab_end
