#!/bin/sh
# What dhclient and udhcpc run when they have something to tell: takes the lease for the interface and writes all of it to
# $LEASE, a variable per line. Nothing of the machine's own is touched (dhclient's usual script writes /etc/resolv.conf).
#
#   dhclient: variables $reason, $new_ip_address, ...       udhcpc: an argument, and variables $ip, $mask, ...

# shellcheck disable=SC2154 # the variables are the clients'
case ${reason:-$1} in
  BOUND | RENEW | REBIND | REBOOT | BOUND6 | RENEW6 | REBIND6 | bound | renew) ;;
  PREINIT | PREINIT6)
    ip link set "$interface" up
    exit 0
    ;;
  EXPIRE | RELEASE | STOP | FAIL | deconfig)
    ip -4 addr flush dev "$interface"
    exit 0
    ;;
  *) exit 0 ;;
esac

env | grep '^[a-z]' | sort >"$LEASE"
if [ -n "$new_ip6_address" ]; then
  ip addr replace "$new_ip6_address/${new_ip6_prefixlen:-128}" dev "$interface" nodad
elif [ -n "$new_ip_address$ip" ]; then
  ip addr replace "${new_ip_address:-$ip}/${new_subnet_mask:-$subnet}" dev "$interface"
  ip route replace default via "${new_routers:-$router}" dev "$interface"
  if [ -n "$new_interface_mtu$mtu" ]; then ip link set "$interface" mtu "${new_interface_mtu:-$mtu}"; fi
fi
