#!/usr/bin/env bash
# Jumbo frames: tenants with an MTU of 9000 over an underlay of 9100. A network that does not fit its tunnel is refused.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24, MTU 9100 ══ k1 (kernel) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

red() { # MTU
  echo '{ "segment": { "type": "vxlan", "vni": 10 }, "mtu": '"$1"', "bindings": [{ "interface": "vm1" }], "hosts": ["k1"] }'
}

fabric_add 9100
host_add h1 k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24 mtu=9000
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11 mtu=9000
kernel_vm k1 10 vm2 10.0.0.2/24 mtu=9000

vtepd_start h1
vtepd_fill h1 <<END
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": { "red": $(red 9000) }
}
END

capture_start wire fabric h1 udp port 4789
check "9000-byte packets vm1 → vm2" ping_ok vm1 10.0.0.2 -s 8972 -M "do"
check "9000-byte packets vm2 → vm1" ping_ok vm2 10.0.0.1 -s 8972 -M "do"
check "TCP vm1 → vm2" iperf vm1 vm2 10.0.0.2
check "TCP vm2 → vm1" iperf vm1 vm2 10.0.0.2 --reverse
capture_stop wire
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "A tunnel of 9100 carries 9050 on IPv4"
check "a network of 9051 is refused, for its mtu" api_refuses h1 "409 conflict /mtu" PUT /v1/networks/red "$(red 9051)"
check "nothing has changed by that" ping_ok vm1 10.0.0.2 -s 8972 -M "do"

section "The end"
vtepd_stop h1
lab_end
