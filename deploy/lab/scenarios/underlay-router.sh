#!/usr/bin/env bash
# Remote VTEPs behind routers of the underlay: a gateway for each family, and a more specific route. vtepd asks for the
# routers, never for what is behind them; a router that was not there, goes away or changes its MAC is found again.
#
#                          ┌ r1 (gateway) ══ 198.51.100.0/24, 2001:db8:1::/64 ══ k1 (kernel) ── vm2, vm3
#   vm1, vm4 ── h1 vtepd ══╡
#                          └ r2 (for 203.0.113.0/24) ═══════════════════════════ k2 (kernel) ── vm5

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

# router HOST ADDRESS/LEN...: forwards between the fabric and what is linked to it later.
router() {
  host_add "$1"
  ipv6_on "$1"
  on "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.keep_addr_on_down=1
  fabric_port "$@"
}

# behind ROUTER HOST: a host with up0 on a cable to the router.
behind() {
  host_add "$2"
  ipv6_on "$2"
  link "$2" up0 "$1" "$2" "$FABRIC_MTU"
}

fabric_add 1600
host_add h1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
vtepd_access h1 vm4 10.0.0.1/24 vlan=30
# A Linux router asks for IPv6 neighbours from its link-local address.
router r1 192.0.2.1/24 2001:db8::1/64 fe80::1/64
behind r1 k1
address r1 k1 198.51.100.1/24 2001:db8:1::1/64 fe80::1/64
address k1 up0 198.51.100.21/24 2001:db8:1::21/64
ip -n "$(netns k1)" route add default via 198.51.100.1
ip -n "$(netns k1)" route add default via 2001:db8:1::1
router r2 192.0.2.2/24
behind r2 k2
address r2 k2 203.0.113.1/24
address k2 up0 203.0.113.22/24
ip -n "$(netns k2)" route add default via 203.0.113.1
kernel_vtep k1 10 198.51.100.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24
kernel_vtep k1 30 2001:db8:1::21 flood=2001:db8::11
kernel_vm k1 30 vm3 10.0.0.3/24
kernel_vtep k2 10 203.0.113.22 flood=192.0.2.11
kernel_vm k2 10 vm5 10.0.0.5/24
ip -n "$(netns r2)" link set up0 down # for now

vtepd_start h1
capture_start arp fabric h1 'arp or (icmp6 and ip6[40] = 135)'
vtepd_fill h1 <<'END'
{
  "interfaces": {
    "up0": {
      "addresses": ["192.0.2.11/24", "2001:db8::11/64"],
      "gateway": "192.0.2.1", "gateway6": "2001:db8::1",
      "routes": [{ "destination": "203.0.113.0/24", "via": "192.0.2.2" }]
    },
    "vm1": {}, "vm4": {}
  },
  "hosts": {
    "k1": { "vtep": "198.51.100.21" }, "k1-v6": { "vtep": "2001:db8:1::21" },
    "k2": { "vtep": "203.0.113.22" }
  },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1", "k2"]
    },
    "blue": {
      "segment": { "type": "vxlan", "vni": 30 }, "mtu": 1500,
      "bindings": [{ "interface": "vm4", "vlan": 30 }], "hosts": ["k1-v6"]
    }
  }
}
END

section "Through the gateways"
check "vm1 → vm2, IPv4" ping_ok vm1 10.0.0.2
check "vm4 → vm3, IPv6" ping_ok vm4 10.0.0.3
check "TCP vm1 → vm2" iperf vm1 vm2 10.0.0.2

section "A router that was not there at first"
check "vtepd knows that nobody answers" next_hop_is h1 192.0.2.2 "incomplete null"
check "vm1 does not reach vm5" fails ping_once vm1 10.0.0.5
ip -n "$(netns r2)" link set up0 up
check "r2 comes up and is found" wait_for 10 next_hop_is h1 192.0.2.2 "reachable $(mac r2 up0)"
capture_start routes fabric h1 udp port 4789 and src host 192.0.2.11
check "vm1 → vm5" wait_for 3 ping_once vm1 10.0.0.5 # vm1 may still be at its vain question
check "vm1 → vm2" ping_ok vm1 10.0.0.2
capture_stop routes
capture_stop arp
check "what goes to k2 takes r2" capture_without routes dst host 203.0.113.22 and not ether dst "$(mac r2 up0)"
check "what goes to k1 takes r1" capture_without routes dst host 198.51.100.21 and not ether dst "$(mac r1 up0)"
check "vtepd has asked for the routers" test "$(captured arp arp src host 192.0.2.11 and dst host 192.0.2.1)" -gt 0
check "and never for the VTEPs behind them" capture_without arp arp and \
  '(dst net 198.51.100.0/24 or dst net 203.0.113.0/24)'

section "The gateway has a new MAC and says so"
says_so() { on r1 sysctl -qw net.ipv4.conf.up0.arp_notify="$1" net.ipv6.conf.up0.ndisc_notify="$1"; }
says_so 1
mac r1 up0 02:00:00:00:11:01
check "vtepd has heard the gratuitous ARP" wait_for 2 next_hop_is h1 192.0.2.1 "reachable 02:00:00:00:11:01"
check "and the unsolicited neighbour advertisement" wait_for 2 next_hop_is h1 2001:db8::1 "reachable 02:00:00:00:11:01"
check "vm1 → vm2" ping_ok vm1 10.0.0.2
check "vm4 → vm3" ping_ok vm4 10.0.0.3
says_so 0

section "The gateway goes down and comes back"
ip -n "$(netns r1)" link set up0 down
check "vm1 does not reach vm2" fails ping_once vm1 10.0.0.2
check "but still vm5" ping_ok vm1 10.0.0.5
ip -n "$(netns r1)" link set up0 up
address r1 up0 fe80::1/64 # the kernel keeps all but this one
check "vm1 → vm2" wait_for 3 ping_once vm1 10.0.0.2
check "vm4 → vm3" wait_for 3 ping_once vm4 10.0.0.3

section "A new MAC and nobody says so: found when vtepd asks again, within 40 seconds"
mac r1 up0 02:00:00:00:11:02
# With these r1 has no reason to ask for vtepd, which would tell.
ip -n "$(netns r1)" neigh replace 192.0.2.11 lladdr "$(mac h1 up0)" dev up0 nud permanent
ip -n "$(netns r1)" neigh replace 2001:db8::11 lladdr "$(mac h1 up0)" dev up0 nud permanent
check "vm1 → vm2" wait_for 40 ping_once vm1 10.0.0.2
check "vm4 → vm3" wait_for 40 ping_once vm4 10.0.0.3
check "by the new MAC, IPv4" next_hop_is h1 192.0.2.1 "reachable 02:00:00:00:11:02"
check "by the new MAC, IPv6" next_hop_is h1 2001:db8::1 "reachable 02:00:00:00:11:02"

section "The end"
vtepd_stop h1
lab_end
