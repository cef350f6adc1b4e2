#!/usr/bin/env bash
# Extra routes of a distributed router, by end hosts that forward (firewalls, load balancers): on the same host and on
# another, the longest prefix, several next hops at once, and changes under load, of which traffic feels nothing.
#
#   red1, fw1 ── h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── red2, fw2       fw1, fw2: in blue, each with 10.9.0.0/16 behind it

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud_of two-networks <<'END'
{
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "red2": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "fw1": {
      "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11", "192.168.2.21", "2001:db8:2::11"],
      "allowed_address_pairs": [{ "address": "10.9.0.0/16" }, { "address": "2001:db8:9::/48" }]
    },
    "fw2": {
      "network": "blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"],
      "allowed_address_pairs": [{ "address": "10.9.0.0/16" }, { "address": "2001:db8:9::/48" }]
    }
  }
}
END

# route PREFIX NEXTHOP...: on both hosts.
route() {
  local prefix=$1 vtep via
  shift
  via=$(printf '%s\n' "$@" | jq -Rcn '{ via: [inputs] }')
  for vtep in h1 h2; do api $vtep PUT "/v1/routes/r1/$prefix" "$via" >/dev/null || return; done
}
unroute() { for vtep in h1 h2; do api $vtep DELETE "/v1/routes/r1/$1" >/dev/null || return; done; }

# goes_to VM FROM ADDRESS: three echoes from there are seen by that one and not by the other.
goes_to() {
  local vm
  for vm in fw1 fw2; do capture_start "at-$vm" $vm eth0 "dst host $3 and (icmp or icmp6)"; done
  ping_ok "$2" "$3" || true
  for vm in fw1 fw2; do capture_stop "at-$vm"; done
  for vm in fw1 fw2; do
    equal "$([[ $vm == "$1" ]] && echo 3 || echo 0)" "$(captured "at-$vm" 'icmp[icmptype] = icmp-echo or icmp6[icmp6type] = icmp6-echo')" ||
      return 1
  done
}

fabric_add 1500
host_add h1 h2
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2
for vm in fw1 fw2; do
  # All addresses of these prefixes are its own: it stands for whatever is behind it.
  on $vm ip route add local 10.9.0.0/16 dev lo
  on $vm ip -6 route add local 2001:db8:9::/48 dev lo
done

section "One next hop"
check "no route yet" fails ping_once red1 10.9.1.1
check "10.9.0.0/16 by fw1" route 10.9.0.0/16 192.168.2.11
check "red1 is on the same host" goes_to fw1 red1 10.9.1.1
check "red2 is not" goes_to fw1 red2 10.9.1.1
check "10.9.0.0/16 by fw2" route 10.9.0.0/16 192.168.2.12
check "of red1 now" goes_to fw2 red1 10.9.1.1
check "of red2 now" goes_to fw2 red2 10.9.1.1
check "IPv6" route 2001:db8:9::/48 2001:db8:2::12
check "red1" goes_to fw2 red1 2001:db8:9::1
check "fw2 reaches red1 with an address behind it" on fw2 ping -n -q -c 1 -W 1 -I 10.9.1.1 192.168.1.11

section "The longest prefix"
check "10.9.1.0/24 by fw1" route 10.9.1.0/24 192.168.2.11
check "what is in it" goes_to fw1 red1 10.9.1.1
check "what is not" goes_to fw2 red1 10.9.2.1
check "without it" unroute 10.9.1.0/24
check "the shorter one again" goes_to fw2 red1 10.9.1.1
check "a /32 of the subnet itself, by fw1" route 192.168.2.99/32 192.168.2.11
check "wins over the connected network" goes_to fw1 red1 192.168.2.99
check "without it" unroute 192.168.2.99/32

section "Two next hops"
check "10.9.0.0/16 by both" route 10.9.0.0/16 192.168.2.11 192.168.2.12
capture_start spread-fw1 fw1 eth0 "udp dst port 9"
capture_start spread-fw2 fw2 eth0 "udp dst port 9"
on red1 "$LAB_HOME/stream.py" --port 9 send 10.9.3.3 --flows 64 --rate 2000 --seconds 0.5
capture_stop spread-fw1
capture_stop spread-fw2
flows() { capture_shows "$1" | grep -o '192\.168\.1\.11\.[0-9]* ' | sort -u; } # CAPTURE: by their source ports
check "64 flows are shared among them, by halves or so" test "$(flows spread-fw1 | wc -l)" -ge 16 -a "$(flows spread-fw2 | wc -l)" -ge 16
check "each of them keeps to one" equal "" "$(comm -12 <(flows spread-fw1) <(flows spread-fw2))"

section "Changes under load"
check "10.9.0.0/16 by fw1" route 10.9.0.0/16 192.168.2.11
stream_start fw1
stream_send red1 10.9.4.4 --flows 8 --rate 2000 --seconds 3 &
sender=$!
changes=0
while kill -0 $sender 2>/dev/null; do
  # The same next hop by its other address; a more specific route that comes and goes; and others that have no part in it.
  route 10.9.0.0/16 192.168.2.$((changes % 2 ? 11 : 21))
  route 10.9.4.0/24 192.168.2.21
  route "172.16.$((changes % 256)).0/24" 192.168.2.12 192.168.2.11
  unroute 10.9.4.0/24
  changes=$((changes + 4))
done
wait $sender
echo "  $changes changes"
check "many changes were made" test $changes -ge 40
check "nothing was lost, late or twice" stream_whole fw1

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
