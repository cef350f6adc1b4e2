#!/usr/bin/env bash
# Linux kernel VTEPs over IPv4, UDP 4789, BUM by unicast to a list (ingress replication). No port is configured: both
# sides learn. Split horizon, the RFC 7348 fields, entropy of the source port and ECN are seen on the wire.
#
#   vm1 ── h1 vtepd ══ fabric ╦ k1 (kernel) ── vm2
#                             ╚ k2 (kernel) ── vm3        all three VTEPs flood to each other

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

fabric_add 1600
host_add h1 k1 k2
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11,192.0.2.22
kernel_vm k1 10 vm2 10.0.0.2/24
fabric_port k2 192.0.2.22/24
kernel_vtep k2 10 192.0.2.22 flood=192.0.2.11,192.0.2.21
kernel_vm k2 10 vm3 10.0.0.3/24

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" }, "k2": { "vtep": "192.0.2.22" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1", "k2"]
    }
  }
}
END

section "The underlay"
check "vtepd answers ARP for its VTEP address" on k1 arping -c 1 -w 3 -I up0 192.0.2.11
check "and ping to it" ping_ok k1 192.0.2.11

section "Both ways"
capture_start wire fabric h1
check "vm1 → vm2: the first packet is not lost" ping_ok vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1
check "vm1 → vm3" ping_ok vm1 10.0.0.3
check "1500-byte packets, not to be fragmented" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
check "TCP, four connections, vm1 → vm2" iperf vm1 vm2 10.0.0.2 --parallel 4
check "TCP vm2 → vm1" iperf vm1 vm2 10.0.0.2 --reverse
check "k1 has learned vm1 behind vtepd" equal 192.0.2.11 "$(kernel_learned k1 10 "$(mac vm1 eth0)")"
capture_stop wire

section "On the wire"
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 1000
source_ports=$(capture_shows wire src host 192.0.2.11 and dst port 4789 | grep -o '192\.0\.2\.11\.[0-9]*' | sort -u | wc -l)
check "the source port differs from flow to flow ($source_ports seen)" test "$source_ports" -ge 4
after_learning='src host 192.0.2.11 and dst host 192.0.2.22 and udp[39] = 6'
check "learned unicast is not flooded: TCP for vm2 never went to k2" capture_without wire "$after_learning"

section "Broadcast"
capture_start vm3 vm3 eth0 arp
capture_start fabric fabric h1 udp port 4789
on vm2 arping -c 1 -w 1 -I eth0 10.0.0.99 >/dev/null || true
capture_stop vm3
capture_stop fabric
check "vm3 hears vm2's request once: split horizon at vtepd" equal 1 "$(captured vm3 arp)"
check "vtepd repeated nothing to the underlay" capture_without fabric src host 192.0.2.11

section "ECN (RFC 6040)"
capture_start ecn fabric h1 udp port 4789
check "ECN-capable packets pass" ping_ok vm1 10.0.0.2 -Q 2
capture_stop ecn
check "ECT is copied to the outer header" equal 3 "$(captured ecn 'src host 192.0.2.11 and ip[1] & 3 = 2')"

section "The end"
vtepd_stop h1
lab_end
