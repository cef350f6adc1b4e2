#!/usr/bin/env bash
# What a router says no to: each packet as the RFCs want it, told to its sender where they say so, and counted under its
# own reason while nothing else moves. And odd packets that it must forward. The cases: deploy/lab/misbehave.py --list.
#
#   red1 (MTU 1450), free1 (not guarded) ─┐
#   blue1 (network of MTU 1400)          ─┴─ h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── blue2 (MTU 1400)
#
# The end hosts are on net_tap devices: AF_PACKET would put their fragments together. All of them believe in an MTU of 1450,
# so that only the router knows of the smaller one.

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

GATEWAY=fa:16:3e:00:01:01

cloud_of two-networks <<END
{
  "networks": { "blue": { "mtu": 1400 } },
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "free1": {
      "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"],
      "anti_spoofing": false
    },
    "blue1": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11", "2001:db8:2::11"] },
    "blue2": { "network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"] }
  }
}
END

tap_access() { # HOST VM OPTION...
  endhost "$2" "$1" "$2" "${@:3}"
  vtepd_tap "$1" "$2"
}

# counted "REASON +N" COMMAND...: it succeeds, and these drops of h1 move and no others.
counted() {
  local want=$1 before
  shift
  before=$(drops h1)
  "$@" && wait_for 2 drops_moved_are h1 "$before" "$want"
}

misbehave() { # VM 4|6 CASE
  local options=(--target 192.168.2.11)
  if [[ $2 == 6 ]]; then
    options=(--source 2001:db8:1::11 --target 2001:db8:2::11 --gateway-address 2001:db8:1::1 --claim 2001:db8:1::12)
  fi
  on "$1" "$LAB_HOME/misbehave.py" --gateway $GATEWAY "${options[@]}" "$3"
}

fabric_add 1500
host_add h1 h2
for vtep in h1 h2; do
  vtepd_uplink $vtep
  cloud_vms tap_access $vtep mtu=1450
  vtepd_start $vtep
  vtepd_fill $vtep < <(cloud_ask state $vtep)
done
for vm in red1 free1 blue1; do vtepd_plug h1 $vm; done
vtepd_plug h2 blue2
cloud_joined h1 h2
check "red1 → blue1" wait_for 3 ping_once red1 192.168.2.11
check "red1 → blue2" wait_for 3 ping_once red1 192.168.2.12
check "free1 → blue1" wait_for 3 ping_once free1 192.168.2.11
capture_start red1 red1 eth0

section "TTL"
check "1 is exceeded at the gateway" counted "ttl-exceeded +1" ping_hears red1 192.168.2.11 "From 192.168.1.1 icmp_seq=1 Time to live exceeded" -t 1
check "also on the way to another host" counted "ttl-exceeded +1" ping_hears red1 192.168.2.12 "From 192.168.1.1 icmp_seq=1 Time to live exceeded" -t 1
check "2 is enough" counted "" ping_once red1 192.168.2.12 -t 2
check "1 is enough for the gateway itself" counted "" ping_once red1 192.168.1.1 -t 1
check "IPv6: 1 is exceeded" counted "ttl-exceeded +1" ping_hears red1 2001:db8:2::12 "From 2001:db8:1::1 icmp_seq=1 Time exceeded: Hop limit" -t 1
check "IPv6: 2 is enough" counted "" ping_once red1 2001:db8:2::12 -t 2

section "Nowhere to go"
check "no route" counted "no-route +1" ping_hears red1 203.0.113.1 "From 192.168.1.1 icmp_seq=1 Destination Net Unreachable"
check "no route, IPv6" counted "no-route +1" ping_hears red1 2001:db8:ffff::1 "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: No route"
capture_start probe fabric h1 udp port 4789
check "an address that nobody has" counted "neighbour-unknown +1" \
  ping_hears red1 192.168.2.99 "From 192.168.1.1 icmp_seq=1 Destination Host Unreachable" -W 6
capture_stop probe
check "the same, IPv6" counted "neighbour-unknown +1" \
  ping_hears red1 2001:db8:2::99 "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Address unreachable" -W 6
# The inner frame begins 16 bytes behind the start of UDP: its source, its ARP sender address, its ARP target address.
check "h1 asks for it by a probe from its own DVR MAC" test "$(captured probe \
  'src host 192.0.2.11 and udp[22:4] = 0xfa163f00 and udp[28:2] = 0x0806 and udp[44:4] = 0 and udp[54:4] = 0xc0a80263')" -ge 1

