#!/usr/bin/env bash
# A plain Linux host beside vtepd: a kernel VTEP with an end host in a routed network, and no router of its own. Where the
# network says gateway_from_underlay, vtepd is the router for it too.
#
#   red1 (VNI 1671) ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── blue2 (VNI 1172)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

# linux_beside GATEWAY_FROM_UNDERLAY: the cloud.
linux_beside() {
  cloud_of two-networks <<END
{
  "hosts": { "h2": null, "k1": { "vtep": "192.0.2.21/24" } },
  "networks": { "blue": { "gateway_from_underlay": $1 } },
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "blue2": { "network": "blue", "host": "k1", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"] }
  }
}
END
}

one_hop() { on "$1" ping -n -c 1 -W 1 "$2" | tee /dev/stderr | grep -F " ttl=63 "; } # FROM ADDRESS

blue_vm() { kernel_vm "$1" 1172 "${@:2}"; } # VTEP VM OPTION...

linux_beside true
fabric_add 1500
host_add h1 k1
cloud_vtepd h1
fabric_port k1 192.0.2.21/24
kernel_vtep k1 1172 192.0.2.21 flood=192.0.2.11 mtu=1450
cloud_vms blue_vm k1

section "vtepd is its router too"
capture_start wire fabric h1 udp port 4789
check "the gateway answers ARP across the underlay" on blue2 arping -c 1 -w 3 -I eth0 192.168.2.1
check "and echo" ping_ok blue2 192.168.2.1
check "red1 → blue2" ping_ok red1 192.168.2.12
check "blue2 → red1" ping_ok blue2 192.168.1.11
check "red1 → blue2, IPv6" ping_ok red1 2001:db8:2::12
check "blue2 → red1, IPv6" ping_ok blue2 2001:db8:1::11
check "1450-byte packets" ping_ok red1 192.168.2.12 -s 1422 -M "do"
check "TCP red1 → blue2" iperf red1 blue2 192.168.2.12
check "TCP blue2 → red1" iperf red1 blue2 192.168.2.12 --reverse
capture_stop wire
check "every length and checksum; RFC 7348 for what vtepd sent" verify_pcap wire --vtep 192.0.2.11 --at-least 100
check "the wire is that of a distributed router" verify_cloud wire --floods --leaks k1 --seen "red1>blue2"
check "the gateway is one hop for blue2" one_hop blue2 192.168.1.11

section "Without gateway_from_underlay it is not"
linux_beside false
check "the network is changed" api h1 PUT /v1/networks/blue "$(cloud_ask state h1 | jq .networks.blue)"
before=$(dropped h1 gateway-from-underlay)
check "a packet to the gateway from the underlay goes no further" fails ping_once blue2 192.168.1.11
check "it is counted" test "$(dropped h1 gateway-from-underlay)" -gt "$before"
vm_forget blue2
check "its ARP is not answered either" fails on blue2 arping -c 1 -w 1 -I eth0 192.168.2.1
check "red1's own gateway is as before" ping_ok red1 192.168.1.1

section "The end"
vtepd_stop h1
lab_end
