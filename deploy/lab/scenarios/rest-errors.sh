#!/usr/bin/env bash
# Requests that must be refused: the answer is a problem document that names the field, and the state is as before.
#
#   vm1 ── h1 vtepd ══ 192.0.2.0/24

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

state() { api h1 GET /v1/state | jq -S .; }

# refused TEXT "STATUS CODE FIELD" METHOD PATH BODY: refused like that, and nothing has changed.
refused() { check "$1: $2" refused_without_trace "${@:2}"; }

refused_without_trace() { api_refuses h1 "$@" && equal "$before" "$(state)"; }

fabric_add 1600
host_add h1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24

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
  },
  "ports": {
    "p1": { "network": "red", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" }
  }
}
END
before=$(state)

section "Not understood"
refused "no JSON" "400 malformed-json -" PUT /v1/networks/blue '{ "segment": '
refused "a field that does not exist" "422 invalid /colour" PUT /v1/networks/blue '{ "segment": { "type": "vxlan", "vni": 11 }, "colour": 1 }'
refused "no segment" "422 invalid (whole)" PUT /v1/networks/blue '{ "mtu": 1500 }'
refused "VNI 0" "422 invalid /segment/vni" PUT /v1/networks/blue '{ "segment": { "type": "vxlan", "vni": 0 } }'
refused "VNI 2^24" "422 invalid /segment/vni" PUT /v1/networks/blue '{ "segment": { "type": "vxlan", "vni": 16777216 } }'
refused "a MAC that is a group" "422 invalid /mac" PUT /v1/ports/p2 '{ "network": "red", "mac": "01:00:5e:00:00:01", "host": "k1" }'
refused "VLAN 4095" "422 invalid /bindings/0/vlan" PUT /v1/networks/blue \
  '{ "segment": { "type": "vxlan", "vni": 11 }, "bindings": [{ "interface": "vm1", "vlan": 4095 }] }'
refused "no such path" "404 unknown-path -" PUT /v1/nonsense/1 '{}'
refused "no such method" "405 method-not-allowed -" POST /v1/networks/red '{}'

section "Contradictions"
refused "a VNI that is taken" "409 conflict /segment/vni" PUT /v1/networks/blue '{ "segment": { "type": "vxlan", "vni": 10 } }'
refused "a binding that is taken" "409 conflict /bindings/0" PUT /v1/networks/blue \
  '{ "segment": { "type": "vxlan", "vni": 11 }, "bindings": [{ "interface": "vm1" }] }'
refused "a MAC twice in a network" "409 conflict /mac" PUT /v1/ports/p2 '{ "network": "red", "mac": "02:00:00:00:00:01", "host": "k1" }'
refused "a VTEP address of another host" "409 conflict /vtep" PUT /v1/hosts/k2 '{ "vtep": "192.0.2.21" }'
refused "an MTU that the tunnel cannot carry" "409 conflict /mtu" PUT /v1/networks/blue \
  '{ "segment": { "type": "vxlan", "vni": 11 }, "mtu": 1551 }'

section "References"
refused "a port of no network" "422 unknown-reference /network" PUT /v1/ports/p2 '{ "network": "blue", "mac": "02:00:00:00:00:02", "host": "k1" }'
refused "a port on no host" "422 unknown-reference /host" PUT /v1/ports/p2 '{ "network": "red", "mac": "02:00:00:00:00:02", "host": "k9" }'
refused "an interface without a device" "422 unknown-reference /device" PUT /v1/interfaces/eth7 '{ "device": "eth7" }'
refused "a network in use" "409 in-use -" DELETE /v1/networks/red ''
refused "what is not there" "404 not-found -" DELETE /v1/networks/blue ''

section "Whole or not at all"
refused "a transaction whose second write is wrong" "409 conflict /segment/vni" POST /v1/transaction '{
  "put": { "networks": {
    "blue": { "segment": { "type": "vxlan", "vni": 11 } },
    "green": { "segment": { "type": "vxlan", "vni": 10 } }
  } }
}'
refused "a transaction with a deletion that leaves a port without its network" "409 in-use -" POST /v1/transaction \
  '{ "put": { "hosts": { "k2": { "vtep": "192.0.2.22" } } }, "delete": { "networks": ["red"] } }'
refused "a state that contradicts itself" "422 unknown-reference /network" PUT /v1/state \
  '{ "ports": { "p1": { "network": "nowhere", "mac": "02:00:00:00:00:01" } } }'

section "Dry run"
check "a good write as a dry run tells the difference" api h1 PUT '/v1/networks/blue?dry_run=true' '{ "segment": { "type": "vxlan", "vni": 11 } }'
check "and changes nothing" equal "$before" "$(state)"

section "The end"
vtepd_stop h1
lab_end
