#!/usr/bin/env bash
# Linux kernel VTEPs over IPv4 that flood to an underlay multicast group. The fabric snoops IGMP and queries, as a real
# switch does: vtepd has to join, to stay, and to leave.
#
#   vm1 ── h1 vtepd ══ fabric ╦ k1 (kernel) ── vm2
#                             ╚ k2 (kernel) ── vm3        group 239.1.1.1

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

fabric_add 1600
fabric_snoop
host_add h1 k1 k2
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
for n in 1 2; do
  fabric_port k$n 192.0.2.2$n/24
  kernel_vtep k$n 10 192.0.2.2$n group=239.1.1.1
  kernel_vm k$n 10 vm$((n + 1)) 10.0.0.$((n + 1))/24
done

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" }, "k2": { "vtep": "192.0.2.22" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "flood": { "mode": "multicast", "group": "239.1.1.1" }
    }
  }
}
END

section "Membership"
check "the switch has seen vtepd join 239.1.1.1" wait_for 3 fabric_group h1 239.1.1.1
check "and the kernel VTEPs" wait_for 5 fabric_group k2 239.1.1.1
capture_start igmp fabric h1 'src host 192.0.2.11 and igmp'
fabric_query
check "vtepd answers the querier" wait_for 5 capture_has_packets igmp
capture_stop igmp
check "with a report for the group" test "$(captured igmp)" -ge 1

section "Both ways"
capture_start wire fabric h1
check "vm1 → vm2" ping_ok vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1
check "vm3 → vm1" ping_ok vm3 10.0.0.1
check "TCP vm1 → vm3" iperf vm1 vm3 10.0.0.3
capture_stop wire

section "On the wire"
# A broadcast to the group: inner destination ff:ff:…, 16 bytes behind the start of the UDP header.
flooded='udp[16:4] = 0xffffffff and udp[20:2] = 0xffff'
check "a broadcast went to the group, once for all" test "$(captured wire src host 192.0.2.11 and dst host 239.1.1.1 and "$flooded")" -gt 0
check "and to no VTEP alone" capture_without wire src host 192.0.2.11 and dst net 192.0.2.0/24 and "$flooded"
check "its MAC is the group's (RFC 1112)" \
  equal "$(captured wire src host 192.0.2.11 and dst host 239.1.1.1)" "$(captured wire src host 192.0.2.11 and ether dst 01:00:5e:01:01:01)"
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "Leaving"
check "the network is deleted" api h1 DELETE /v1/networks/red
check "the switch has seen vtepd leave" wait_for 5 fails fabric_group h1 239.1.1.1

section "The end"
vtepd_stop h1
lab_end
