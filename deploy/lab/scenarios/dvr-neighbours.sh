#!/usr/bin/env bash
# An address that several ports may have and none is said to have (allowed-address pairs: VRRP and its like). The router
# asks for it by probes, finds it, and follows it at once when another port announces it. IPv4 and IPv6.
#
#   red1, blue1, blue3 ── h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── red2, blue2      blue1 or blue2: 192.168.2.50, 2001:db8:2::50

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

PAIRS='[{ "address": "192.168.2.50" }, { "address": "2001:db8:2::50" }]'

cloud_of two-networks <<END
{
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "blue1": {
      "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11", "2001:db8:2::11"],
      "allowed_address_pairs": $PAIRS
    },
    "blue2": {
      "network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"],
      "allowed_address_pairs": $PAIRS
    },
    "blue3": {
      "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:13", "addresses": ["192.168.2.13", "2001:db8:2::13"]
    }
  }
}
END

move() { # FROM TO: without a word to anybody
  ip -n "$(netns "$1")" addr del 192.168.2.50/24 dev eth0
  ip -n "$(netns "$1")" addr del 2001:db8:2::50/64 dev eth0
  address "$2" eth0 192.168.2.50/24 2001:db8:2::50/64
}

# announce VM FORM: by a gratuitous ARP of that form, and by an unsolicited neighbour advertisement. (misbehave.py knows how,
# and is no misbehaviour of those who may have the address.)
announce() {
  on "$1" "$LAB_HOME/misbehave.py" --source 192.168.2.50 --claim 192.168.2.50 "$2"
  on "$1" "$LAB_HOME/misbehave.py" --source 2001:db8:2::50 --claim 2001:db8:2::50 advertisement
}

# arrives_at VM FROM ADDRESS: three echoes from there are answered, and were for that end host and no other.
arrives_at() {
  local vm
  for vm in blue1 blue2; do capture_start "at-$vm" "$vm" eth0 "dst host $3 and (icmp or icmp6)"; done
  ping_ok "$2" "$3" || { capture_stop at-blue1 && capture_stop at-blue2 && return 1; }
  for vm in blue1 blue2; do capture_stop "at-$vm"; done
  for vm in blue1 blue2; do
    if [[ $vm == "$1" ]]; then
      (($(captured "at-$vm" "icmp[icmptype] = icmp-echo or icmp6[icmp6type] = icmp6-echo") == 3)) || return 1
    else
      capture_without "at-$vm" || return 1
    fi
  done
}

fabric_add 1500
host_add h1 h2
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2

section "Nobody has it"
capture_start probe fabric h1 udp port 4789
check "no answer" fails ping_once red1 192.168.2.50
check "no answer, IPv6" fails ping_once red1 2001:db8:2::50
capture_stop probe
# The inner frame is 16 bytes behind the start of UDP: source MAC at 22, EtherType at 28; ARP: sender at 38, its address at
# 44, target's at 54. IPv6: next header at 36, source at 38, destination at 54; ICMPv6 at 70, its target at 78.
check "h1 asks by an ARP probe (RFC 5227) from its DVR MAC" test "$(captured probe \
  'src host 192.0.2.11 and udp[22:4] = 0xfa163f00 and udp[26:2] = 0x0011 and udp[28:2] = 0x0806 and udp[38:4] = 0xfa163f00
   and udp[44:4] = 0 and udp[54:4] = 0xc0a80232')" -ge 1
check "and by a neighbour solicitation" test "$(captured probe \
  'src host 192.0.2.11 and udp[22:4] = 0xfa163f00 and udp[28:2] = 0x86dd and udp[70] = 135 and udp[90:4] = 0x50')" -ge 1
check "in the network where it belongs" test "$(captured probe 'udp[12:4] = 0x00049400 and udp[54:4] = 0xc0a80232')" -ge 1

section "blue2 has it, on the other host"
address blue2 eth0 192.168.2.50/24 2001:db8:2::50/64
check "red1 reaches it" wait_for 5 ping_once red1 192.168.2.50
check "at blue2" arrives_at blue2 red1 192.168.2.50
check "red1 reaches it by IPv6" wait_for 5 ping_once red1 2001:db8:2::50
check "at blue2" arrives_at blue2 red1 2001:db8:2::50
check "red2 reaches it, whose host has never asked: not even the first packet is lost" ping_ok red2 192.168.2.50
check "nor is it by IPv6" ping_ok red2 2001:db8:2::50
check "blue3 reaches it from its own network" ping_ok blue3 192.168.2.50
check "TCP" iperf red1 blue2 192.168.2.50 --bytes 2M

section "It moves to blue1"
move blue2 blue1
announce blue1 arp-announcement
check "the next packet of red1 is at blue1" arrives_at blue1 red1 192.168.2.50
check "and of red2, on the other host" arrives_at blue1 red2 192.168.2.50
check "IPv6 of red1" arrives_at blue1 red1 2001:db8:2::50
check "IPv6 of red2" arrives_at blue1 red2 2001:db8:2::50

section "It moves back"
move blue1 blue2
announce blue2 arp-reply
check "the next packet of red1 is at blue2" arrives_at blue2 red1 192.168.2.50
check "and of red2" arrives_at blue2 red2 192.168.2.50
check "IPv6 of red1" arrives_at blue2 red1 2001:db8:2::50
check "IPv6 of red2" arrives_at blue2 red2 2001:db8:2::50

section "blue3 may not have it"
before=$(drops h1)
announce blue3 arp-announcement
check "its announcements are dropped, and counted" wait_for 2 drops_moved_are h1 "$before" "spoofed-address +1, spoofed-arp-nd +1"
check "nothing has changed by them" arrives_at blue2 red1 192.168.2.50
check "nor for IPv6" arrives_at blue2 red1 2001:db8:2::50

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
