#!/usr/bin/env bash
# What was accepted survives: kill -9 right behind a 2xx, then a start; nobody fills the tables again, and the first
# packet is forwarded. The same with an orderly stop.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

state() { api "$1" GET /v1/state | jq -S .; }

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
      "hosts": ["k1"], "learning": false
    }
  },
  "ports": {
    "p1": { "network": "red", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" }
  }
}
END

section "kill -9 at once after an answer"
check "vm2's port is accepted" \
  api h1 PUT /v1/ports/p2 '{ "network": "red", "mac": "02:00:00:00:00:02", "addresses": ["10.0.0.2"], "host": "k1" }'
before=$(state h1)
vtepd_kill h1
vtepd_start h1
check "the whole state is there" equal "$before" "$(state h1)"
check "the first packet is forwarded" ping_once vm1 10.0.0.2
check "vm2 → vm1" ping_ok vm2 10.0.0.1

section "kill -9 amid writes"
# Each 2xx is noted; what was noted must be there afterwards, whole; what was refused by the kill may or may not.
accepted=$LAB_DIR/accepted
: >"$accepted"
(
  for n in $(seq 10000); do
    mac=$(printf '02:00:00:01:%02x:%02x' $((n / 256)) $((n % 256)))
    api h1 PUT "/v1/ports/n$n" '{ "network": "red", "mac": "'"$mac"'", "host": "k1" }' >/dev/null 2>&1 || break
    echo "n$n" >>"$accepted"
  done
) &
writer=$!
wait_for 20 test -s "$accepted"
some_accepted() { (($(wc -l <"$accepted") >= 50)); }
check "fifty writes are accepted" wait_for 30 some_accepted
vtepd_kill h1
wait "$writer" || true
vtepd_start h1
lost=$(comm -23 <(sort "$accepted") <(api h1 GET /v1/state | jq -r '.ports | keys[]' | sort) | wc -l)
check "none of the $(wc -l <"$accepted") accepted writes is lost" equal 0 "$lost"
check "vm1 → vm2" ping_ok vm1 10.0.0.2

section "An orderly stop"
before=$(state h1)
vtepd_stop h1
vtepd_start h1
check "the whole state is there" equal "$before" "$(state h1)"
check "the first packet is forwarded" ping_once vm1 10.0.0.2

section "The end"
vtepd_stop h1
lab_end
