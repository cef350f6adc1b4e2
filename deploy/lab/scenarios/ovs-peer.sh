#!/usr/bin/env bash
# Open vSwitch (its userspace data path) as the VTEP on the other side, with and without a UDP checksum.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24 ══ o1 (br-phy, br-int) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

fabric_add 1600
host_add h1 o1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
fabric_port o1
ovs_vtep o1 192.0.2.31/24
ovs_tunnel o1 10 192.0.2.31 192.0.2.11
ovs_vm o1 vm2 10.0.0.2/24

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "o1": { "vtep": "192.0.2.31" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["o1"]
    }
  }
}
END

section "Both ways"
capture_start wire fabric h1
# Open vSwitch drops the packets for which it still resolves the tunnel's next hop.
check "Open vSwitch has found vtepd" wait_for 5 ping_once vm2 10.0.0.1
check "vm1 → vm2" ping_ok vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1
check "1500-byte packets" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
check "TCP vm1 → vm2" iperf vm1 vm2 10.0.0.2
check "TCP vm2 → vm1" iperf vm1 vm2 10.0.0.2 --reverse
capture_stop wire
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "With a UDP checksum"
ovs o1 set interface vxlan10 options:csum=true
check "vtepd is told to fill it in" api h1 PUT /v1/hosts/o1 '{ "vtep": "192.0.2.31", "udp_checksum": "on" }'
capture_start checksum fabric h1 udp port 4789
check "vm1 → vm2" wait_for 5 ping_once vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1
capture_stop checksum
check "it is there and right" verify_pcap checksum --vtep 192.0.2.11 --udp-checksum on --at-least 3

section "The end"
vtepd_stop h1
lab_end
