#!/usr/bin/env bash
# Two tenants with the same subnets, the same addresses, the same MACs and the same gateways, on the same two hosts: what
# one does is never seen by the other, bridged or routed.
#
#   ared1, bred1 ── h1 vtepd ══ 192.0.2.0/24 ══ h2 vtepd ── ablue2, bblue2, ared2, bred2

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

cloud < <(
  tenant() { # NAME VNI: its networks, router and ports, as documents of their own
    cat <<END
{
  "networks": {
    "$1red": {
      "segment": { "type": "vxlan", "vni": $(($2 + 1)) }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.1.0/24", "dhcp": false }, { "cidr": "2001:db8:1::/64", "ipv6_mode": "none" }]
    },
    "$1blue": {
      "segment": { "type": "vxlan", "vni": $(($2 + 2)) }, "mtu": 1450,
      "subnets": [{ "cidr": "192.168.2.0/24", "dhcp": false }, { "cidr": "2001:db8:2::/64", "ipv6_mode": "none" }]
    }
  },
  "routers": {
    "$1": {
      "interfaces": [
        { "network": "$1red", "mac": "fa:16:3e:00:01:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"] },
        { "network": "$1blue", "mac": "fa:16:3e:00:02:01", "addresses": ["192.168.2.1/24", "2001:db8:2::1/64"] }
      ]
    }
  },
  "ports": {
    "$1red1": { "network": "$1red", "host": "h1", "mac": "fa:16:3e:00:01:11", "addresses": ["192.168.1.11", "2001:db8:1::11"] },
    "$1red2": { "network": "$1red", "host": "h2", "mac": "fa:16:3e:00:01:12", "addresses": ["192.168.1.12", "2001:db8:1::12"] },
    "$1blue2": { "network": "$1blue", "host": "h2", "mac": "fa:16:3e:00:02:12", "addresses": ["192.168.2.12", "2001:db8:2::12"] }
  }
}
END
  }
  # b has two ports more, which a must not reach: an address in its red, and one in its blue.
  jq -s '.[0] * .[1] * .[2]' <(tenant a 100) <(tenant b 200) /dev/stdin <<'END'
{
  "hosts": {
    "h1": { "vtep": "192.0.2.11/24", "dvr_mac": "fa:16:3f:00:00:11" },
    "h2": { "vtep": "192.0.2.12/24", "dvr_mac": "fa:16:3f:00:00:12" }
  },
  "ports": {
    "bred7": { "network": "bred", "host": "h1", "mac": "fa:16:3e:00:01:17", "addresses": ["192.168.1.17", "2001:db8:1::17"] },
    "bblue7": { "network": "bblue", "host": "h1", "mac": "fa:16:3e:00:02:17", "addresses": ["192.168.2.17", "2001:db8:2::17"] }
  }
}
END
)

# At the end hosts: echo requests of a carry 0xaa, those of b 0xbb (behind the 8 bytes of ICMP and 16 of ping's time).
FROM_A='icmp[24:4] = 0xaaaaaaaa'
FROM_B='icmp[24:4] = 0xbbbbbbbb'

# both_ping VM ADDRESS: the end hosts of that name of both tenants at once.
both_ping() {
  local pid
  on "b$1" ping -n -q -c 10 -i 0.02 -W 1 -p bb "$2" >/dev/null &
  pid=$!
  ping_ok "a$1" "$2" -c 10 -i 0.02 -p aa && wait "$pid"
}

fabric_add 1500
host_add h1 h2
cloud_vtepd h1
cloud_vtepd h2
cloud_joined h1 h2

section "Both at once"
capture_start wire fabric h1 udp port 4789
for vm in red1 red2 blue2; do
  capture_start "a$vm" "a$vm" eth0
  capture_start "b$vm" "b$vm" eth0
done
check "same network" both_ping red1 192.168.1.12
check "other network" both_ping red1 192.168.2.12
check "and back" both_ping blue2 192.168.1.11
for tenant in a b; do
  check "IPv6 of $tenant, same network" ping_ok ${tenant}red1 2001:db8:1::12
  check "IPv6 of $tenant, other network" ping_ok ${tenant}red1 2001:db8:2::12
done
check "TCP of a" iperf ared1 ablue2 192.168.2.12 --bytes 2M
check "TCP of b" iperf bred1 bblue2 192.168.2.12 --bytes 2M
capture_stop wire
for vm in red1 red2 blue2; do
  capture_stop "a$vm"
  capture_stop "b$vm"
  check "a$vm has seen a's packets" test "$(captured "a$vm" "$FROM_A")" -ge 20
  check "and none of b's" capture_without "a$vm" "$FROM_B"
  check "b$vm has seen b's packets" test "$(captured "b$vm" "$FROM_B")" -ge 20
  check "and none of a's" capture_without "b$vm" "$FROM_A"
done
check "the wire is that of a distributed router" verify_cloud wire \
  --seen "ared1>ared2" --seen "ared1>ablue2" --seen "ablue2>ared1" --seen "bred1>bred2" --seen "bred1>bblue2"

section "What only b has, a does not reach"
check "b reaches it" ping_ok bred1 192.168.2.17
check "a does not" fails ping_once ared1 192.168.2.17
check "not by IPv6 either" fails ping_once ared1 2001:db8:2::17
check "nor within the network" fails ping_once ared1 192.168.1.17

section "Without b's router"
for vtep in h1 h2; do check "it is removed on $vtep" api $vtep DELETE /v1/routers/b; done
check "b is routed no more" fails ping_once bred1 192.168.2.12
check "b's networks are there" ping_ok bred1 192.168.1.12
check "a is routed as before" ping_ok ared1 192.168.2.12

section "The end"
vtepd_stop h1
vtepd_stop h2
lab_end
