#!/usr/bin/env bash
# Writes while packets pass: entries come and go through the API, a thousand in a transaction and one by one, while
# numbered datagrams go both ways between two stations. None is lost, late, twice or wrong, and none goes elsewhere.
#
#   vm1, vm3 ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

SECONDS_LONG=5

# transaction FIRST put|delete: a thousand static entries of network red, half of them behind k1.
transaction() {
  jq -n --argjson first "$1" --arg verb "$2" '
    def hex: "0123456789abcdef"[. / 16 | floor:][:1] + "0123456789abcdef"[. % 16:][:1];
    def mac: "02:00:01:\(. / 65536 | floor | hex):\(. / 256 | floor % 256 | hex):\(. % 256 | hex)";
    [range($first; $first + 1000)]
    | if $verb == "delete" then { delete: { ports: map("n\(.)") } }
      else { put: { ports: (map({ key: "n\(.)", value: ({ network: "red", mac: mac }
        + if . % 2 == 0 then { host: "k1" } else { interface: "vm3" } end) }) | from_entries) } } end'
}

# Each thousand in and out again, until the time is over; prints how many writes there were.
churn_in_thousands() {
  local writes=0 first
  while (($(date +%s) < $1)); do
    for first in 0 1000 2000 3000; do
      api h1 POST /v1/transaction "@$LAB_DIR/put-$first" >/dev/null || return
    done
    for first in 0 1000 2000 3000; do
      api h1 POST /v1/transaction "@$LAB_DIR/delete-$first" >/dev/null || return
    done
    writes=$((writes + 8000))
  done
  echo "$writes"
}

churn_one_by_one() {
  local writes=0
  while (($(date +%s) < $1)); do
    api h1 PUT /v1/ports/single '{ "network": "red", "mac": "02:00:02:00:00:01", "interface": "vm3" }' >/dev/null || return
    api h1 PUT /v1/ports/single '{ "network": "red", "mac": "02:00:02:00:00:01", "host": "k1" }' >/dev/null || return
    api h1 PUT /v1/networks/other '{ "segment": { "type": "vxlan", "vni": 11 }, "hosts": ["k1"] }' >/dev/null || return
    api h1 DELETE /v1/networks/other >/dev/null || return
    api h1 DELETE /v1/ports/single >/dev/null || return
    writes=$((writes + 5))
  done
  echo "$writes"
}

fabric_add 1600
host_add h1 k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24 mac=02:00:00:00:00:01
vtepd_access h1 vm3 10.0.0.3/24
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24 mac=02:00:00:00:00:02
for first in 0 1000 2000 3000; do
  for verb in put delete; do transaction "$first" "$verb" >"$LAB_DIR/$verb-$first"; done
done

vtepd_start h1
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "vm1": {}, "vm3": {} },
  "hosts": { "k1": { "vtep": "192.0.2.21" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500,
      "bindings": [{ "interface": "vm1" }, { "interface": "vm3" }], "hosts": ["k1"]
    }
  },
  "ports": {
    "p1": { "network": "red", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" },
    "p2": { "network": "red", "mac": "02:00:00:00:00:02", "addresses": ["10.0.0.2"], "host": "k1" }
  }
}
END
check "vm1 → vm2" ping_ok vm1 10.0.0.2

section "Two streams of 2000 datagrams per second, each of eight flows, for $SECONDS_LONG seconds of writes"
before=$(drops h1)
capture_start elsewhere vm3 eth0 udp port 7000
stream_start vm1
stream_start vm2
until=$(($(date +%s) + SECONDS_LONG))
churn_in_thousands "$until" >"$LAB_DIR/thousands" &
thousands=$!
churn_one_by_one "$until" >"$LAB_DIR/singles" &
singles=$!
stream_send vm1 10.0.0.2 --flows 8 --rate 2000 --seconds "$SECONDS_LONG" &
there=$!
stream_send vm2 10.0.0.1 --flows 8 --rate 2000 --seconds "$SECONDS_LONG" &
back=$!
check "every transaction of a thousand was accepted" wait "$thousands"
check "every single write was accepted" wait "$singles"
wait "$there" "$back"
check "vm1 → vm2: all there, in order, nothing else" stream_whole vm2
check "vm2 → vm1: all there, in order, nothing else" stream_whole vm1
capture_stop elsewhere
check "a neighbour of vm1 has seen none of it" capture_without elsewhere
check "nothing was dropped" drops_moved_are h1 "$before" ""
echo "        $(<"$LAB_DIR/thousands") entries written in thousands, $(<"$LAB_DIR/singles") requests of one"
check "of the entries none is left" equal 2 "$(api h1 GET /v1/state | jq '.ports | length')"

section "The end"
vtepd_stop h1
lab_end
