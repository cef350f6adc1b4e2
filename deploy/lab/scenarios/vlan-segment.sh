#!/usr/bin/env bash
# A network whose segment is a VLAN of a provider interface (196), with access ports: untagged, and tagged with a VLAN
# of their own (1). Tags are rewritten on the way; another VLAN of the provider is another network.
#
#   vm1 (untagged) ──┐
#   vm2 (VLAN 1)   ──┤ h1 vtepd ── provider ── vm3 (VLAN 196)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

host_add h1
vtepd_access h1 vm1 10.0.0.1/24
vtepd_access h1 vm2 10.0.0.2/24 vlan=1
vtepd_access h1 vm3 10.0.0.3/24 vlan=196
vlan_add vm3 trunk 197 eth1 1500
address vm3 eth1 10.0.0.4/24

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "vm1": {}, "vm2": {}, "provider": { "device": "vm3" } },
  "networks": {
    "red": {
      "segment": { "type": "vlan", "interface": "provider", "vlan": 196 }, "mtu": 1500,
      "bindings": [{ "interface": "vm1" }, { "interface": "vm2", "vlan": 1 }]
    }
  }
}
END

capture_start vm2 vm2 trunk
capture_start provider vm3 trunk
check "untagged → 196" ping_ok vm1 10.0.0.3
check "196 → untagged" ping_ok vm3 10.0.0.1 -I eth0
check "1 → 196" ping_ok vm2 10.0.0.3
check "196 → 1" ping_ok vm3 10.0.0.2 -I eth0
check "untagged → 1" ping_ok vm1 10.0.0.2
check "1500-byte packets with a tag" ping_ok vm2 10.0.0.3 -s 1472 -M "do"
check "TCP 1 → 196" iperf vm2 vm3 10.0.0.3
check "VLAN 197 of the provider is not this network" fails ping_once vm1 10.0.0.4
before=$(dropped h1 unbound)
on vm3 arping -c 1 -w 1 -I eth1 10.0.0.1 >/dev/null || true
check "its frames are dropped as unbound" wait_for 3 dropped_is h1 unbound "$((before + 1))"
capture_stop vm2
capture_stop provider
check "vm2 saw VLAN 1 alone" capture_without vm2 not vlan 1
check "the provider saw VLAN 196 (and what it sent in 197)" capture_without provider not vlan or '(vlan and not vlan 196 and not vlan 197)'
check "every length and checksum on the provider's side" verify_pcap provider --at-least 0

section "The end"
vtepd_stop h1
lab_end
