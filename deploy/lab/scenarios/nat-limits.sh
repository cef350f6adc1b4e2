#!/usr/bin/env bash
# Two tenants with the same addresses behind one NAT gateway, and what one of them may take: sessions, new ones in a second,
# ports. A full session table and an address without a port left. Who is refused hears it (ICMP 3/13), it is counted and
# told as an event; who is established loses nothing, and nothing leaves untranslated.
#
#   a1 ── VLAN 20 (acme) ──┐
#                          ├─ g1 vtepd ── outside, VLAN 100 ── out1 10.100.0.14, .15
#   b1 ── VLAN 30 (beta) ──┘   10.100.0.5 for acme, .6 for beta

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud_of gateway <<'END'
{
  "tenants": { "acme": { "nat": {} }, "beta": { "nat": {} } },
  "networks": {
    "public": { "segment": { "type": "vlan", "vlan": 100 } },
    "lan2": {
      "segment": { "type": "vlan", "interface": "prov0", "vlan": 30 }, "mtu": 1500,
      "subnets": [{ "cidr": "192.168.50.0/24", "dhcp": false }]
    }
  },
  "routers": {
    "r1": { "tenant": "acme" },
    "r2": {
      "distributed": false, "tenant": "beta",
      "interfaces": [{ "network": "lan2", "mac": "fa:16:3e:00:50:01", "addresses": ["192.168.50.1/24"] }],
      "external_gateway": {
        "network": "public", "gateways": [{ "mac": "fa:16:3e:00:64:06", "addresses": ["10.100.0.6/24"] }]
      }
    }
  }
}
END

SESSIONS=3000 # of the only worker

# may TENANT LIMITS: what a tenant may take from now on, with no session of anybody's.
may() { api g1 PUT "/v1/tenants/$1" "{ \"nat\": $2 }" && api g1 DELETE '/v1/sessions?all=true'; }

# floods KIND ADDRESS PORT OPTION...: a1 opens so many sessions.
floods() { on a1 "$LAB_HOME/new_flows.py" --gateway fa:16:3e:00:50:01 --source 192.168.50.11 --source 192.168.50.12 "$@"; }

# refused REASON COMMAND...: it succeeds, drops of this reason are counted, and a1 hears it.
refused() {
  local reason=$1 before
  shift
  before=$(dropped g1 "$reason")
  capture_start refused a1 eth0 'icmp[icmptype] = icmp-unreach and icmp[icmpcode] = 13 and src host 192.168.50.1'
  "$@" || return
  wait_for 5 more_drops g1 "$reason" "$before" || return
  capture_stop refused
  echo "$(captured refused) times administratively prohibited"
  test "$(captured refused)" -gt 0 && verify_pcap refused --at-least 0
}

# well HOST: how many of its last transfer went well.
well() { transferred "$1" .well; }

# some_transfers HOST KIND ADDRESS...: as many as can, however many fail.
some_transfers() { transfer "$@" || true; }

# told KIND [JQ]: the event has come, and fits.
told() { grep '^data:' "$LAB_DIR/events.serve" | cut -c 6- | jq -es --arg kind "$1" "any(.[]; .kind == \$kind and (${2:-true}))" >/dev/null; }
is_told() { wait_for 5 told "$@"; }

