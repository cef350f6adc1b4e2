-- The flows of vtepd's benchmarks for Pktgen-DPDK, by its range engine or from a capture.
--
--   WORKLOAD=encap NETWORK=3 FLOWS=1000 pktgen -l 0-2 -n 4 -- -P -m "[1:2].0" -f vtepd.lua
--   WORKLOAD=pcap pktgen -l 0-2 -n 4 -- -P -m "[1:2].0" -s 0:frames.pcap -f vtepd.lua
--
-- A range counts fields of one Ethernet, VLAN, IPv4 and UDP header: what is not tunnelled, and one network of the 16 at a
-- time. (FLOWS are those of that network.) MACs, tag, addresses, ports, TTL and length are those of `vtepd-perf frames`;
-- identification, DF and payload are Pktgen's. Everything else (what comes by VXLAN, all networks together, the very
-- bytes) is played from the capture that `vtepd-perf frames` writes.
--
-- Other variables: PORT (0), SECONDS (10), RATE (per cent of the wire, 100).

local function variable(name, default)
  return tonumber(os.getenv(name) or default)
end

local workload = os.getenv("WORKLOAD") or "encap"
local port = variable("PORT", 0)
local network = variable("NETWORK", 0)
local flows = variable("FLOWS", 1000)

local NETWORKS = 16
local FIRST_HOST = 1024
local LOCAL, REMOTE, REMOTES = 0x0a000000, 0x0a800000, 0xc6130000
local SECOND_HALF = 0x0a080000
local BYTES = 64 + 4 + 4 -- with tag and checksum

local function mac(number)
  local bytes = {}
  for shift = 40, 0, -8 do
    bytes[#bytes + 1] = string.format("%02x", number >> shift & 0xff)
  end
  return table.concat(bytes, ":")
end

local function numbered(kind, number)
  return 0x02 << 40 | kind << 32 | number
end

local function address(number)
  return string.format("%d.%d.%d.%d", number >> 24 & 255, number >> 16 & 255, number >> 8 & 255, number & 255)
end

local function plain(number)
  return number
end

-- A field goes through `count` values and begins again; without count it keeps the first one. All fields must have come
-- round when the flows have.
local function field(name, write, first, step, count)
  count, step = math.min(count or 1, flows), step or 0
  assert(flows % count == 0, string.format("%s comes round after %d flows: give FLOWS as a multiple", name, count))
  local set = pktgen.range[name]
  set(port, "start", write(first))
  set(port, "inc", write(count > 1 and step or 0))
  set(port, "min", write(first))
  set(port, "max", write(first + (count - 1) * step))
end

local function headers(to, from, tag, source, destination, sport, dport)
  field("dst_mac", mac, table.unpack(to))
  field("src_mac", mac, table.unpack(from))
  field("vlan_id", plain, tag)
  field("src_ip", address, table.unpack(source))
  field("dst_ip", address, table.unpack(destination))
  field("src_port", plain, table.unpack(sport))
  field("dst_port", plain, dport)
  field("ttl", plain, 64)
  field("pkt_size", plain, BYTES)
end

local function all(first, step)
  return { first, step, flows }
end

local source_port = { 49152 + network, NETWORKS, 1024 }
local local_mac = all(numbered(0x10, network), NETWORKS)
local gateway = { numbered(0x30, network) }
local remotes = { REMOTES + network, NETWORKS, 2048 }

-- A router's stations: 1024 of a network, however many flows.
local function outside(sport)
  local station = { numbered(0x10, network), NETWORKS, 1024 }
  headers(gateway, station, 101 + network, { LOCAL + FIRST_HOST, 1, 1024 }, remotes, sport, 443)
end

local workloads = {
  encap = function()
    local to = all(numbered(0x20, network), NETWORKS)
    local source, destination = all(LOCAL + FIRST_HOST, 1), all(REMOTE + FIRST_HOST, 1)
    headers(to, local_mac, 101 + network, source, destination, source_port, 4000)
  end,

  routed = function()
    local from = (network + 1) % NETWORKS
    local to = { numbered(0x30, from) }
    local source = all(LOCAL + (from << 20) + 2, 1)
    local destination = all(SECOND_HALF + (network << 20) + 2, 1)
    headers(to, local_mac, 101 + from, source, destination, source_port, 4000)
  end,

  snat = function()
    outside(all(1024, 1))
  end,

  fip = function()
    assert(flows <= 4063, "there are 65,023 floating IPs of 16 networks")
    local sport = { 0x8000, 256, 128 }
    headers(gateway, local_mac, 101 + network, all(LOCAL + FIRST_HOST, 1), remotes, sport, 443)
  end,
}

if workload ~= "pcap" then
  local set = workloads[workload]
  assert(set, workload .. " is not for the range engine: play its capture, WORKLOAD=pcap")
  pktgen.range.ip_proto(port, "udp")
  set()
  pktgen.vlan(port, "enable")
  pktgen.set_range(port, "on")
end

local seconds = variable("SECONDS", 10)
pktgen.set(port, "rate", variable("RATE", 100))
pktgen.clr()
pktgen.start(port)
pktgen.delay(seconds * 1000)
pktgen.stop(port)
pktgen.delay(1000)
local stats = pktgen.portStats("all", "port")
for number = 0, pktgen.portCount() - 1 do
  local own = stats[number]
  print(string.format("port %d: %d packets sent, %d received, in %d s", number, own.opackets, own.ipackets, seconds))
end
