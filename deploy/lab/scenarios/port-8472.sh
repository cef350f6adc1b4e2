#!/usr/bin/env bash
# One network, two kernel VTEPs: one on UDP 4789 (IANA), one on 8472 (Linux's default of old). Each is sent to on its port.
#
#   vm1 ── h1 vtepd ══ fabric ╦ k1 (kernel, 4789) ── vm2
#                             ╚ k2 (kernel, 8472) ── vm3

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

fabric_add 1600
host_add h1 k1 k2
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24
fabric_port k2 192.0.2.22/24
kernel_vtep k2 10 192.0.2.22 flood=192.0.2.11 port=8472
kernel_vm k2 10 vm3 10.0.0.3/24

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" }, "k2": { "vtep": "192.0.2.22", "udp_port": 8472 } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1", "k2"]
    }
  }
}
END

capture_start wire fabric h1
check "vm1 → vm2 by 4789" ping_ok vm1 10.0.0.2
check "vm1 → vm3 by 8472" ping_ok vm1 10.0.0.3
check "vm3 → vm1" ping_ok vm3 10.0.0.1
check "TCP vm1 → vm3" iperf vm1 vm3 10.0.0.3
capture_stop wire
check "k1 was sent to on 4789 alone" capture_without wire src host 192.0.2.11 and dst host 192.0.2.21 and udp and not dst port 4789
check "k2 was sent to on 8472 alone" capture_without wire src host 192.0.2.11 and dst host 192.0.2.22 and udp and not dst port 8472
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "The end"
vtepd_stop h1
lab_end
