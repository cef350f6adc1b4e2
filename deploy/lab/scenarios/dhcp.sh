#!/usr/bin/env bash
# End hosts find their addresses by themselves: DHCP with dhclient and udhcpc, IPv6 by router advertisements and by
# DHCPv6. vtepd answers from its table of ports, on the host itself: the underlay hears nothing of it.
#
#   red1, red2, blue1 (the MAC of red1), stranger (no port) ── h1 vtepd ══ 192.0.2.0/24 ══ k2 (kernel) ── red3
#
# red: 192.168.1.0/24, and 2001:db8:1::/64 with addresses made from MACs; blue: the same 192.168.1.0/24, and 2001:db8:2::/64
# with addresses by DHCPv6.

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud <<'END'
{
  "hosts": {
    "h1": { "vtep": "192.0.2.11/24", "dvr_mac": "fa:16:3f:00:00:11" },
    "k2": { "vtep": "192.0.2.22/24" }
  },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 1671 }, "mtu": 1450,
      "subnets": [
        {
          "cidr": "192.168.1.0/24", "gateway": "192.168.1.1", "dns": ["192.168.1.2", "192.168.1.3"],
          "routes": [{ "destination": "10.9.0.0/16", "via": "192.168.1.254" }], "lease_seconds": 1200,
          "dhcp_options": { "domain-name": "red.example.org", "42": "192.0.2.123" }
        },
        { "cidr": "2001:db8:1::/64", "gateway": "2001:db8:1::1", "dns": ["2001:db8:1::2"], "ipv6_mode": "dhcpv6-stateless" }
      ]
    },
    "blue": {
      "segment": { "type": "vxlan", "vni": 1172 }, "mtu": 1400,
      "subnets": [
        { "cidr": "192.168.1.0/24", "gateway": "192.168.1.1" },
        { "cidr": "2001:db8:2::/64", "gateway": "2001:db8:2::1", "dns": ["2001:db8:2::2"], "ipv6_mode": "dhcpv6-stateful" }
      ]
    }
  },
  "routers": {
    "r1": {
      "interfaces": [
        { "network": "red", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"] }
      ]
    },
    "r2": {
      "interfaces": [
        { "network": "blue", "mac": "fa:16:3e:00:02:01", "addresses": ["192.168.1.1/24", "2001:db8:2::1/64"] }
      ]
    }
  },
  "ports": {
    "red1": {
      "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "hostname": "first",
      "addresses": ["192.168.1.11", "2001:db8:1:0:f816:3eff:fe00:111"]
    },
    "red2": {
      "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12",
      "addresses": ["192.168.1.12", "2001:db8:1:0:f816:3eff:fe00:112"],
      "dhcp_options": { "domain-name": "own.example.org" }
    },
    "red3": { "network": "red", "host": "k2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] },
    "blue1": {
      "network": "blue", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.21", "2001:db8:2::21"]
    }
  }
}
END

red_vm() { kernel_vm "$1" 1671 "${@:2}"; } # VTEP VM OPTION...

# autoconfigure VM: IPv6 as it is by default on a real machine; the kernel makes a link-local address and solicits routers.
autoconfigure() {
  on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.accept_ra=1 \
    net.ipv6.conf.eth0.addr_gen_mode=0 net.ipv6.conf.eth0.router_solicitation_delay=0 net.ipv6.conf.eth0.disable_ipv6=0
}

has_gateway() { on "$1" ip -6 route show default | grep -F "via $2 "; } # VM ADDRESS
has_address() { on "$1" ip -6 addr show dev eth0 scope global | grep -F "inet6 $2/"; } # VM ADDRESS


fabric_add 1500
host_add h1 k2
fabric_port k2 192.0.2.22/24
kernel_vtep k2 1671 192.0.2.22 flood=192.0.2.11 mtu=1450
cloud_vms red_vm k2
vtepd_uplink h1
cloud_vms bare_access h1
vtepd_access h1 stranger mac=fa:16:3e:00:01:99
vtepd_start h1
vtepd_fill h1 < <(cloud_ask state h1 | jq '.interfaces.stranger = {} | .networks.red.bindings += [{ "interface": "stranger" }]')
capture_start wire fabric h1 udp port 4789
for vm in red1 red2 blue1 stranger; do capture_start $vm $vm eth0; done

section "dhclient"
check "red1 has a lease" dhclient red1
check "its address" leased red1 new_ip_address 192.168.1.11
check "mask" leased red1 new_subnet_mask 255.255.255.0
check "router" leased red1 new_routers 192.168.1.1
check "MTU of the network" leased red1 new_interface_mtu 1450
check "DNS" leased red1 new_domain_name_servers "192.168.1.2 192.168.1.3"
check "domain, of the subnet's options" leased red1 new_domain_name red.example.org
check "NTP, by its number" leased red1 new_ntp_servers 192.0.2.123
check "the port's host name" leased red1 new_host_name first
check "lease time" leased red1 new_dhcp_lease_time 1200
# 10.9.0.0/16 via 192.168.1.254, and the default too: who understands this option ignores "router" (RFC 3442).
check "classless routes" leased red1 new_classless_static_routes "16 10 9 192 168 1 254 0 192 168 1 1"
check "and as Microsoft numbers them" leased red1 new_ms_classless_static_routes "16 10 9 192 168 1 254 0 192 168 1 1"
check "red1 can talk" ping_ok red1 192.168.1.1
dhclient_end red1

section "The same lease again, another, and none"
check "dhclient comes back with its lease" dhclient red1
check "by a request, no discovery" grep -q 'DHCPREQUEST for 192.168.1.11' "$LAB_DIR/red1.dhclient"
dhclient_end red1
sed -i 's/fixed-address 192.168.1.11/fixed-address 192.168.1.77/' "$LAB_DIR/red1.leases"
check "a lease of somebody else's address" dhclient red1
check "is refused" grep -q 'DHCPNAK' "$LAB_DIR/red1.dhclient"
check "and the right one given" leased red1 new_ip_address 192.168.1.11
dhclient_end red1
check "a MAC without a port" fails dhclient stranger
dhclient_end stranger
capture_stop stranger
check "gets no answer at all" capture_without stranger udp src port 67

section "udhcpc, with the port's own options"
check "red2 has a lease" on red2 env LEASE="$LAB_DIR/red2.lease" udhcpc -i eth0 -n -q -f -t 3 -T 1 \
  -O mtu -O staticroutes -O domain -s "$LAB_HOME/dhcp_client.sh"
check "its address" leased red2 ip 192.168.1.12
check "mask" leased red2 subnet 255.255.255.0
check "MTU" leased red2 mtu 1450
check "routes" leased red2 staticroutes "10.9.0.0/16 192.168.1.254 0.0.0.0/0 192.168.1.1"
check "the port's domain, not the subnet's" leased red2 domain own.example.org
check "red2 → red1" ping_ok red2 192.168.1.11

section "Another network with the same subnet, and a port with the same MAC"
check "blue1 has a lease" dhclient blue1
check "of its own network" leased blue1 new_ip_address 192.168.1.21
check "with its MTU" leased blue1 new_interface_mtu 1400
check "and without red's routes" fails grep -q '^new_classless_static_routes=16' "$LAB_DIR/blue1.lease"
dhclient_end blue1

section "IPv6: an address from the MAC, the rest by DHCPv6"
for vm in red1 blue1; do autoconfigure $vm; done
check "red1 has made its address" wait_for 5 has_address red1 2001:db8:1:0:f816:3eff:fe00:111
check "and has a gateway by its link-local address" wait_for 5 has_gateway red1 fe80::f816:3eff:fe00:101
check "with the network's MTU" equal 1450 "$(on red1 cat /proc/sys/net/ipv6/conf/eth0/mtu)"
check "it reaches the gateway" ping_ok red1 2001:db8:1::1
check "DHCPv6 tells the DNS server" dhclient red1 -6 -S
check "that of the subnet" leased red1 new_dhcp6_name_servers 2001:db8:1::2
dhclient_end red1

section "IPv6: the address by DHCPv6"
check "blue1 has a gateway" wait_for 5 has_gateway blue1 fe80::f816:3eff:fe00:201
check "and has not made an address" equal "" "$(on blue1 ip -6 -o addr show dev eth0 scope global)"
check "blue1 has a lease" dhclient blue1 -6
check "its address" leased blue1 new_ip6_address 2001:db8:2::21
check "DNS" leased blue1 new_dhcp6_name_servers 2001:db8:2::2
check "it reaches the gateway" ping_ok blue1 2001:db8:2::1
dhclient_end blue1

section "What was on the wires"
check "red1 reaches red3 over the underlay" ping_ok red1 192.168.1.13
for vm in red1 red2 blue1; do
  capture_stop $vm
  check "every length and checksum at $vm" verify_pcap $vm --at-least 0
done
capture_stop wire
check "no DHCP on the underlay" capture_without wire 'udp[28:2] = 0x0800 and (udp[50:4] = 0x00440043 or udp[50:4] = 0x00430044)'
check "and no DHCPv6, solicitation or advertisement" capture_without wire \
  'udp[28:2] = 0x86dd and (udp[72:2] = 547 or (udp[36] = 58 and udp[70] >= 133 and udp[70] <= 134))'

section "The end"
vtepd_stop h1
lab_end
