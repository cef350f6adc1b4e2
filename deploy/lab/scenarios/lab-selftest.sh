#!/usr/bin/env bash
# The lab without vtepd: kernel and Open vSwitch VTEPs among themselves. When this fails, the machine or the lab is to
# blame and not the daemon.
#
#   vm1 ── k1 (kernel) ══ fabric ══ k2 (kernel) ── vm2       VNI 10: unicast flood, UDP 4789
#                           ╚══════ o1 (OVS)    ── vm3       VNI 20: multicast flood, UDP 8472 (vm4, vm5; IPv6: VNI 30)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

section "Kernel VTEPs and Open vSwitch, IPv4, ingress replication"
fabric_add 1600
for n in 1 2; do
  host_add k$n
  ipv6_on k$n
  fabric_port k$n 192.0.2.2$n/24 2001:db8::2$n/64
done
host_add o1
fabric_port o1
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.22,192.0.2.31
kernel_vtep k2 10 192.0.2.22 flood=192.0.2.21
kernel_vm k1 10 vm1 10.0.0.1/24
kernel_vm k2 10 vm2 10.0.0.2/24
ovs_vtep o1 192.0.2.31/24
ovs_tunnel o1 10 192.0.2.31 192.0.2.21
ovs_vm o1 vm3 10.0.0.3/24
capture_start unicast fabric k1 udp
check "kernel to kernel" ping_ok vm1 10.0.0.2
check "the largest tenant packet" ping_ok vm1 10.0.0.2 -s 1472 -M "do"
check "kernel to Open vSwitch" wait_for 5 ping_once vm1 10.0.0.3
check "TCP through Open vSwitch" iperf vm1 vm3 10.0.0.3
check "k2 is known by its VTEP address" equal 192.0.2.22 "$(kernel_learned k1 10 "$(mac vm2 eth0)")"
capture_stop unicast
check "every length and checksum" verify_pcap unicast --at-least 12

section "Kernel VTEPs, multicast flood, UDP 8472"
for n in 1 2; do
  kernel_vtep k$n 20 192.0.2.2$n port=8472 group=239.1.1.1
done
kernel_vm k1 20 vm4 10.0.0.1/24
kernel_vm k2 20 vm5 10.0.0.2/24
capture_start multicast fabric k1 udp
check "kernel to kernel" wait_for 5 ping_once vm4 10.0.0.2
capture_stop multicast
check "the first frame went to the group" test "$(captured multicast dst host 239.1.1.1 and port 8472)" -gt 0
check "every length and checksum" verify_pcap multicast --at-least 4

section "Kernel VTEPs, IPv6 underlay and IPv6 tenants"
kernel_vtep k1 30 2001:db8::21 flood=2001:db8::22
kernel_vtep k2 30 2001:db8::22 flood=2001:db8::21
kernel_vm k1 30 vm6 10.0.0.1/24 fd00::1/64
kernel_vm k2 30 vm7 10.0.0.2/24 fd00::2/64
capture_start ipv6 fabric k1 ip6
check "IPv4 over IPv6" ping_ok vm6 10.0.0.2
check "IPv6 over IPv6" ping_ok vm6 fd00::2
capture_stop ipv6
check "every length and checksum" verify_pcap ipv6 --at-least 8

section "VLAN interfaces, one tag and two"
endhost vm8 k1 vm8 vlan=7 10.0.0.1/24
host_add vm9
ip -n "$(netns k1)" link set vm8 netns "$(netns vm9)" # the other end of the cable becomes a host itself
link_up vm9 vm8
vlan_add vm9 vm8 7 eth0 1500
address vm9 eth0 10.0.0.2/24
vlan_add vm8 trunk 100 outer 1504 802.1ad
vlan_add vm8 outer 8 inner 1500
vlan_add vm9 vm8 100 outer 1504 802.1ad
vlan_add vm9 outer 8 inner 1500
address vm8 inner 10.0.1.1/24
address vm9 inner 10.0.1.2/24
capture_start vlan vm9 vm8
check "802.1Q" ping_ok vm8 10.0.0.2 -s 1472 -M "do"
check "802.1ad and 802.1Q" ping_ok vm8 10.0.1.2 -s 1472 -M "do"
capture_stop vlan
check "all frames of the first were tagged 7" equal 6 "$(captured vlan vlan 7 and icmp)"
check "all frames of the second 100 and 8" equal 6 "$(captured vlan vlan 100 and vlan 8 and icmp)"

lab_end