provider_add 1500
outside_add 1500
host_add g1
lan_host a1 20 192.168.50.1 192.168.50.11/24 192.168.50.12/24
lan_host b1 30 192.168.50.1 192.168.50.11/24
outside_host out1 vlan=100 10.100.0.14/24 10.100.0.15/24
cloud_vtepd g1 '[nat]' "sessions = $SESSIONS"
serve out1
hear() { serve_by events g1 curl -sN --unix-socket "$LAB_DIR/g1.sock" http://vtepd/v1/events; }
hear
capture_start outside outside g1
check "a1 is acme's" wait_for 5 ping_once a1 10.100.0.14
check "b1 is beta's" wait_for 5 ping_once b1 10.100.0.14
check "a1 is seen as acme" transfer a1 ask 10.100.0.14
check "it is" seen_from a1 10.100.0.5
check "b1, with the same address, as beta" transfer b1 ask 10.100.0.14
check "it is" seen_from b1 10.100.0.6

section "Sessions of a tenant"
check "acme may have 100" may acme '{ "sessions": 100 }'
check "a1 holds 80" hold_start a1 10.100.0.14 --connections 80
check "of 50 more some are refused" refused nat-subscriber-sessions some_transfers a1 get 10.100.0.14 --connections 50 --bytes 1000 --patience 5
check "20 were not" equal 20 "$(well a1)"
check "those refused have been told at once" grep -q 'Errno 113' <(transferred a1 .error)
check "the limit is told" is_told nat-tenant-limit '.tenant == "acme" and .limit == "sessions"'
check "beta has 300 beside" transfer b1 get 10.100.0.14 --connections 300 --bytes 1000
check "vtepctl nat tenants shows it" grep -qE '^acme +100 ' <(vtepctl g1 nat tenants)
check "those that a1 holds are alive" hold_end a1

section "Ports of a tenant"
check "acme may have 50" may acme '{ "ports": 50 }'
check "of 60 some are refused" refused nat-subscriber-ports some_transfers a1 ask 10.100.0.14 --connections 60 --source-port 20000 --patience 2
check "50 were not" equal 50 "$(well a1)"
check "one port for many others: no new one is needed" transfer a1 ask 10.100.0.14 10.100.0.15 --source-port 20000

section "A flood of SYNs by a tenant who may open 200 in a second"
check "acme may" may acme '{ "sessions_per_second": 200 }'
stream_start out1
stream_send b1 10.100.0.14 --flows 8 --rate 1000 --seconds 3 &
sender=$!
check "20,000 at ten thousand a second" refused nat-subscriber-rate floods syn 10.100.0.14 9 --flows 20000
wait $sender
check "beta has lost nothing" stream_whole out1
check "the limit is told" is_told nat-tenant-limit '.tenant == "acme" and .limit == "sessions_per_second"'
check "no more than it may were opened" test "$(sessions g1 router=r1 | wc -l)" -le 900

section "The session table is full"
check "acme may have all" may acme '{}'
check "b1 holds 20" hold_start b1 10.100.0.14 --connections 20
stream_start out1 7001
on b1 "$LAB_HOME/stream.py" --port 7001 send 10.100.0.14 --flows 8 --rate 1000 --seconds 4 &
sender=$!
beta_streams() { test "$(sessions g1 'router=r2&protocol=udp' | wc -l)" -ge 8; }
check "and sends" wait_for 5 beta_streams
check "a1 opens ten times as many as there is room for" refused nat-sessions-full floods udp 10.100.0.15 9 --flows $((10 * SESSIONS))
check "there is no room" equal $SESSIONS "$(api g1 GET /v1/tables | jq '.items[] | select(.name == "nat_sessions").used')"
check "for nobody: a new one of b1 is told so" transfer_fails 'Errno 113' b1 get 10.100.0.14 --patience 5
wait $sender
check "but what b1 has sent has arrived whole" stream_whole out1
check "it is told" is_told nat-sessions-full
check "acme's are ended" api g1 DELETE '/v1/sessions?router=r1'
check "b1 opens again" transfer b1 ask 10.100.0.14
check "what b1 held was alive all the time" hold_end b1

section "No port left"
vtepd_stop g1
sed -i "s/^sessions = .*/sessions = 80000/" "$LAB_DIR/g1.toml"
vtepd_start g1
serve_end events
hear
check "acme may have more than there are" may acme '{ "ports": 100000 }'
check "a1 gets out" wait_for 5 ping_once a1 10.100.0.14
check "a1 holds 5" hold_start a1 10.100.0.14 --connections 5
check "it opens more than an address has ports" refused nat-ports-exhausted floods udp 10.100.0.15 9 --flows 66000 --rate 20000
ports_left() { api g1 GET /v1/nat/pools | jq '.items[] | select(.router == "r1").ports[] | select(.protocol == "udp").free'; }
check "but for those below 1024, which are for such" equal 1023 "$(ports_left)"
check "vtepctl nat pools shows it" grep -q ' 10.100.0.5 .* udp 1023 ' <(vtepctl g1 nat pools)
check "it is told" is_told nat-pool-exhausted '.router == "r1" and .address == "10.100.0.5" and .protocol == "udp"'
check "to others there is a port still: it is shared" transfer a1 ask 10.100.0.14 --source 192.168.50.12 --source-port 60000
check "sessions show that" equal true "$(sessions g1 'inside=192.168.50.12&inside_port=60000&remote=10.100.0.14' | jq .shared_port)"
check "b1 has an address of its own" transfer b1 get 10.100.0.15
check "what a1 holds is alive" hold_end a1
capture_stop outside
check "everything outside was translated" verify_cloud outside --outside r1 --outside r2

section "The end"
vtepd_stop g1
lab_end
