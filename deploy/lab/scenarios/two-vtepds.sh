#!/usr/bin/env bash
# Two vtepd facing each other, over IPv4 and then over IPv6, on an underlay that is tagged (VLAN 100) and jumbo.
# Nothing has been learned when the first packet comes, and it is not lost.
#
#   vm1, big1 ── h1 vtepd ══ VLAN 100, MTU 9100 ══ h2 vtepd ── vm2, big2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

# state ADDRESS/LEN OTHER OTHERADDRESS N: what the vtepd at vmN and bigN is told.
state() {
  cat <<END
{
  "interfaces": {
    "up0": { "vlan": 100, "addresses": ["$1"] },
    "vm$4": {}, "big$4": {}
  },
  "hosts": { "$2": { "vtep": "$3" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm$4" }],
      "hosts": ["$2"]
    },
    "jumbo": {
      "segment": { "type": "vxlan", "vni": 20 }, "mtu": 9000, "bindings": [{ "interface": "big$4" }],
      "hosts": ["$2"]
    }
  }
}
END
}

# underlay NAME ADDRESS1 ADDRESS2 LEN: fills both and looks at the traffic between them.
underlay() {
  section "Over $1"
  vtepd_fill h1 < <(state "$2/$4" h2 "$3" 1)
  vtepd_fill h2 < <(state "$3/$4" h1 "$2" 2)
  check "each has found the other" wait_for 3 both_found "$2" "$3"
  capture_start "wire-$1" fabric h2
  check "the first packet of vm1 reaches vm2" ping_once vm1 10.0.0.2
  check "the first packet of big2 reaches big1" ping_once big2 10.0.0.1
  check "vm2 → vm1, IPv6" ping_ok vm2 fd00::1
  check "1500-byte packets vm1 → vm2" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
  check "9000-byte packets big1 → big2" ping_ok big1 10.0.0.2 -s 8972 -M "do"
  check "9000-byte packets big2 → big1" ping_ok big2 10.0.0.1 -s 8972 -M "do"
  check "TCP vm1 → vm2" iperf vm1 vm2 10.0.0.2
  check "TCP vm2 → vm1" iperf vm1 vm2 10.0.0.2 --reverse
  check "TCP with jumbo frames big1 → big2" iperf big1 big2 10.0.0.2
  check "TCP with jumbo frames big2 → big1" iperf big1 big2 10.0.0.2 --reverse
  capture_stop "wire-$1"
  check "everything on the underlay is tagged" capture_without "wire-$1" not vlan 100
  check "every length and checksum, from h1" verify_pcap "wire-$1" --vtep "$2" --at-least 100
  check "every length and checksum, from h2" verify_pcap "wire-$1" --vtep "$3" --at-least 100
}

both_found() { # ADDRESS1 ADDRESS2
  next_hop_is h1 "$2" "reachable $(mac h2 up0)" && next_hop_is h2 "$1" "reachable $(mac h1 up0)"
}

fabric_add 9104 # and the tag
host_add h1 h2
for n in 1 2; do
  vtepd_uplink "h$n"
  vtepd_access "h$n" "vm$n" "10.0.0.$n/24" "fd00::$n/64"
  vtepd_access "h$n" "big$n" "10.0.0.$n/24" mtu=9000
  vtepd_start "h$n"
done
underlay IPv4 192.0.2.11 192.0.2.12 24
underlay IPv6 2001:db8::11 2001:db8::12 64

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
