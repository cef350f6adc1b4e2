#!/usr/bin/env bash
# Links that go down and come back: the underlay's, an access port's, several times and while packets pass. Traffic
# comes back by itself, nothing arrives twice or wrong, and the API tells which link is down.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

set_link() { ip -n "$(netns "$1")" link set "$2" "$3"; } # HOST DEV up|down

link_is() { # DEVICE true|false
  equal "$2" "$(api h1 GET /v1/status/interfaces | jq ".items[] | select(.device == \"$1\").link_up")"
}

sent() { api h1 GET /v1/status/interfaces | jq ".items[] | select(.device == \"$1\").tx.packets"; } # DEVICE
sent_more() { (($(sent "$1") >= $2)); }                                                             # DEVICE PACKETS

fabric_add 1600
host_add h1 k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24 mac=02:00:00:00:00:01
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24 mac=02:00:00:00:00:02

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1"]
    }
  }
}
END
check "vm1 → vm2" ping_ok vm1 10.0.0.2

# flap TEXT HOST DEV DEVICE: down, no traffic; up, traffic.
flap() {
  section "$1"
  set_link "$2" "$3" down
  check "the API says that $4 is down" wait_for 3 link_is "$4" false
  check "nothing passes" fails ping_once vm1 10.0.0.2
  check "vtepd is well" vtepd_healthy h1
  set_link "$2" "$3" up
  check "the API says that $4 is up" wait_for 3 link_is "$4" true
  check "vm1 → vm2" wait_for 5 ping_once vm1 10.0.0.2
  check "vm2 → vm1" wait_for 5 ping_once vm2 10.0.0.1
}

flap "The underlay: vtepd's own interface" h1 up0 up0
flap "The underlay: the switch's port" fabric h1 up0
flap "The access port: vtepd's own interface" h1 vm1 vm1

section "Both, five times, while packets pass"
stream_start vm2
stream_send vm1 10.0.0.2 --flows 4 --rate 2000 --seconds 5 &
sending=$!
before=$(sent up0)
wait_for 5 sent_more up0 $((before + 100))
for n in 1 2 3 4 5; do
  for dev in up0 vm1; do
    set_link h1 "$dev" down
    wait_for 2 link_is "$dev" false
    set_link h1 "$dev" up
  done
  check "traffic is back, $n" wait_for 5 ping_once vm1 10.0.0.2
done
wait "$sending"
wait "${STREAM_PID[vm2]}"
check "some arrived, none twice, none wrong" jq -e '.received > 0 and .twice == 0 and .wrong == 0' "$LAB_DIR/vm2.stream"
echo "        $(<"$LAB_DIR/vm2.stream")"
check "TCP vm1 → vm2" iperf vm1 vm2 10.0.0.2

section "Counters"
before=$(sent up0)
check "vm1 → vm2" ping_ok vm1 10.0.0.2
check "what leaves is counted as before" sent_more up0 $((before + 3))

section "The end"
vtepd_stop h1
lab_end
