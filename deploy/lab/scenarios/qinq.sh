#!/usr/bin/env bash
# Two tags. The outer one, 100, chooses the network and is taken off; the inner one, 7, is the tenant's own. It crosses the
# VXLAN tunnel when the network is VLAN-transparent, and is a reason to drop otherwise. vm1 sends an 802.1ad S-tag (by way
# of a net_tap device), vm3 802.1Q twice (by AF_PACKET).
#
#   vm1 (802.1ad 100, 802.1Q 7) ──┐
#   vm3 (802.1Q 100, 802.1Q 7)  ──┴ h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2 (802.1Q 7)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

red() { # TRANSPARENT
  cat <<END
{
  "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "vlan_transparent": $1, "hosts": ["k1"],
  "bindings": [{ "interface": "vm1", "vlan": 100, "tpid": "802.1ad" }, { "interface": "vm3", "vlan": 100 }]
}
END
}

stacked() { # VM TPID ADDRESS: an end host with two tags
  host_add "$1"
  link "$1" trunk h1 "$1" 1508
  vlan_add "$1" trunk 100 service 1504 "$2"
  vlan_add "$1" service 7 eth0 1500
  address "$1" eth0 "$3"
}

fabric_add 1600
host_add h1 k1
vtepd_uplink h1
stacked vm1 802.1ad 10.0.0.1/24
vtepd_tap h1 vm1 1504
stacked vm3 802.1Q 10.0.0.3/24
vtepd_device h1 vm3 1508
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11 mtu=1504
kernel_vm k1 10 vm2 10.0.0.2/24 vlan=7

vtepd_start h1
vtepd_plug h1 vm1
vtepd_fill h1 <<END
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {}, "vm3": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": { "red": $(red true) }
}
END

section "VLAN-transparent"
capture_start wire fabric h1 udp port 4789
capture_start trunk vm1 trunk
check "vm1 → vm2" ping_ok vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1
check "vm3 → vm2" ping_ok vm3 10.0.0.2
check "vm1 → vm3, from one outer tag to the other" ping_ok vm1 10.0.0.3
check "1500-byte packets with two tags" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
check "TCP" iperf vm1 vm2 10.0.0.2
capture_stop wire
capture_stop trunk
check "the access side has both tags, always" capture_without trunk 'not (vlan 100 and vlan 7)'
# EtherType of the inner frame: 8 (UDP) + 8 (VXLAN) + 12 bytes behind the start of UDP; the VLAN id follows.
check "the tunnel has the C-tag alone" capture_without wire 'udp[28:2] != 0x8100 or udp[30:2] & 0xfff != 7'
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100

section "Not transparent"
check "the network is changed" api h1 PUT /v1/networks/red "$(red false)"
before=$(drops h1)
check "vm1 reaches vm2 no more" fails ping_once vm1 10.0.0.2
check "for an unexpected tag, and for nothing else" drops_moved_are h1 "$before" "unexpected-vlan-tag +1"

section "The end"
vtepd_stop h1
lab_end
