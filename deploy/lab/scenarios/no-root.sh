#!/usr/bin/env bash
# Without root: vtepd as the user nobody, with devices that need no rights (null, ring, pcap), in ordinary pages, with a
# state directory and a socket of its own. A device that does need rights ends in one line that says so.
#
#   in.pcap ─► h1 vtepd ─► out.pcap

source "$(dirname "$0")/../lib.sh"
export VTEPD_MEMORY=no-huge
export VTEPD_AS=(setpriv --reuid nobody --regid nogroup --clear-groups --)
lab_begin "$@"

device() { # HOST NAME DEVARGS
  VTEPD_DEVICES[$1]+="
[[device]]
name = \"$2\"
devargs = \"$3\"
"
}

# A hundred broadcasts as a station behind the device "in" would send them.
broadcasts() {
  /usr/bin/python3 - "$1" <<'END'
import sys
from scapy.all import ARP, Ether, wrpcap
request = ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.9")
wrpcap(sys.argv[1], [Ether(src=request.hwsrc, dst="ff:ff:ff:ff:ff:ff") / request] * 100)
END
}

moved_is() { # DEVICE rx|tx PACKETS
  equal "$3" "$(api h1 GET /v1/status/interfaces | jq ".items[] | select(.device == \"$1\").$2.packets")"
}

# ends_with WORD DEVARGS: with that device alone the daemon ends with an error that has this word.
ends_with() {
  local code=0
  vtepd_devices_clear h1
  device h1 no "$2"
  vtepd_config h1
  vtepd_run h1 >"$LAB_DIR/ended" 2>&1 || code=$?
  tail -n 1 "$LAB_DIR/ended"
  equal 1 "$code"
  tail -n 1 "$LAB_DIR/ended" | grep -q "ERROR.*$1"
}

host_add h1
chown nobody "$LAB_DIR"
cp "$VTEPD_BIN/vtepd" "$LAB_DIR" # the user nobody may not look into everybody's home
export VTEPD_PROGRAM=$LAB_DIR/vtepd
broadcasts "$LAB_DIR/in.pcap"
device h1 null "net_null0,no-rx=1"
device h1 ring "net_ring0"
device h1 in "net_pcap0,rx_pcap=$LAB_DIR/in.pcap,tx_pcap=$LAB_DIR/back.pcap"
device h1 out "net_pcap1,tx_pcap=$LAB_DIR/out.pcap"

section "Start, fill, stop"
vtepd_start h1
check "it runs as nobody" equal nobody "$(ps -o user= -p "${DAEMON_PID[h1]}")"
check "nobody has put frames into a network, so they are dropped" wait_for 3 dropped_is h1 unbound 100
vtepd_fill h1 <<'END'
{
  "interfaces": { "in": {}, "out": {}, "null": {}, "ring": {} },
  "networks": {
    "red": {
      "segment": { "type": "vxlan", "vni": 10 }, "mtu": 1500,
      "bindings": [{ "interface": "in" }, { "interface": "out" }, { "interface": "null" }]
    }
  }
}
END
vtepd_stop h1

section "Start again: the state is in force before the first packet is looked at"
vtepd_start h1
check "a hundred packets came in" wait_for 3 moved_is in rx 100
check "and left by the other devices of the network: out" wait_for 3 moved_is out tx 100
check "and null" wait_for 3 moved_is null tx 100
check "none was dropped" equal "" "$(drops h1)"
vtepd_stop h1
check "they are in the file" equal 100 "$(captured out arp and ether src 02:00:00:00:00:01)"
check "and not sent back" equal 0 "$(captured back)"

section "Devices that need rights"
check "net_af_packet: the error names the capability" ends_with CAP_NET_RAW "net_af_packet0,iface=lo"
check "net_tap: the error names the capability" ends_with CAP_NET_ADMIN "net_tap0,iface=tap0"

lab_end
