#!/usr/bin/env bash
# A port sends from its own MAC and addresses and its allowed pairs, and is neither router nor server: whatever else it
# says is dropped under its own reason, reaches nobody, and changes nothing that anybody knows. Where anti_spoofing is off,
# all passes but the MACs of gateways and hosts. The cases: deploy/lab/misbehave.py --list.
#
#   red1, red2 (the victim), blue1 ── h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── red3

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

GATEWAY=fa:16:3e:00:01:01

cloud_of two-networks <<END
{
  "networks": {
    "red": { "subnets": [{ "cidr": "192.168.1.0/24" }, { "cidr": "2001:db8:1::/64", "ipv6_mode": "none" }] },
    "blue": { "subnets": [{ "cidr": "192.168.2.0/24" }, { "cidr": "2001:db8:2::/64", "ipv6_mode": "none" }] }
  },
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "red3": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13", "2001:db8:1::13"] },
    "blue1": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11", "2001:db8:2::11"] }
  }
}
END

misbehave() { # 4|6 CASE [OPTION...]
  local options=()
  if [[ $1 == 6 ]]; then
    options=(--source 2001:db8:1::11 --target 2001:db8:2::11 --gateway-address 2001:db8:1::1 --claim 2001:db8:1::12)
  fi
  on red1 "$LAB_HOME/misbehave.py" --gateway $GATEWAY "${options[@]}" "${@:2}"
}

# counted "REASON +N" COMMAND...: it succeeds, and these drops of h1 move and no others.
counted() {
  local want=$1 before
  shift
  before=$(drops h1)
  "$@" && wait_for 2 drops_moved_are h1 "$before" "$want"
}

# port_red1 JSON: the port as in the cloud, with this changed.
port_red1() {
  api h1 PUT /v1/ports/red1 "$(cloud_ask state h1 | jq --argjson change "$1" '.ports.red1 + $change')"
}

VICTIMS=(red2 red3 blue1)

# What the others hear that is not their own. Kernels report the groups they are in whenever they like: by IPv6 with
# hop-by-hop options.
capture_victims() {
  for vm in "${VICTIMS[@]}"; do
    capture_start "$vm" "$vm" eth0 "not ether src $(mac "$vm" eth0) and not (ip6 and ip6[6] = 0)"
  done
}
stop_victims() { for vm in "${VICTIMS[@]}"; do capture_stop "$vm"; done; }

fabric_add 1500
host_add h1 h2
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2
for address in 192.168.1.12 192.168.1.13 192.168.2.11 2001:db8:1::13; do
  check "red1 → $address" wait_for 3 ping_once red1 $address
done
check "red2 → red3" ping_ok red2 192.168.1.13

section "What is not red1's, and not its to say"
capture_victims
capture_start wire fabric h1 'udp port 4789 and not (udp[28:2] = 0x86dd and udp[36] = 0)' # the inner frame
while read -r family case reason; do
  check "$case, IPv$family: $reason" counted "$reason +1" misbehave "$family" "$case"
done <<'END'
4  spoofed-address       spoofed-address
6  spoofed-address       spoofed-address
4  from-link-local       spoofed-address
4  spoofed-mac           spoofed-mac
4  from-gateway          spoofed-mac
4  arp-request           spoofed-arp-nd
4  arp-announcement      spoofed-arp-nd
4  arp-reply             spoofed-arp-nd
4  arp-mac               spoofed-arp-nd
6  advertisement         spoofed-arp-nd
6  solicitation          spoofed-address
6  router-advertisement  rogue-server
6  redirect              rogue-server
4  dhcp-offer            rogue-server
6  dhcpv6-advertise      rogue-server
END
stop_victims
capture_stop wire
for vm in "${VICTIMS[@]}"; do check "$vm has heard nothing" capture_without "$vm"; done
check "nor has the underlay" capture_without wire
check "red2 is still where it was" ping_ok blue1 192.168.1.12
check "and for red3" ping_ok red3 192.168.1.12

section "What everybody may do"
check "an ARP probe before one has an address (RFC 5227)" counted "" on red1 arping -D -q -c 1 -w 1 -I eth0 192.168.1.11
check "one's own announcement" counted "" on red1 arping -U -q -c 1 -w 1 -I eth0 192.168.1.11
check "a DHCP discovery from 0.0.0.0" counted "" on red1 env LEASE="$LAB_DIR/red1.lease" \
  udhcpc -i eth0 -n -q -f -t 2 -T 1 -s "$LAB_HOME/dhcp_client.sh"

section "An allowed pair"
on blue1 sysctl -qw net.ipv4.icmp_echo_ignore_all=1 # its answers would look for people who are not there
capture_start allowed blue1 eth0 src net 192.168.1.64/26
check "red1 may send from 192.168.1.64/26" port_red1 '{ "allowed_address_pairs": [{ "address": "192.168.1.64/26" }] }'
check "the first of it" counted "" misbehave 4 spoofed-address --claim 192.168.1.64
check "the last of it" counted "" misbehave 4 spoofed-address --claim 192.168.1.127
check "not the one behind it" counted "spoofed-address +1" misbehave 4 spoofed-address --claim 192.168.1.128
capture_stop allowed
check "blue1 has the two" test "$(captured allowed)" = 2
check "nor by another MAC" counted "spoofed-mac +1" misbehave 4 spoofed-mac
check "unless the pair says so" port_red1 \
  '{ "allowed_address_pairs": [{ "address": "192.168.1.11", "mac": "fa:16:3e:00:01:77" }] }'
check "then it may" counted "" misbehave 4 spoofed-mac --claim-mac fa:16:3e:00:01:77
check "but not from another address" counted "spoofed-address +1" misbehave 4 spoofed-address --claim 192.168.1.64

section "anti_spoofing off"
check "it is switched off for red1" port_red1 '{ "anti_spoofing": false }'
capture_victims
for case in spoofed-address arp-announcement dhcp-offer; do check "$case passes" counted "" misbehave 4 $case; done
check "a gateway's MAC does not" counted "router-mac-source +1" misbehave 4 from-gateway
check "nor a DVR MAC" counted "router-mac-source +1" misbehave 4 spoofed-mac --claim-mac fa:16:3f:00:00:12
stop_victims
check "blue1 has the packet from a spoofed address" test "$(captured blue1 src host 192.168.1.12)" = 1
check "red2 has heard the rest" test "$(captured red2 "ether src $(mac red1 eth0) and (arp or udp src port 67)")" = 2

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
