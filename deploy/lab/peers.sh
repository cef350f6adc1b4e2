# shellcheck shell=bash
# The VTEPs that vtepd talks to: the Linux kernel's, and Open vSwitch's.

# kernel_vtep HOST VNI LOCAL [port=4789] [flood=ADDRESS,...] [group=ADDRESS] [learning=on|off] [mtu=1500]
# A bridge br<VNI> with the tunnel vxlan<VNI> in it, on a host whose up0 has the address LOCAL.
# BUM frames go to each flood address (ingress replication) or to the multicast group.
kernel_vtep() {
  local host=$1 vni=$2 local_addr=$3 port=4789 flood='' group='' learning=on mtu=1500 option remote ns
  for option in "${@:4}"; do local "${option?}"; done
  ns=$(netns "$host")
  local tunnel=(id "$vni" dstport "$port" local "$local_addr" dev up0)
  if [[ -n $group ]]; then tunnel+=(group "$group"); fi
  if [[ $learning == off ]]; then tunnel+=(nolearning); fi
  # IPv6 wants a UDP checksum unless both ends agree to go without (RFC 6935); vtepd sends none unless told.
  if [[ $local_addr == *:* ]]; then tunnel+=(udp6zerocsumrx); fi
  ip -n "$ns" link add "vxlan$vni" mtu "$mtu" type vxlan "${tunnel[@]}"
  for remote in ${flood//,/ }; do
    on "$host" bridge fdb append 00:00:00:00:00:00 dev "vxlan$vni" dst "$remote"
  done
  ip -n "$ns" link add "br$vni" mtu "$mtu" type bridge forward_delay 0 mcast_snooping 0
  ip -n "$ns" link set "vxlan$vni" master "br$vni"
  on "$host" ethtool -K "vxlan$vni" tx off rx off tso off gso off gro off >/dev/null
  ip -n "$ns" link set "vxlan$vni" up
  ip -n "$ns" link set "br$vni" up
}

# kernel_vm VTEP VNI HOST ADDRESS/LEN... [mac=MAC] [mtu=MTU] [vlan=ID]: an end host (options: endhost) in that bridge.
kernel_vm() {
  local vtep=$1 vni=$2 host=$3
  endhost "$host" "$vtep" "$host" "${@:4}"
  ip -n "$(netns "$vtep")" link set "$host" master "br$vni"
}

# kernel_learned HOST VNI MAC: where the kernel VTEP has learned that MAC: the remote VTEP's address.
kernel_learned() {
  on "$1" bridge fdb show dev "vxlan$2" | awk -v mac="$3" '$1 == mac { for (i = 2; i < NF; i++) if ($i == "dst") print $(i + 1) }'
}

# ovs_vtep HOST ADDRESS/LEN: Open vSwitch with its userspace data path (needs no kernel module) on a host that has an
# up0; its own database and daemon, private to the host. The underlay address is on the bridge br-phy over up0.
ovs_vtep() {
  local host=$1 addr=$2 dir=$LAB_DIR/ovs-$1
  mkdir -p "$dir"
  ovsdb-tool create "$dir/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  # Children of this shell, not daemons: somebody has to reap them.
  ovs_env "$host" ovsdb-server -vconsole:off -vfile:warn "$dir/conf.db" --remote="punix:$dir/db.sock" --pidfile \
    --log-file="$LAB_DIR/ovsdb-$host.log" >"$dir/ovsdb.out" 2>&1 </dev/null &
  wait_for 5 test -S "$dir/db.sock" || die "ovsdb-server on $host has not come up: $(<"$dir/ovsdb.out")"
  ovs "$host" --no-wait init
  ovs_env "$host" ovs-vswitchd -vconsole:off -vfile:warn "unix:$dir/db.sock" --pidfile \
    --log-file="$LAB_DIR/ovs-$host.log" >"$dir/vswitchd.out" 2>&1 </dev/null &
  ovs "$host" add-br br-phy -- set bridge br-phy datapath_type=netdev \
    other-config:hwaddr="\"$(mac "$host" up0)\"" -- add-port br-phy up0
  ovs "$host" add-br br-int -- set bridge br-int datapath_type=netdev
  address "$host" br-phy "$addr"
  ip -n "$(netns "$host")" link set br-phy mtu "$FABRIC_MTU" up
}

# ovs_tunnel HOST VNI LOCAL REMOTE [OPTION=VALUE...]: a tunnel port, e.g. ovs_tunnel o1 10 192.0.2.31 192.0.2.11 csum=true
ovs_tunnel() {
  local host=$1 vni=$2 local_addr=$3 remote=$4 option
  local settings=("options:key=$vni" "options:local_ip=\"$local_addr\"" "options:remote_ip=\"$remote\"")
  for option in "${@:5}"; do settings+=("options:$option"); done
  ovs "$host" add-port br-int "vxlan$vni" -- set interface "vxlan$vni" type=vxlan "${settings[@]}"
}

# ovs_vm VTEP HOST ADDRESS/LEN... : an end host (options: endhost) on br-int.
ovs_vm() {
  local vtep=$1 host=$2
  endhost "$host" "$vtep" "$host" "${@:3}"
  ovs "$vtep" add-port br-int "$host"
}

# ovs HOST ARGUMENT...: ovs-vsctl for that host's Open vSwitch.
ovs() {
  local host=$1
  shift
  ovs_env "$host" ovs-vsctl --db="unix:$LAB_DIR/ovs-$host/db.sock" --timeout=10 "$@"
}

ovs_env() {
  local host=$1 dir=$LAB_DIR/ovs-$1
  shift
  on "$host" env OVS_RUNDIR="$dir" OVS_LOGDIR="$dir" OVS_DBDIR="$dir" OVS_SYSCONFDIR="$dir" "$@"
}