section "MTU"
check "1450 bytes and DF into a network of 1400: the sender is told" counted "mtu-exceeded +1" \
  ping_hears red1 192.168.2.11 "From 192.168.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)" -s 1422 -M "do"
check "and keeps to it" counted "" ping_once red1 192.168.2.11 -s 1372 -M "do"
on red1 ip route flush cache
check "the same to another host" counted "mtu-exceeded +1" \
  ping_hears red1 192.168.2.12 "From 192.168.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)" -s 1422 -M "do"
check "IPv6: packet too big" counted "mtu-exceeded +1" ping_hears red1 2001:db8:2::12 "Packet too big: mtu=1400" -s 1402 -M "do"
on red1 ip route flush cache
on red1 ip -6 route flush cache
capture_start fragments blue1 eth0 "dst host 192.168.2.11"
check "without DF it arrives" counted "" ping_once red1 192.168.2.11 -s 1422 -M dont
check "and 5000 bytes, in fragments of fragments" counted "" ping_once red1 192.168.2.11 -s 4972 -M dont
check "also at another host" counted "" ping_once red1 192.168.2.12 -s 4972 -M dont
capture_stop fragments
check "in fragments of 1400 at most" test "$(captured fragments 'ip[6:2] & 0x3fff != 0 and greater 1200')" -ge 4
check "none is larger" capture_without fragments greater 1415
check "their headers are right" verify_pcap fragments --at-least 0
check "TCP finds the MTU of its path, red1 → blue2" iperf red1 blue2 192.168.2.12 --bytes 3M
check "it has learned 1400" grep -q 'mtu 1400' <(on red1 ip route get 192.168.2.12)
check "TCP blue2 → red1" iperf red1 blue2 192.168.2.12 --bytes 3M --reverse
check "TCP over IPv6" iperf red1 blue2 2001:db8:2::12 --bytes 3M
check "it has learned 1400" grep -q 'mtu 1400' <(on red1 ip route get 2001:db8:2::12)
capture_stop red1
check "every length and checksum that red1 has seen" verify_pcap red1 --at-least 0

section "Odd, and forwarded"
capture_start forwarded blue1 eth0 'icmp or ip6'
capture_has() { test "$(captured forwarded "${@:2}")" -ge "$1"; }
ECHO='icmp[icmptype] = icmp-echo'
check "good" counted "" misbehave red1 4 good
check "options" counted "" misbehave red1 4 options
check "router-alert" counted "" misbehave red1 4 router-alert
check "they have arrived" wait_for 2 capture_has 3 "$ECHO"
check "with their options, as they were" test "$(captured forwarded "$ECHO and ip[0] & 15 > 5 and ip[8] = 63")" = 2
check "IPv6: good" counted "" misbehave red1 6 good
check "hop-by-hop" counted "" misbehave red1 6 hop-by-hop
check "destination-options" counted "" misbehave red1 6 destination-options
check "they have arrived" wait_for 2 capture_has 3 'src host 2001:db8:1::11 and ip6[7] = 63'
capture_stop forwarded
check "every length and checksum" verify_pcap forwarded --at-least 0

section "Bad, and dropped under its own reason"
capture_start leaked blue1 eth0 'ip or ip6'
while read -r vm family case reason; do
  check "$case, IPv$family: $reason" counted "$reason +1" misbehave "$vm" "$family" "$case"
done <<'END'
red1   4  ttl-one            ttl-exceeded
red1   4  ttl-zero           ttl-exceeded
red1   6  ttl-one            ttl-exceeded
red1   4  error-ttl-one      ttl-exceeded
red1   4  header-checksum    ip-checksum
red1   4  length             ip-malformed
red1   6  length             ip-malformed
red1   4  header-length      ip-malformed
red1   4  version            ip-malformed
red1   4  source-route       source-route
red1   4  spoofed-address    spoofed-address
red1   6  spoofed-address    spoofed-address
red1   4  spoofed-mac        spoofed-mac
free1  4  from-loopback      martian
free1  4  from-group         martian
free1  4  from-nobody        martian
free1  4  from-everybody     martian
free1  6  from-loopback      martian
free1  6  from-group         martian
free1  6  from-nobody        martian
free1  6  from-link-local    martian
red1   4  to-loopback        martian
red1   6  to-loopback        martian
red1   4  to-class-e         martian
red1   4  to-nowhere         no-route
red1   4  gateway-tcp        gateway-service
red1   4  gateway-appletalk  gateway-protocol
END
capture_stop leaked
check "blue1 has seen none of them" capture_without leaked
check "and good packets still pass" ping_ok red1 192.168.2.11

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
