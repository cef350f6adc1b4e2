#!/usr/bin/env bash
# What bad-packets.sh does, over an IPv6 underlay: extension headers in place of options and fragments, no header
# checksum, and a UDP checksum that may be zero all the same. The cases: deploy/lab/send.py --vtep :: --list.
#
#   vm1 ── h1 vtepd ══ 2001:db8::/64 ╦ k1 (kernel, and send.py) ── vm2
#                                    ╚ k2 (a name only)

source "$(dirname "$0")/../lib.sh"
lab_begin "$@"

send() { on k1 "$LAB_HOME/send.py" --to "$to" --source 2001:db8::21 --vtep 2001:db8::11 "$@"; }

fabric_add 1500
host_add h1 k1
ipv6_on k1
fabric_port h1
vtepd_tap h1 up0
vtepd_access h1 vm1 10.0.0.1/24 mac=02:00:00:00:00:01 mtu=1400
fabric_port k1 2001:db8::21/64
kernel_vtep k1 10 2001:db8::21 flood=2001:db8::11 mtu=1400
kernel_vm k1 10 vm2 10.0.0.2/24 mac=02:00:00:00:00:02 mtu=1400

vtepd_start h1
vtepd_plug h1 up0
vtepd_fill h1 <<'END'
{
  "interfaces": { "up0": { "addresses": ["2001:db8::11/64"] }, "vm1": {} },
  "hosts": { "k1": { "vtep": "2001:db8::21" }, "k2": { "vtep": "2001:db8::22" } },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1400, "bindings": [{ "interface": "vm1" }],
      "hosts": ["k1"]
    }
  },
  "ports": {
    "p1": { "network": "red", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" },
    "p2": { "network": "red", "mac": "02:00:00:00:00:02", "addresses": ["10.0.0.2"], "host": "k1" },
    "p3": { "network": "red", "mac": "02:00:00:00:00:03", "addresses": ["10.0.0.3"], "host": "k2" }
  }
}
END
check "vm1 → vm2" wait_for 3 ping_once vm1 10.0.0.2
to=$(mac h1 tap-up0)

section "Odd, and forwarded"
capture_start forwarded vm1 eth0 icmp
forwarded() { wait_for 3 capture_has forwarded "$1"; }
capture_has() { test "$(captured "$1" 'icmp[icmptype] = icmp-echo')" -ge "$2"; }
count=0
before=$(drops h1)
while read -r case; do
  count=$((count + 1))
  send "$case"
  check "$case" forwarded $count
done <<'END'
good
reserved-bits
outer-options
no-udp-checksum
END
capture_stop forwarded
check "nothing was dropped" drops_moved_are h1 "$before" ""

section "Bad, and dropped under its own reason"
capture_start leaked vm1 eth0
while read -r case reason; do
  before=$(drops h1)
  send "$case"
  check "$case: $reason" wait_for 2 drops_moved_are h1 "$before" "$reason +1"
done <<'END'
unknown-vni            unknown-vni
unknown-vtep           unknown-vtep
own-address            own-packet
multicast-source       outer-source
other-destination      outer-destination
other-mac              other-mac
wrong-port             udp-port
other-protocol         underlay-protocol
no-i-flag              vxlan-flags
outer-fragment         outer-fragment
outer-length           outer-malformed
outer-version          outer-malformed
udp-length             udp-malformed
udp-checksum           udp-checksum
no-vxlan-header        udp-malformed
inner-truncated        inner-truncated
inner-vlan             unexpected-vlan-tag
inner-source-group     invalid-source-mac
same-port              same-port
split-horizon          split-horizon
loop                   loop
congestion-on-not-ect  ecn-ce-on-not-ect
END
capture_stop leaked
check "vm1 has seen none of them" capture_without leaked
check "and good packets still pass" ping_ok vm1 10.0.0.2

section "The end"
vtepd_stop h1
lab_end
