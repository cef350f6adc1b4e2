#!/usr/bin/env bash
# Two workers. First on devices with one queue: software spreads the flows, and one worker sends for both. Then on
# devices with a queue for each. Either way both work, and no flow is reordered.
#
#   vm1 ── h1 vtepd (2 workers) ══ 192.0.2.0/24 ══ k1 (kernel) ── vm2
#
# TCP would hide a reordered packet; numbered UDP datagrams (stream.py) do not.

source "$(dirname "$0")/../lib.sh"
export VTEPD_CORES='[0, 1]'
lab_begin "$@"
(($(nproc) > 1)) || die "two workers need two cores"

# The number of packets that each worker has taken, one per line.
taken() { api h1 GET /v1/workers | jq '.items[].packets'; }

# both_took BEFORE LEAST: both workers have taken at least so many packets since.
both_took() {
  paste <(echo "$1") <(taken) | awk -v least="$2" '
    { print "worker " NR - 1 " took " $2 - $1; if ($2 - $1 < least) few = 1 }
    END { exit few || NR != 2 }'
}

traffic() {
  local before
  before=$(taken)
  check "ping vm1 → vm2" ping_ok vm1 10.0.0.2
  check "ping vm2 → vm1" ping_ok vm2 10.0.0.1
  check "TCP vm1 → vm2, eight connections" iperf vm1 vm2 10.0.0.2 --parallel 8
  check "TCP vm2 → vm1, eight connections" iperf vm1 vm2 10.0.0.2 --parallel 8 --reverse
  # With two cores for all, TCP takes a worker's core away at times and fills the rings; the numbered flows do not.
  full_before="$(dropped h1 hand-off-full) $(dropped h1 transmit-full)"
  stream_start vm2
  stream_send vm1 10.0.0.2 --flows 16 --rate 5000
  check "sixteen flows vm1 → vm2: all there, each in its order" stream_whole vm2
  stream_start vm1
  stream_send vm2 10.0.0.1 --flows 16 --rate 5000
  check "sixteen flows vm2 → vm1: all there, each in its order" stream_whole vm1
  check "both workers have done their share" both_took "$before" 1000
  check "no queue between them was full meanwhile" equal "$full_before" "$(dropped h1 hand-off-full) $(dropped h1 transmit-full)"
}

state() {
  cat <<'END'
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
}

section "One queue in each device"
fabric_add 1600
host_add h1 k1
vtepd_uplink h1
vtepd_access h1 vm1 10.0.0.1/24
fabric_port k1 192.0.2.21/24
kernel_vtep k1 10 192.0.2.21 flood=192.0.2.11
kernel_vm k1 10 vm2 10.0.0.2/24
vtepd_start h1
vtepd_fill h1 < <(state)
traffic
vtepd_stop h1

section "A queue for each worker"
export VTEPD_QUEUES=2
vtepd_devices_clear h1
vtepd_device h1 up0 "$FABRIC_MTU"
vtepd_device h1 vm1 1508
vtepd_start h1
check "two receive queues" equal "2 2" "$(grep -o 'rx_queues=[0-9]' "$LAB_DIR/h1.log" | tail -n 2 | cut -d= -f2 | paste -sd' ')"
traffic

section "The end"
vtepd_stop h1
lab_end
