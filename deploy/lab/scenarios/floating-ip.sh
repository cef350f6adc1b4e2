#!/usr/bin/env bash
# Floating IPs: an end host that has one is reached by it and seen as it, by way of its own host and nobody else's; others on
# the node that has the router's way outside, whole or port by port. From one to another, on the same host and across; and a
# port that moves to another host while somebody talks to it.
#
#   red1 .7, red2 .8, red4, blue1 .20, mover .30 ── h1 vtepd ─┐
#                                  red3 .9, twin ── h2 vtepd ─┼─ fabric, outside ── out1 10.100.0.14
#                                           red5 ── n1 vtepd ─┘  (r1: 10.100.0.5; .20 and the forwardings of .40)
#
# The twin is where the mover goes: the same MAC and address behind h2. (.7 is 10.100.0.7 outside.)

source "$(dirname "$0")/../lib.sh"
export VTEPD_HUGE_MB=768
lab_begin "$@"

FG1=fa:16:3e:00:64:11 FG2=fa:16:3e:00:64:12 QG=fa:16:3e:00:64:05

cloud_of two-networks outside <<'END'
{
  "ports": {
    "red1": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"] },
    "red2": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12"] },
    "red3": { "network": "red", "host": "h2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] },
    "red4": { "network": "red", "host": "h1", "mac": "fa:16:3e:00:01:14", "addresses": ["192.168.1.14"] },
    "red5": { "network": "red", "host": "n1", "mac": "fa:16:3e:00:01:15", "addresses": ["192.168.1.15"] },
    "blue1": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:11", "addresses": ["192.168.2.11"] },
    "mover": { "network": "blue", "host": "h1", "mac": "fa:16:3e:00:02:30", "addresses": ["192.168.2.30"] }
  },
  "floating-ips": {
    "fip1": { "address": "10.100.0.7", "network": "public", "port": "red1" },
    "fip2": { "address": "10.100.0.8", "network": "public", "port": "red2" },
    "fip3": { "address": "10.100.0.9", "network": "public", "port": "red3" },
    "central": { "address": "10.100.0.20", "network": "public", "port": "blue1", "distributed": false },
    "moving": { "address": "10.100.0.30", "network": "public", "port": "mover" },
    "services": {
      "address": "10.100.0.40", "network": "public", "router": "r1",
      "forwardings": [
        { "protocol": "tcp", "port": 8080, "to": "192.168.1.14:8000" },
        { "protocol": "udp", "port": 5353, "to": "192.168.1.15:8000" }
      ]
    },
    "reserved": { "address": "10.100.0.50", "network": "public" }
  }
}
END

# ask_for SECONDS ADDRESS...: asks outside who has each of them, all at once, until it has been answered twice.
ask_for() {
  local address asking=()
  for address in "${@:2}"; do
    { on out1 arping -b -c 2 -w "$1" -I eth0 "$address" || true; } >"$LAB_DIR/arping-$address.out" & # true: also if nobody answers
    asking+=($!)
  done
  wait "${asking[@]}"
}
answers() { equal "[${2^^}]" "$(grep -o '\[.*\]' "$LAB_DIR/arping-$1.out" | sort -u | paste -sd' ')"; } # ADDRESS MAC: that one alone
answered_by_none() { equal "" "$(grep -o '\[.*\]' "$LAB_DIR/arping-$1.out")"; }

# announced CAPTURE ADDRESS MAC: three times in both forms, to everybody.
announced() {
  local form
  for form in 1 2; do # request, reply
    equal 3 "$(captured "$1" "arp[6:2] = $form and ether dst ff:ff:ff:ff:ff:ff and ether src $3 and arp src host $2 and arp dst host $2")" || return
  done
}
# is_announced CAPTURE ADDRESS MAC: the same of a capture that runs.
is_announced() { wait_for 30 announced "$@"; }

# followed CAPTURE ADDRESS MAC: since the first announcement of the address by that MAC every echo request to it has gone there but for
# one that was under way, and has been answered but for the last.
followed() {
  capture_shows "$1" arp or icmp | awk -v address="$2" -v mac="$3" '
    $2 == mac && $4 == "ff:ff:ff:ff:ff:ff," && /ARP/ && index($0, address) { moved = 1 }
    !moved { next }
    match($0, /seq [0-9]+/) { seq = substr($0, RSTART + 4, RLENGTH - 4) + 0 }
    /ICMP echo request/ && $4 == mac "," { asked[seq] = 1; last = seq; n++ }
    /ICMP echo request/ && $4 != mac "," { astray++ }
    /ICMP echo reply/ { delete asked[seq] }
    END {
      delete asked[last]
      for (seq in asked) { lost++; print "not answered: " seq }
      print n " after it moved, " astray + 0 " of them elsewhere, " lost + 0 " lost"
      exit !n || astray > 1 || lost
    }'
}

fabric_add 1600
outside_add 1500
underlay_router ur 192.0.2.1/24
underlay_behind n1 ur 198.51.100.1/24
host_add h1 h2 n1
outside_host out1 10.100.0.14/24
endhost twin h2 mover 192.168.2.30/24 mac=fa:16:3e:00:02:30 mtu=1450
vtepd_device h2 mover 1458
ip -n "$(netns h2)" link set mover mtu 1458
ip -n "$(netns twin)" link set eth0 down
capture_start announced out1 eth0 arp
for vtep in h1 h2 n1; do cloud_vtepd $vtep '[nat]' 'sessions = 65536'; done
cloud_joined h1 h2 n1
for host in out1 red1 red2 red3 red4 red5 blue1; do serve $host; done

section "Announced when they come"
check "10.100.0.7, three times in both forms" is_announced announced 10.100.0.7 $FG1
check "10.100.0.9 by h2" is_announced announced 10.100.0.9 $FG2
check "10.100.0.20 and the router's own by n1" is_announced announced 10.100.0.20 $QG
check "10.100.0.5" is_announced announced 10.100.0.5 $QG
check "10.100.0.40" is_announced announced 10.100.0.40 $QG
capture_stop announced
check "nothing else was" capture_without announced 'arp src host 10.100.0.50 or arp src net 192.168.0.0/16'

section "Who answers for them"
capture_start wire fabric h1
for host in h1 h2 n1 out1; do capture_start "outside-$host" outside $host; done
ask_for 20 10.100.0.{7,9,20,40,5} &
others=$!
ask_for 3 10.100.0.50
wait $others
check "10.100.0.7: h1" answers 10.100.0.7 $FG1
check "10.100.0.9: h2" answers 10.100.0.9 $FG2
check "10.100.0.20: n1" answers 10.100.0.20 $QG
check "10.100.0.40: n1" answers 10.100.0.40 $QG
check "10.100.0.5: n1" answers 10.100.0.5 $QG
check "10.100.0.50 is reserved and no more: nobody" answered_by_none 10.100.0.50

# is_reached BY PORT ADDRESS: from outside, in all ways.
is_reached() {
  check "$1: ping" ping_ok out1 "$2"
  check "$1: 2 MB from it" transfer out1 get "$2" --bytes 2000000
  check "$1: 2 MB to it" transfer out1 put "$2" --bytes 2000000
  check "$1: UDP" transfer out1 ask "$2" --bytes 1000
  check "$1: it sees who asks" seen_from out1 10.100.0.14
}

# goes_out VM AS: to outside, and is seen there as this address.
goes_out() {
  check "$1: ping" ping_ok "$1" 10.100.0.14
  check "$1: 2 MB" transfer "$1" get 10.100.0.14 --bytes 2000000 --source-port 40000
  check "$1: it is seen as $2" seen_from "$1" "$2"
  check "$1: by its own port" kept_ports "$1"
}

section "Out and in, on the port's own host"
goes_out red1 10.100.0.7
is_reached red1 10.100.0.7
check "TCP out1 → red1" iperf out1 red1 10.100.0.7 --bytes 5M
check "TCP red1 → out1" iperf red1 out1 10.100.0.14 --bytes 5M
is_reached red3 10.100.0.9

section "On the node that has the router's way outside"
goes_out blue1 10.100.0.20
is_reached blue1 10.100.0.20

section "Port by port"
check "TCP 8080 leads to red4" transfer out1 get 10.100.0.40 --port 8080
check "UDP 5353 leads to red5" transfer out1 ask 10.100.0.40 --port 5353
check "the other way round not" fails transfer out1 get 10.100.0.40 --port 5353 --patience 0.5
check "nor ping" fails ping_once out1 10.100.0.40

section "From one to another"
check "red1 → red2's, on the same host" transfer red1 get 10.100.0.8
check "is seen as its own" seen_from red1 10.100.0.7
check "red1 → red3's, on another" transfer red1 get 10.100.0.9
check "is seen as its own" seen_from red1 10.100.0.7
check "red1 → its own" transfer red1 get 10.100.0.7
check "red3 → red1's" transfer red3 get 10.100.0.7
check "red1 → blue1's, which is on n1" transfer red1 get 10.100.0.20
check "red1 → the forwardings" transfer red1 get 10.100.0.40 --port 8080
check "is seen as its own" seen_from red1 10.100.0.7
check "red1 → red3 by its address inside" transfer red1 get 192.168.1.13
check "stays inside" seen_from red1 192.168.1.11

section "And from who has none"
for target in 10.100.0.7 10.100.0.9 10.100.0.20; do
  check "red4 → $target" transfer red4 get $target --connections 5 --bytes 20000
  check "is seen as the router" seen_from red4 10.100.0.5
done
check "red4 → the forwardings" transfer red4 get 10.100.0.40 --port 8080
check "red5, on n1 → 10.100.0.7" transfer red5 get 10.100.0.7
check "red5 → the forwarding to itself" transfer red5 ask 10.100.0.40 --port 5353
check "is seen as the router" seen_from red5 10.100.0.5

section "What was on the wires"
capture_stop wire
check "every length and checksum between the hosts" verify_pcap wire --at-least 0
check "what the hosts may say to each other" verify_cloud wire
for host in h1 h2 n1 out1; do
  capture_stop "outside-$host"
  check "outside, $host: lengths and checksums" verify_outside "outside-$host"
done
check "outside, h1: everybody speaks for himself" verify_cloud outside-h1 --outside fip1
check "outside, h2" verify_cloud outside-h2 --outside fip3
check "outside, n1" verify_cloud outside-n1 --outside r1 --outside central --outside services
check "red1 went out from h1 alone" capture_without outside-n1 "src host 10.100.0.7 and not dst net 10.100.0.0/27 and not dst host 10.100.0.40"

section "The port moves to h2 while out1 pings it"
capture_start moves out1 eth0 'arp or icmp'
# Not by a function: the signal must reach ping itself.
ip netns exec "$(netns out1)" ping -n -i 0.02 -W 1 10.100.0.30 >"$LAB_DIR/pings.out" &
pinging=$!
check "it is there" wait_for 10 grep -q 'icmp_seq=20 ' "$LAB_DIR/pings.out"
cloud_change '{ "ports": { "mover": { "host": "h2" } } }'
for vtep in h2 h1 n1; do cloud_ask state $vtep >"$LAB_DIR/$vtep.moved"; done
ip -n "$(netns mover)" link set eth0 down
ip -n "$(netns twin)" link set eth0 up
vm_gateways twin 192.168.2.1
for vtep in h2 h1 n1; do vtepd_fill $vtep <"$LAB_DIR/$vtep.moved"; done
moved=$(wc -l <"$LAB_DIR/pings.out")
goes_on() { test "$(wc -l <"$LAB_DIR/pings.out")" -gt $((moved + 50)); }
check "it goes on" wait_for 30 goes_on
check "announced by h2, three times in both forms" is_announced moves 10.100.0.30 $FG2
kill -INT $pinging
wait $pinging || true
capture_stop moves
check "h1 has announced nothing" capture_without moves "ether src $FG1 and arp src host 10.100.0.30 and arp dst host 10.100.0.30"
ask_for 20 10.100.0.30
check "now h2 answers" answers 10.100.0.30 $FG2
check "from the first announcement on nothing is lost" followed moves 10.100.0.30 $FG2
echo "        $(tail -n 1 "$LAB_DIR/check.out"); $(tail -n 2 "$LAB_DIR/pings.out" | head -n 1)"

section "Taken away, and given"
check "fip1 leads nowhere" api h1 PUT /v1/floating-ips/fip1 '{ "address": "10.100.0.7", "network": "public" }'
ask_for 3 10.100.0.7
check "nobody answers" answered_by_none 10.100.0.7
check "red1 is seen as the router" transfer red1 ask 10.100.0.14
check "from now on" seen_from red1 10.100.0.5
capture_start given out1 eth0 arp
check "it leads to red1 again" api h1 PUT /v1/floating-ips/fip1 '{ "address": "10.100.0.7", "network": "public", "port": "red1" }'
check "red1 is seen as 10.100.0.7" transfer red1 ask 10.100.0.14
check "at once" seen_from red1 10.100.0.7
check "announced" is_announced given 10.100.0.7 $FG1
capture_stop given
check "ping to it" ping_ok out1 10.100.0.7

section "The end"
for vtep in h1 h2 n1; do vtepd_stop $vtep; done
lab_end
