#!/usr/bin/env bash
# Two Open vSwitch hosts with the DVR flows of the Neutron agents, without vtepd: what dvr-ovs-peer.sh takes for granted.
# When this fails, the machine or the lab is to blame and not the daemon.
#
#   red1, green1 ── o1 ══ 192.0.2.0/24: VXLAN ══ o2 ── red2, blue2, gold2      red ↔ blue: VNI 1671, 1172
#                      ══ provider: VLAN      ══                              green ↔ gold: VLAN 197, 148

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud <<'END_OF_CLOUD'
{
  "hosts": {
    "o1": { "vtep": "192.0.2.31/24", "dvr_mac": "fa:16:3f:00:00:31" },
    "o2": { "vtep": "192.0.2.32/24", "dvr_mac": "fa:16:3f:00:00:32" }
  },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 1671 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.1.0/24" }, { "cidr": "2001:db8:1::/64" }]
    },
    "blue": {
      "segment": { "type": "vxlan", "vni": 1172 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.2.0/24" }, { "cidr": "2001:db8:2::/64" }]
    },
    "green": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 197 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.3.0/24" }]
    },
    "gold": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 148 }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.4.0/24" }]
    }
  },
  "routers": {
    "r1": {
      "interfaces": [
        { "network": "red", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"] },
        { "network": "blue", "mac": "fa:16:3e:00:02:01", "addresses": ["192.168.2.1/24", "2001:db8:2::1/64"] },
        { "network": "green", "mac": "fa:16:3e:00:03:01", "addresses": ["192.168.3.1/24"] },
        { "network": "gold", "mac": "fa:16:3e:00:04:01", "addresses": ["192.168.4.1/24"] }
      ]
    }
  },
  "ports": {
    "red1": { "network": "red", "host": "o1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "o2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "blue2": { "network": "blue", "host": "o2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"] },
    "green1": { "network": "green", "host": "o1", "mac": "fa:16:3e:00:03:11", "addresses": ["192.168.3.11"] },
    "gold2": { "network": "gold", "host": "o2", "mac": "fa:16:3e:00:04:12", "addresses": ["192.168.4.12"] }
  }
}
END_OF_CLOUD

fabric_add 1500
provider_add 1500
host_add o1 o2
cloud_ovs o1
cloud_ovs o2
reference=(--floods --leaks o1 --leaks o2) # what these flows let out is known, and not what vtepd does

check "verify_cloud.py sees what is wrong" "$LAB_HOME/test_verify_cloud.py"

section "VXLAN"
# Open vSwitch drops the packets for which it still resolves the tunnel's next hop.
check "o1 has found o2" wait_for 5 ping_once red1 192.168.1.12
check "and o2 has found o1" wait_for 5 ping_once red2 192.168.1.11
capture_start vxlan fabric o1 udp port 4789
check "same network" ping_ok red1 192.168.1.12
check "the same, IPv6" ping_ok red1 2001:db8:1::12
check "other network" ping_ok red1 192.168.2.12
check "and the other way" ping_ok blue2 192.168.1.11
check "other network, IPv6" ping_ok red1 2001:db8:2::12
check "1450-byte packets" ping_ok red1 192.168.2.12 -s 1422 -M "do"
check "TCP red1 → blue2" iperf red1 blue2 192.168.2.12 --bytes 2M
check "TCP blue2 → red1" iperf red1 blue2 192.168.2.12 --bytes 2M --reverse
capture_stop vxlan
check "every length and checksum" verify_pcap vxlan --at-least 100
check "the wire is that of a distributed router" verify_cloud vxlan "${reference[@]}" \
  --seen "red1>red2" --seen "red1>blue2" --seen "blue2>red1"

section "VLAN"
capture_start vlan provider o1
check "other network" ping_ok green1 192.168.4.12
check "and the other way" ping_ok gold2 192.168.3.11
check "TCP green1 → gold2" iperf green1 gold2 192.168.4.12 --bytes 2M
check "TCP gold2 → green1" iperf green1 gold2 192.168.4.12 --bytes 2M --reverse
check "from VLAN to VXLAN" ping_ok green1 192.168.2.12
capture_stop vlan
check "every length and checksum" verify_pcap vlan --at-least 0
check "the wire is that of a distributed router" verify_cloud vlan "${reference[@]}" \
  --seen "green1>gold2" --seen "gold2>green1"

lab_end
