# shellcheck shell=bash
# The demo's second part: a tenant with a distributed router (demo_router.json), on two hosts with vtepd (c1, c2) and one
# Linux host (k3) that has no router of its own.

build_cloud() {
  section "A tenant with a router: networks app and db, on two hosts with vtepd and a Linux host"
  cloud <"$LAB_HOME/demo_router.json"
  host_add c1 c2 k3
  cloud_vtepd c1
  cloud_vtepd c2
  fabric_port k3 192.0.2.33/24
  kernel_vtep k3 1172 192.0.2.33 flood=192.0.2.31 mtu=1450
  cloud_vms db_vm k3
  cloud_joined c1 c2
  vtepctl c1 routers list | sed 's/^/  /'
}

db_vm() { kernel_vm "$1" 1172 "${@:2}"; } # VTEP VM OPTION...

show_dhcp() {
  section "app1 forgets its address and asks for one: vtepd answers, on the host itself"
  ip -n "$(netns app1)" addr flush dev eth0
  capture_start dhcp fabric c1 'udp port 4789'
  check "dhclient gets a lease" dhclient app1
  dhclient_end app1
  capture_stop dhcp
  check "its own address" leased app1 new_ip_address 192.168.1.11
  check "the router, the MTU of the network, a name" test \
    "$(leased_all app1 new_routers new_interface_mtu new_host_name)" = "192.168.1.1 1450 app1"
  check "nothing of it was on the underlay" capture_without dhcp
}

leased_all() { # VM VARIABLE...
  local vm=$1 variable values=()
  shift
  for variable; do values+=("$(sed -n "s/^$variable=//p" "$LAB_DIR/$vm.lease")"); done
  echo "${values[*]}"
}

# one_case TEXT TO ADDRESS: pings it from app1, first packet included, and shows the first packet of it on the wire.
one_case() {
  local text=$1 to=$2 address=$3
  capture_start "case-$to" fabric c1 'udp port 4789'
  check "$text" ping_ok app1 "$address"
  capture_stop "case-$to"
}

# on_the_wire TO: one request and one answer, as tcpdump shows them: outer headers, VNI, inner frame.
on_the_wire() { capture_shows "case-$1" | head -n 4 | sed 's/^/        /'; }

show_cases() {
  section "The four ways from app1 (on c1) to another end host, and what was on the wire"
  one_case "1 same network, same host:   app2, bridged on c1" app2 192.168.1.12
  check "  not on the wire" capture_without case-app2
  one_case "2 same network, other host:  app3, VNI 1671" app3 192.168.1.13
  on_the_wire app3
  one_case "3 other network, same host:  db1, routed on c1" db1 192.168.2.11
  check "  not on the wire" capture_without case-db1
  one_case "4 other network, other host: db3, routed on c1, VNI 1172 of the network it goes to" db3 192.168.2.13
  on_the_wire db3
  check "  from the DVR MAC of c1, and back from that of c2; no gateway's MAC, no ARP for a gateway" \
    verify_cloud case-db3 --seen "app1>db3" --seen "db3>app1"
  check "TCP app1 → db3" iperf app1 db3 192.168.2.13 --time 1
  echo "        $(tail -n 1 "$LAB_DIR/check.out") Mbit/s"
}

show_traceroute() {
  section "traceroute from app1 to db3: the gateway once"
  check "two hops" goes_by_the_gateway
  sed 's/^/        /' "$LAB_DIR/check.out"
}

goes_by_the_gateway() {
  on app1 traceroute -n -q 1 -w 1 -N 1 192.168.2.13 | tee "$LAB_DIR/traceroute.out"
  equal "192.168.1.1 192.168.2.13" "$(awk 'NR > 1 { line = line (line ? " " : "") $2 } END { print line }' "$LAB_DIR/traceroute.out")"
}

show_linux_host() {
  section "db4 on the Linux host k3, which has no router: vtepd on c1 routes for it (gateway_from_underlay)"
  check "db4 → app1" ping_ok db4 192.168.1.11
  check "app1 → db4" ping_ok app1 192.168.2.14
}

show_explain() {
  section "Why does a packet go where it goes? vtepctl explain --from app1 --to db3 tcp/443"
  check "it is forwarded" explained --from app1 --to db3 tcp/443
  sed 's/^/  /' "$LAB_DIR/check.out"
  section "And a packet to 203.0.113.1, for which the router has no route"
  check "it is dropped, and the sender is told" explained --from app1 --to 203.0.113.1 tcp/443
  sed 's/^/  /' "$LAB_DIR/check.out"
}

explained() { vtepctl c1 explain "$@"; }
