#!/usr/bin/env bash
# NAT by two workers, each with sessions of its own: what comes back may land on the other one, which hands it over. First on
# devices with one queue, where software spreads the flows; then on devices with a queue for each worker. Either way no flow is
# lost or reordered, hundreds of connections are whole, and packets cross from worker to worker.
#
#   c1, c2 ── VLAN 20 ── g1 vtepd (2 workers) ── outside ── out1 10.100.0.14
#                         10.100.0.5; c2 is 10.100.0.20 too
#
# An address inside belongs to one worker with all its sessions, so c1 has sixteen.
#
# Both workers share the cores with everything else here: this proves what is right, not what is fast.

source "$(dirname "$0")/../lib.sh"
export VTEPD_CORES='[0, 1]'
lab_begin "$@"
(($(nproc) > 1)) || die "two workers need two cores"

cloud_of gateway <<'END'
{
  "floating-ips": { "fip2": { "address": "10.100.0.20", "network": "public", "router": "r1", "fixed_address": "192.168.50.12" } }
}
END

taken_over() { api g1 GET /v1/workers | jq '[.items[].stages[] | select(.stage == "take-over").packets] | add'; }
more_taken_over() { test "$(taken_over)" -ge $(($1 + $2)); } # BEFORE LEAST

# by_worker: how many sessions each has, "worker count" a line.
by_worker() { sessions g1 "protocol=$1" | jq -rs 'group_by(.worker)[] | "\(.[0].worker) \(length)"' | tee /dev/stderr; }
both_have() { by_worker "$1" | awk -v least="$2" '$2 >= least { n++ } END { exit n != 2 }'; } # PROTOCOL LEAST

SOURCES=()
for last in {101..116}; do SOURCES+=("--source=192.168.50.$last"); done

traffic() {
  local before
  before=$(taken_over)
  check "ping" ping_ok c1 10.100.0.14
  check "ping by floating IP" ping_ok out1 10.100.0.20
  check "TCP up, eight connections" iperf c1 out1 10.100.0.14 --parallel 8
  check "TCP down, eight connections" iperf c1 out1 10.100.0.14 --parallel 8 --reverse
  check "300 connections, whole" transfer c1 get 10.100.0.14 --connections 300 --bytes 20000 "${SOURCES[@]}"
  check "of one address" seen_from c1 10.100.0.5
  check "200 by floating IP" transfer out1 get 10.100.0.20 --connections 200 --bytes 20000
  check "UDP from 300 ports" transfer c1 ask 10.100.0.14 --connections 300 --at-once 100 "${SOURCES[@]}"
  check "ICMP errors find their way" transfer_fails 'Connection refused' c1 ask 10.100.0.14 --port 9
  check "32 connections are held" hold_start c1 10.100.0.14 --connections 32 "${SOURCES[@]}"
  stream_start out1
  stream_send c1 10.100.0.14 --flows 16 --rate 3000
  check "sixteen flows out: all there, each in its order" stream_whole out1
  stream_start c2
  stream_send out1 10.100.0.20 --flows 16 --rate 3000
  check "sixteen flows in by floating IP: the same" stream_whole c2
  check "what held is alive" hold_end c1
  check "packets have crossed from worker to worker" more_taken_over "$before" 100
  for protocol in tcp udp; do check "both workers have sessions of $protocol" both_have $protocol 50; done
}

section "One queue in each device"
provider_add 1500
outside_add 1500
host_add g1
lan_host c1 20 192.168.50.1 192.168.50.11/24 192.168.50.{101..116}/24
lan_host c2 20 192.168.50.1 192.168.50.12/24
outside_host out1 10.100.0.14/24
cloud_vtepd g1 '[nat]' 'sessions = 65536'
serve out1
serve c2
capture_start outside outside g1
traffic
vtepd_stop g1

section "A queue for each worker"
export VTEPD_QUEUES=2
vtepd_devices_clear g1
vtepd_device g1 prov0 "$PROVIDER_MTU"
vtepd_device g1 ext0 "$OUTSIDE_MTU"
vtepd_start g1 '[nat]' 'sessions = 65536'
check "two receive queues" equal "2 2" "$(grep -o 'rx_queues=[0-9]' "$LAB_DIR/g1.log" | tail -n 2 | cut -d= -f2 | paste -sd' ')"
traffic
capture_stop outside
check "everything outside was translated" verify_cloud outside --outside r1 --outside fip2

section "The end"
vtepd_stop g1
lab_end
