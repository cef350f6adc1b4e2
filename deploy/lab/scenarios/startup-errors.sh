#!/usr/bin/env bash
# What a person is likely to get wrong: each ends in one line that says what, where and what to do, and an exit code that
# is not 0. A second daemon by mistake leaves the first one and its state alone. A signal during the start ends it well.
#
#   h1 vtepd, with d0, an end of a veth pair

# shellcheck disable=SC2016 # the backquotes in patterns are meant
source "$(dirname "$0")/../lib.sh"
export VTEPD_MEMORY=no-huge VTEPD_MEMORY_MB=64
lab_begin "$@"

# ends_with CODE PATTERN...: run with the present configuration, the daemon ends with that exit code, and its last line
# matches every pattern.
ends_with() {
  local want=$1 code=0 last pattern
  shift
  vtepd_run h1 >"$LAB_DIR/ended" 2>&1 || code=$?
  last=$(tail -n 1 "$LAB_DIR/ended")
  echo "$last"
  equal "$want" "$code" || return
  for pattern; do
    grep -qE -- "$pattern" <<<"$last" || { echo "does not match: $pattern" && return 1; }
  done
  # What DPDK and the log have said before is not for the person who made a mistake in the file.
  if ((want == 2)); then equal 1 "$(wc -l <"$LAB_DIR/ended")"; fi
}

# refused TEXT CODE PATTERN...: with the configuration on standard input.
refused() {
  local text=$1
  shift
  cat >"$LAB_DIR/h1.toml"
  check "$text" ends_with "$@"
}

# changed SED-COMMAND: the good configuration, changed.
changed() { sed "$1" <<<"$GOOD"; }

# more LINE...: the good configuration, with these lines at its end.
more() { printf '%s\n' "$GOOD" "$@"; }

device() { more '[[device]]' 'name = "d0"' "$@"; } # LINE...

host_add h1 peer
link h1 d0 peer d0
vtepd_devices_clear h1
vtepd_config h1
GOOD=$(<"$LAB_DIR/h1.toml")

section "The file"
rm -f "$LAB_DIR/h1.toml"
check "it is not there" ends_with 2 "cannot read" "h1.toml" "No such file"
refused "no TOML" 2 "h1.toml: line 1, " <<<'host = '
refused "a key that does not exist" 2 'line [0-9]+, ' 'unknown field `sleep`' 'sleep_us' < <(changed 's/^idle = .*/sleep = 50/')
refused "a section that does not exist" 2 'unknown field `worker`' < <(changed 's/^\[workers\]/[worker]/')
refused "a wrong type" 2 'line [0-9]+, `memory_mb = "64"`: invalid type' < <(changed 's/^memory_mb = .*/memory_mb = "64"/')
refused "a word that is none of those possible" 2 'unknown variant `hugepages`' 'no-huge' < <(changed 's/^memory = .*/memory = "hugepages"/')
refused "the host is missing" 2 'missing field `host`' < <(changed '/^host/d')
refused "a log level that is none" 2 'log.level is "loud"' 'debug' < <(more '[log]' 'level = "loud"')
refused "a core that does not exist" 2 'workers.cores' 'core 999' < <(changed 's/^cores = .*/cores = [999]/')
refused "a main core that does not exist" 1 'core 999' 'online' < <(changed 's/^main_core = .*/main_core = 999/')
refused "no UDP port" 2 'vxlan.ports' < <(changed 's/^ports = .*/ports = []/')
check "--check tells it as well" fails "$VTEPD_BIN/vtepd" --check --config "$LAB_DIR/h1.toml"

section "Memory"
refused "more than the machine has" 2 'dpdk.memory_mb is 999999999' 'has [0-9]+ MiB' \
  < <(changed 's/^memory_mb = .*/memory_mb = 999999999/')
refused "more buffers than fit the memory" 1 'raise dpdk.memory_mb or lower dpdk.mbufs' \
  < <(changed 's/^memory_mb = .*/memory_mb = 64\nmbufs = 200000/')

