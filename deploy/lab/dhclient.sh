# shellcheck shell=bash
# End hosts that ask for their addresses with dhclient.

# bare_access HOST VM OPTION...: an end host of a vtepd without addresses, and with the usual MTU of Ethernet.
bare_access() {
  local option options=()
  for option in "${@:3}"; do
    if [[ $option == mac=* ]]; then options+=("$option"); fi
  done
  vtepd_access "$1" "$2" "${options[@]}"
}

# dhclient VM [OPTION...]: once; its lease is $LAB_DIR/VM.lease afterwards, what it says VM.dhclient.
dhclient() {
  local vm=$1
  shift
  dhclient_conf
  rm -f "$LAB_DIR/$vm.lease"
  on "$vm" dhclient -1 -v -cf "$LAB_DIR/dhclient.conf" -lf "$LAB_DIR/$vm.leases" \
    -pf "$LAB_DIR/$vm.pid" -sf "$LAB_HOME/dhcp_client.sh" -e LEASE="$LAB_DIR/$vm.lease" "$@" eth0 2>&1 | tee "$LAB_DIR/$vm.dhclient"
  [[ -s $LAB_DIR/$vm.lease ]]
}

dhclient_conf() {
  cat >"$LAB_DIR/dhclient.conf" <<'END'
timeout 6;
retry 1;
initial-interval 1;
option classless-static-routes code 121 = array of unsigned integer 8;
option ms-classless-static-routes code 249 = array of unsigned integer 8;
request subnet-mask, routers, domain-name-servers, domain-name, host-name, interface-mtu, ntp-servers,
  classless-static-routes, ms-classless-static-routes, dhcp6.name-servers, dhcp6.domain-search;
END
}

# dhclient_end VM: ends the one that keeps the lease.
dhclient_end() { if [[ -s $LAB_DIR/$1.pid ]]; then kill "$(<"$LAB_DIR/$1.pid")" || true; fi; }

# leased VM VARIABLE VALUE
leased() { equal "$3" "$(sed -n "s/^$2=//p" "$LAB_DIR/$1.lease")"; }
