#!/usr/bin/env bash
# One end host sends as much ARP, ND, DHCP, packets to unknown neighbours and packets with TTL 1 as it can. It is held to
# its limits, which is counted; another port of the same network loses nothing meanwhile.
#
#   noisy, quiet ── h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── red2, blue2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

GATEWAY=fa:16:3e:00:01:01

cloud_of two-networks <<END
{
  "networks": {
    "red": { "subnets": [{ "cidr": "192.168.1.0/24", "gateway": "192.168.1.1" }, { "cidr": "2001:db8:1::/64" }] }
  },
  "ports": {
    "noisy": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "quiet": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "red2": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13", "2001:db8:1::13"] },
    "blue2": { "network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12"] }
  }
}
END

# while_flooded KIND COMMAND...: noisy floods until the command has ended, which succeeds.
while_flooded() {
  local kind=$1 pid result=0
  shift
  rm -f "$LAB_DIR/flood.out"
  # Not by a function: the signal must reach Python itself.
  ip netns exec "$(netns noisy)" "$LAB_HOME/flood.py" --gateway $GATEWAY "$kind" >"$LAB_DIR/flood.out" &
  pid=$!
  wait_for 10 grep -q begins "$LAB_DIR/flood.out" || result=1
  "$@" || result=1
  kill -TERM $pid || result=1
  wait $pid || result=1
  echo "noisy has sent $(tail -n 1 "$LAB_DIR/flood.out")"
  return $result
}

# What a good neighbour does: none of it may be lost, and addresses are found anew.
quiet_is_well() {
  vm_forget quiet
  on quiet ping -n -q -c 40 -i 0.01 -W 1 192.168.2.12 &&
    on quiet ping -n -q -c 40 -i 0.01 -W 1 192.168.1.13 &&
    on quiet arping -b -c 1 -w 1 -I eth0 192.168.1.1 &&
    on quiet arping -b -c 1 -w 1 -I eth0 192.168.1.13 &&
    ping_ok quiet 2001:db8:1::13
}

quiet_gets_lease() {
  rm -f "$LAB_DIR/quiet.lease"
  on quiet env LEASE="$LAB_DIR/quiet.lease" udhcpc -i eth0 -n -q -f -t 2 -T 1 -s "$LAB_HOME/dhcp_client.sh"
}

limited() { # REASON...: the only drops of h1 since $before, and many of each
  local moved reason
  moved=$(drops_moved h1 "$before")
  echo "$moved"
  for reason; do
    [[ $moved =~ $reason\ \+([0-9]+) ]] && ((BASH_REMATCH[1] > 1000)) || return 1
  done
}

fabric_add 1500
host_add h1 h2
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2
check "quiet is well" wait_for 3 quiet_is_well
check "and gets a lease" quiet_gets_lease

while read -r kind what; do
  section "$what"
  before=$(drops h1)
  # How much of it the others get to hear: floods cross the underlay, as they must, but not all of this one.
  capture_start "$kind" fabric h1 'udp port 4789 and src host 192.0.2.11'
  check "quiet is well meanwhile" while_flooded "$kind" quiet_is_well
  capture_stop "$kind"
  check "h2 has been spared" test "$(captured "$kind")" -lt 6000
  case $kind in
    arp | gateway-arp | nd | solicit) check "noisy was held to its limit" limited arp-nd-limit ;;
    dhcp) check "noisy was held to its limit" limited service-limit ;;
    unknown) check "noisy was held to its limit" limited probe-limit ;;
    ttl) check "all was counted" limited ttl-exceeded ;;
  esac
done <<'END'
arp          ARP for addresses that nobody has
gateway-arp  ARP for the gateway
nd           Neighbour solicitations
dhcp         DHCP discoveries
solicit      Router solicitations
unknown      Packets to unknown neighbours of another network
ttl          Packets with TTL 1
END

section "DHCP for others meanwhile"
check "quiet gets its lease" while_flooded dhcp quiet_gets_lease

section "Errors are limited"
before=$(on noisy cat /proc/net/snmp | awk '/^Icmp: [0-9]/ { print $2 }')
check "two seconds of TTL 1" on noisy "$LAB_HOME/flood.py" --gateway $GATEWAY --seconds 2 ttl
after=$(on noisy cat /proc/net/snmp | awk '/^Icmp: [0-9]/ { print $2 }')
check "noisy has heard of some" test $((after - before)) -gt 0
check "and of no more than the limit" test $((after - before)) -le 1000

section "Afterwards"
check "noisy itself is served again" wait_for 3 ping_ok noisy 192.168.2.12
check "quiet is well" quiet_is_well

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