section "Devices"
refused "neither devargs nor pci" 2 'd0' 'neither devargs' < <(device)
refused "a driver that does not exist" 1 '"d0"' 'net_nonsense0' < <(device 'devargs = "net_nonsense0"')
refused "an argument that does not exist" 1 '"d0"' 'ifcae=d0' 'arguments' < <(device 'devargs = "net_af_packet0,ifcae=d0"')
refused "an interface that does not exist" 1 '"d0"' 'iface=d9' 'No such device' < <(device 'devargs = "net_af_packet0,iface=d9"')
refused "an MTU that the kernel's interface does not have" 1 '"d0"' '9000' 'ip link set d0 mtu 9000' \
  < <(device 'devargs = "net_af_packet0,iface=d0"' 'mtu = 9000')
refused "no PCI address" 2 '"d0"' 'pci is "eth0"' < <(device 'pci = "eth0"')
refused "a PCI device that is not there" 1 '"d0"' '0000:ff:1f.7' 'devbind' < <(device 'pci = "0000:ff:1f.7"')

section "State"
: >"$LAB_DIR/file"
refused "the directory is a file" 1 "$LAB_DIR/file" < <(changed "s|^directory = .*|directory = \"$LAB_DIR/file\"|")
refused "the directory cannot be made" 1 '/proc/vtepd' < <(changed 's|^directory = .*|directory = "/proc/vtepd"|')

section "A second daemon by mistake"
more >"$LAB_DIR/h1.toml"
vtepd_start h1
check "the first one takes a network" api h1 PUT /v1/networks/red '{ "segment": { "type": "vxlan", "vni": 10 } }'
before=$(api h1 GET /v1/state)
check "with the same file" ends_with 1 'cannot listen on 127.0.0.1:4788' 'in use'
refused "on the same socket" 1 'another process listens on .*h1.sock' < <(changed 's/:4788/:4789/')
refused "on the same state" 1 'h1-state' 'in use by another process' 'another vtepd' \
  < <(changed 's/:4788/:4789/; s/h1.sock/h1b.sock/')
refused "beyond loopback" 2 '0.0.0.0:4789' 'loopback' < <(changed 's/127.0.0.1:4788/0.0.0.0:4789/; s/h1.sock/h1b.sock/')
check "the first one is still well" vtepd_healthy h1
check "and its state as it was" equal "$before" "$(api h1 GET /v1/state)"
vtepd_stop h1

section "Signals"
# A signal as soon as the daemon can take it, which is long before it forwards.
catches() { # NUMBER
  local mask
  [[ $(<"/proc/${DAEMON_PID[h1]}/comm") == vtepd ]] || return # before that it is still a shell
  mask=$(awk '/^SigCgt:/ { print $2 }' "/proc/${DAEMON_PID[h1]}/status") || return
  (((0x$mask >> ($1 - 1)) & 1))
}
ends_early() { # SIGNAL NUMBER
  local code=0
  rm -f "$LAB_DIR/h1.log"
  ip netns exec "$(netns h1)" "$VTEPD_BIN/vtepd" --config "$LAB_DIR/h1.toml" >"$LAB_DIR/h1.log" 2>&1 </dev/null &
  DAEMON_PID[h1]=$!
  wait_for 5 catches "$2" || return
  kill "-$1" "${DAEMON_PID[h1]}"
  wait "${DAEMON_PID[h1]}" || code=$?
  cat "$LAB_DIR/h1.log"
  equal 0 "$code" && vtepd_pool_balanced h1
}
more >"$LAB_DIR/h1.toml"
check "SIGTERM during the start: it ends with 0" ends_early TERM 15
check "SIGINT during the start: it ends with 0" ends_early INT 2
vtepd_start h1
kill -INT "${DAEMON_PID[h1]}"
check "SIGINT ends it as SIGTERM does" wait "${DAEMON_PID[h1]}"
check "its packet pool is as full as at the start" vtepd_pool_balanced h1
check "nothing is left of the socket" fails test -e "$LAB_DIR/h1.sock"
lab_end
