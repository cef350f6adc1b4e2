# shellcheck shell=bash
# The demo's third part: the tenant of the second goes outside (demo_outside.json). app1 has a floating IP, which its own host c1
# translates; the others share the router's address, which c2 does. out1 is a Linux host outside.

# Before the cloud: each vtepd gets a device there.
build_outside() {
  outside_add 1500
  outside_host out1 10.100.0.14/24
}

open_outside() {
  section "A way outside for the router, and a floating IP for app1: deploy/lab/demo_outside.json"
  cloud_change "$(<"$LAB_HOME/demo_outside.json")"
  vtepd_fill c1 < <(cloud_ask state c1)
  vtepd_fill c2 < <(cloud_ask state c2)
  serve out1
  serve app1
  vtepctl c1 floating-ips list | sed 's/^/  /'
}

# outside_case NAME TEXT COMMAND...: a check, and the packets of it between the hosts and outside.
outside_case() {
  local name=$1
  shift
  capture_start "$name-between" fabric c1 'udp port 4789'
  capture_start "$name-c1" outside c1 'icmp'
  capture_start "$name-c2" outside c2 'icmp'
  check "$@"
  capture_stop "$name-between"
  capture_stop "$name-c1"
  capture_stop "$name-c2"
}

# shown CAPTURE: its first packet, as tcpdump shows it: without the time, and a tunnel packet in two lines.
shown() {
  capture_shows "$1" | head -n "${2:-1}" | sed 's/^[0-9:.]* //; s/^/        /'
}

show_snat() {
  section "app2 has no floating IP: by the central port of its network, c1 → c2, and out as the router"
  outside_case snat "app2 pings out1" ping_ok app2 10.100.0.14
  echo "        between c1 and c2, VNI 1671, from the DVR MAC of c1 to the central port:"
  shown snat-between 2
  echo "        outside, from c2:"
  shown snat-c2
  check "  nothing left c1 for outside" capture_without snat-c1
  check "a megabyte down, compared by its SHA-256" transfer app2 get 10.100.0.14
  check "out1 has seen the router" seen_from app2 10.100.0.5
  check "what nobody inside has asked for does not come in" fails opens out1 10.100.0.5 22
  check "the way" hops_are app2 10.100.0.14 "192.168.1.1 192.168.1.2 10.100.0.14"
}

show_floating() {
  section "app1 has 10.100.0.7: out and in by its own host, c1"
  outside_case floating "app1 pings out1" ping_ok app1 10.100.0.14
  echo "        outside, from c1:"
  shown floating-c1
  check "  nothing of it was between the hosts" capture_without floating-between
  check "out1 reaches it by that address" ping_ok out1 10.100.0.7
  check "a megabyte from it" transfer out1 get 10.100.0.7
  check "app1 has seen out1 itself" seen_from out1 10.100.0.14
  check "app2 reaches it by that address too" transfer app2 get 10.100.0.7
  check "nothing that is inside was seen outside" verify_cloud floating-c1 --outside fip1
}

show_sessions() {
  section "What c2 translates: vtepctl sessions list --remote 10.100.0.14"
  check "a connection of app3 holds, from port 40000" hold_start app3 10.100.0.14 --source-port 40000
  check "it is listed" lists_session 192.168.1.13:40000
  sed 's/^/  /' "$LAB_DIR/check.out"
  check "it is alive" hold_end app3
}

lists_session() { vtepctl c2 sessions list --remote 10.100.0.14 --protocol tcp | tee "$LAB_DIR/sessions.out" && grep -q "$1" "$LAB_DIR/sessions.out"; }

show_explain_outside() {
  section "Why does it go so? vtepctl explain --from app3 --to 10.100.0.14 tcp/443, on c2"
  check "it is translated, in a new session" explains_translation
  grep -v '^  *[0-9a-f]\{4\}  ' "$LAB_DIR/check.out" | sed 's/^/  /'
}

explains_translation() { vtepctl c2 explain --from app3 --to 10.100.0.14 tcp/443 | tee "$LAB_DIR/explain.out" && grep -q '192.168.1.13:.* becomes 10.100.0.5:' "$LAB_DIR/explain.out"; }
