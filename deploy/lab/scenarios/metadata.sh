#!/usr/bin/env bash
# Stations ask http://169.254.169.254 who they are: a real proxy answers, which looks the asker up by vtepd's API. Three
# tenants have stations with the same MAC and the same address, two of them routers with the same gateway; each gets its own
# answer, and the underlay hears nothing of it.
#
#   ared1, bred1, plain1 ── h1 vtepd ── proxy (240.0.0.2, metadata_proxy.py)
#                              ║
#                        192.0.2.0/24 ══ k2, which has a port in each network

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud <<'END'
{
  "hosts": {
    "h1": { "vtep": "192.0.2.11/24", "dvr_mac": "fa:16:3f:00:00:11" },
    "k2": { "vtep": "192.0.2.22/24", "dvr_mac": "fa:16:3f:00:00:22" }
  },
  "networks": {
    "ared": { "segment": { "type": "vxlan", "vni": 101 }, "mtu": 1450, "subnets": [{ "cidr": "192.168.1.0/24", "dhcp": false }] },
    "bred": { "segment": { "type": "vxlan", "vni": 102 }, "mtu": 1450, "subnets": [{ "cidr": "192.168.1.0/24", "dhcp": false }] },
    "plain": { "segment": { "type": "vxlan", "vni": 103 }, "mtu": 1450 }
  },
  "routers": {
    "a": { "interfaces": [{ "network": "ared", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24"] }] },
    "b": { "interfaces": [{ "network": "bred", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24"] }] }
  },
  "ports": {
    "ared1": { "network": "ared", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"] },
    "bred1": { "network": "bred", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"] },
    "plain1": { "network": "plain", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"] },
    "ared3": { "network": "ared", "host": "k2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] },
    "bred3": { "network": "bred", "host": "k2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] },
    "plain3": { "network": "plain", "host": "k2", "mac": "fa:16:3e:00:01:13", "addresses": ["192.168.1.13"] }
  }
}
END

# ask VM: the answer of the metadata service.
ask() { on "$1" curl --silent --show-error --fail --max-time 3 http://169.254.169.254/latest/meta-data; }

# knows VM FIELD WANTED: a field of the answer.
knows() { equal "$3" "$(ask "$1" | jq -r "$2")"; }

# asks_often VM: twenty times, and is always told its own.
asks_often() {
  local _
  for _ in {1..20}; do knows "$1" .port "$1" || return; done
}

# name PORT: the address by which the proxy knows it.
name() { api h1 GET /v1/metadata | jq -r --arg port "$1" '.items[] | select(.port == $port) | .address'; }

proxy_start() {
  ip netns exec "$(netns proxy)" "$LAB_HOME/metadata_proxy.py" --socket "$LAB_DIR/h1.sock" --port 8775 \
    >"$LAB_DIR/proxy.log" 2>&1 </dev/null &
  PROXY_PID=$!
  wait_for 5 listens proxy 8775
}

# bulk VM [OPTION...]: TCP between the station and the proxy's host, on the ports of the service, within what a port may send
# (limits.metadata). iperf3 does not wait for what is on its way at the end.
bulk() {
  local vm=$1 pid result
  shift
  ip netns exec "$(netns proxy)" iperf3 --server --one-off --port 8775 >/dev/null 2>&1 </dev/null &
  pid=$!
  wait_for 5 listens proxy 8775 || return
  result=$(on "$vm" iperf3 --client 169.254.169.254 --port 80 --json --connect-timeout 3000 --bytes 600K --bitrate 6M "$@") || true
  kill "$pid" 2>/dev/null || true
  wait "$pid" || true
  jq -r '.error // empty' <<<"$result"
  jq -c '.end | .sum_sent, .sum_received' <<<"$result"
  jq -e '.end.sum_received.bytes >= 500000' <<<"$result"
}

fabric_add 1500
host_add h1 k2
fabric_port k2 192.0.2.22/24
vtepd_access h1 proxy 240.0.0.2/16
cloud_vtepd h1 "[metadata]" 'device = "proxy"' 'proxy = "240.0.0.2"' "port = 8775"
proxy_start
capture_start wire fabric h1 udp port 4789
for host in proxy ared1 bred1 plain1; do capture_start $host $host eth0; done

section "By the gateway: two tenants with the same MAC and the same address"
check "the proxy has been found" wait_for 5 ask ared1
check "ared1 learns its port" knows ared1 .port ared1
check "bred1 learns its own" knows bred1 .port bred1
check "with its network" knows bred1 .network bred
check "MAC" knows bred1 .mac fa:16:3e:00:01:11
check "and addresses" knows bred1 '.addresses[]' 192.168.1.11

section "Without a router: on the link"
check "plain1 has no way there" fails ask plain1
on plain1 ip route add 169.254.169.254/32 dev eth0
check "with a route it learns its port" knows plain1 .port plain1
check "from the MAC that all hosts answer with" grep -q "lladdr 02:00:a9:fe:a9:fe" \
  <(on plain1 ip neigh show 169.254.169.254)
on ared1 ip route add 169.254.169.254/32 dev eth0
check "so does ared1, which has a router" knows ared1 .port ared1
on ared1 ip route del 169.254.169.254/32

section "All at once, and more than a segment"
asking=()
for vm in ared1 bred1 plain1; do
  asks_often $vm >"$LAB_DIR/$vm.asks" 2>&1 &
  asking+=($!)
done
for pid in "${asking[@]}"; do check "everybody is told his own each time" wait "$pid"; done
kill "$PROXY_PID"
wait "$PROXY_PID" || true # it was killed
check "600 kB from ared1 to the proxy's host" bulk ared1
check "and back" bulk ared1 --reverse
check "and to plain1" bulk plain1 --reverse
proxy_start

section "Who is who, for people"
check "vtepctl lists them" equal "ared1 bred1 plain1" \
  "$(vtepctl h1 metadata --output json | jq -r '[.[].port] | sort | join(" ")')"
check "and finds one by its name" equal bred1 \
  "$(vtepctl h1 metadata --address "$(name bred1)" --output json | jq -r '.[].port')"
check "explain says where a question goes" grep -q "to the metadata proxy by proxy" \
  <(vtepctl h1 explain --from ared1 --to 169.254.169.254 tcp/80)

section "What is not served"
before=$(drops h1)
check "ping" fails ping_once ared1 169.254.169.254
check "another port" fails on ared1 curl --silent --max-time 0.5 http://169.254.169.254:8775/
check "each is counted" drops_moved_are h1 "$before" "metadata-protocol +2"
before=$(drops h1)
address ared1 eth0 192.168.1.12/24
check "an address that is not its own" fails on ared1 curl --silent --max-time 0.5 --interface 192.168.1.12 http://169.254.169.254/
check "is counted as spoofed" drops_moved_are h1 "$before" "spoofed-address +1"
check "the proxy's device is no interface" api_refuses h1 "409 conflict /device" PUT /v1/interfaces/proxy '{}'

section "Changes"
first=$(name ared1)
check "ared without metadata" api h1 PUT /v1/networks/ared '{ "segment": { "type": "vxlan", "vni": 101 }, "mtu": 1450, "metadata": false }'
check "ared1 is told nothing" fails ask ared1
check "bred1 is" knows bred1 .port bred1
check "ared with it again" api h1 PUT /v1/networks/ared '{ "segment": { "type": "vxlan", "vni": 101 }, "mtu": 1450 }'
check "ared1 is told its port" knows ared1 .port ared1
check "by the name that it had" equal "$first" "$(name ared1)"
check "another port in its place" api h1 POST /v1/transaction '{
  "delete": { "ports": ["ared1"] },
  "put": { "ports": { "other": { "network": "ared", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11"], "interface": "ared1" } } } }'
check "is who the station is now" knows ared1 .port other
check "by another name" fails equal "$first" "$(name other)"

section "After kill -9"
names=$(api h1 GET /v1/metadata)
vtepd_kill h1
vtepd_start h1
check "bred1 is told its port again" wait_for 5 knows bred1 .port bred1
check "all have the names they had" equal "$names" "$(api h1 GET /v1/metadata)"

section "What was on the wires"
for host in proxy ared1 bred1 plain1; do
  capture_stop $host
  check "every length and checksum at $host" verify_pcap $host --at-least 0
done
check "the proxy has seen no address of a tenant's" capture_without proxy net 192.168.0.0/16
capture_stop wire
check "the underlay has heard nothing" capture_without wire

section "The end"
vtepd_stop h1
lab_end
