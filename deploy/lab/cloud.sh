# shellcheck shell=bash
# A whole cloud from one description (cloud.py says what it is): its end hosts, what each vtepd is told, and the Open
# vSwitch hosts beside them.
#
#   cloud <<<'{ "hosts": …, "networks": …, "routers": …, "ports": … }'
#   cloud_of two-networks <<<'{ "ports": … }'     # the same from a part that many have, in clouds/
#   fabric_add 1600 && host_add h1 o1
#   cloud_vtepd h1        # devices, end hosts, the daemon, its state
#   cloud_ovs o1          # bridges, end hosts, flows, a router of the kernel's

# cloud <JSON: the description from now on.
cloud() {
  cat >"$LAB_DIR/cloud.json"
  jq empty "$LAB_DIR/cloud.json" || die "the cloud's description is no JSON"
}

# cloud_of NAME... <JSON: these parts (clouds/NAME.json), each put over the one before it, and what is read over all of them.
# Members of objects are joined; lists and values are replaced, and null takes a member away.
cloud_of() {
  local parts=("${@/#/$LAB_HOME/clouds/}")
  parts=("${parts[@]/%/.json}")
  cloud < <(jq -s 'reduce .[] as $part ({}; . * $part) | del(.. | nulls)' "${parts[@]}" /dev/stdin)
}

# cloud_change JSON: puts it over the description that there is.
cloud_change() {
  local changed
  changed=$(jq --argjson over "$1" '. * $over | del(.. | nulls)' "$LAB_DIR/cloud.json")
  cloud <<<"$changed"
}

# Segments, as parts of a description that take the place of others.
vxlan_segment() { jq -cn --argjson vni "$1" '{ type: "vxlan", vni: $vni, interface: null, vlan: null }'; }
vlan_segment() { jq -cn --argjson vlan "$1" '{ type: "vlan", interface: "prov0", vlan: $vlan, vni: null }'; }

# cloud_ask COMMAND ARGUMENT...: see cloud.py.
cloud_ask() { "$LAB_HOME/cloud.py" "$LAB_DIR/cloud.json" "$@"; }

# cloud_has_vlans: true if some network of it is a VLAN.
cloud_has_vlans() { jq -e 'any(.networks[]; .segment.type == "vlan")' "$LAB_DIR/cloud.json" >/dev/null; }

# cloud_vtepd HOST [LINE...]: runs vtepd there with the cloud's ports behind it; the lines are for its configuration.
cloud_vtepd() {
  local host=$1
  cloud_devices "$host"
  vtepd_start "$@"
  vtepd_fill "$host" < <(cloud_ask state "$host")
}

# cloud_joined HOST...: these vtepds know the next hops to each other, so that not even a first packet is lost.
cloud_joined() {
  local host other
  for host; do
    for other; do
      [[ $host == "$other" ]] || check "$host has found $other" wait_for 60 next_hop_found "$host" "$other"
    done
  done
}

next_hop_found() { [[ $(next_hop "$1" "$(cloud_ask hop "$1" "$2")") == reachable* ]]; } # HOST HOST

# cloud_devices HOST [OPTION...]: the devices and the end hosts (options: endhost) of a vtepd that is not started yet.
cloud_devices() {
  if [[ -n ${FABRIC_MTU:-} ]]; then vtepd_uplink "$1"; fi
  if [[ -n ${PROVIDER_MTU:-} ]]; then vtepd_provider "$1"; fi
  if [[ -n ${OUTSIDE_MTU:-} ]]; then vtepd_outside "$1"; fi
  cloud_vms vtepd_access "$@"
}

# cloud_vms COMMAND HOST [OPTION...]: builds the end hosts of a host by "COMMAND HOST VM OPTION..." (options: endhost; those
# given here win over the cloud's), and gives them the gateways as their default routes.
cloud_vms() {
  local command=$1 host=$2 vm mac mtu vlan gateways addresses options
  shift 2
  while read -r vm mac mtu vlan gateways addresses; do
    options=("mac=$mac" "mtu=$mtu")
    if [[ $vlan != - ]]; then options+=("vlan=$vlan"); fi
    if [[ $addresses != - ]]; then read -ra addresses <<<"${addresses//,/ }" && options+=("${addresses[@]}"); fi
    # shellcheck disable=SC2086 # "kernel_vm 10" is two words
    $command "$host" "$vm" "${options[@]}" "$@"
    vm_gateways "$vm" "$gateways"
  done < <(cloud_ask vms "$host")
}

# vm_gateways VM ADDRESS,...: its default routes (- for none). Where an end host has no address yet there is no way to a
# gateway either, and it finds its routes otherwise.
vm_gateways() {
  local gateway
  for gateway in ${2//,/ }; do
    [[ $gateway == - ]] || ip -n "$(netns "$1")" route replace default via "$gateway" dev eth0 2>/dev/null || true
  done
}

# vm_forget VM...: what it knows of its neighbours.
vm_forget() {
  local vm
  for vm; do ip -n "$(netns "$vm")" neigh flush dev eth0 nud all; done
}

# verify_cloud NAME [OPTION...]: the capture shows nothing that the cloud does not allow (see verify_cloud.py --help).
verify_cloud() {
  local name=$1
  shift
  "$LAB_HOME/verify_cloud.py" "$LAB_DIR/cloud.json" "$LAB_DIR/$name.pcap" "$@"
}

# ------------------------------------------------------------------------------------------- Open vSwitch

# cloud_ovs HOST: Open vSwitch there with the flows of the Neutron agents (ovs_dvr.py), its end hosts and its router, the
# host HOST-qr: the namespace that the L3 agent calls qrouter.
cloud_ovs() {
  local host=$1 arguments
  fabric_port "$host"
  ovs_vtep "$host" "$(jq -r --arg host "$host" '.hosts[$host].vtep' "$LAB_DIR/cloud.json")"
  if [[ -n ${PROVIDER_MTU:-} ]]; then provider_port "$host"; fi
  cloud_vms endhost_of "$host"
  ovs_router "$host"
  mapfile -t arguments < <(ovs_dvr vsctl "$host")
  ovs "$host" "${arguments[@]}"
  ovs_flows "$host"
}

ovs_dvr() { "$LAB_HOME/ovs_dvr.py" "$LAB_DIR/cloud.json" "$@"; }

endhost_of() { endhost "$2" "$1" "$2" "${@:3}"; } # HOST VM OPTION...: only the cable; vsctl adds it to the bridge

# ovs_router HOST: forwarding by the kernel between the qr- interfaces.
ovs_router() {
  local host=$1 router=$1-qr qr mac mtu addresses
  host_add "$router"
  ipv6_on "$router"
  on "$router" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.forwarding=1
  while read -r qr mac mtu addresses; do
    link "$router" "$qr" "$host" "$qr" "$mtu"
    mac "$router" "$qr" "$mac"
    read -ra addresses <<<"${addresses//,/ }"
    address "$router" "$qr" "${addresses[@]}"
  done < <(ovs_dvr qr "$host")
  ovs_dvr neighbours "$host" | ip -n "$(netns "$router")" -batch -
}

# ovs_flows HOST: puts all flows in place of those that are there.
ovs_flows() {
  local bridge
  for bridge in br-int br-tun br-vlan; do
    ovs_dvr flows "$1" "$bridge" |
      ovs_env "$1" ovs-ofctl -O OpenFlow13 replace-flows "unix:$LAB_DIR/ovs-$1/$bridge.mgmt" -
  done
}
