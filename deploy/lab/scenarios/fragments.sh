#!/usr/bin/env bash
# A tenant's own IP fragments are frames like any other: they cross the tunnel as they are, in every order, in both
# directions and on IPv6. (The access interface is a net_tap device: AF_PACKET would put the fragments together.)
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

fabric_add 1600
host_add h1 k1
vtepd_uplink h1
endhost vm1 h1 vm1 10.0.0.1/24 fd00::1/64
vtepd_tap h1 vm1
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24 fd00::2/64

vtepd_start h1
vtepd_plug h1 vm1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1"]
    }
  }
}
END

capture_start wire fabric h1 udp port 4789
check "IPv4: 4000 bytes vm1 → vm2" ping_ok vm1 10.0.0.2 -s 4000
check "IPv4: 60000 bytes vm2 → vm1" ping_ok vm2 10.0.0.1 -s 60000
check "IPv6: 4000 bytes vm1 → vm2" ping_ok vm1 fd00::2 -s 4000
check "IPv6: 4000 bytes vm2 → vm1" ping_ok vm2 fd00::1 -s 4000
check "UDP datagrams of 8000 bytes" iperf vm1 vm2 10.0.0.2 --udp --length 8000 --bitrate 20M --time 1
capture_stop wire
check "none of the outer packets is a fragment" capture_without wire 'ip[6:2] & 0x3fff != 0'
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "The end"
vtepd_stop h1
lab_end
