/* SPDX-License-Identifier: Apache-2.0
 *
 * What bindgen reads, and the few things of DPDK that are not symbols: true static inlines,
 * macros, thread-local accessors, and the fields whose place differs between DPDK releases.
 */
#ifndef DPDK_FFI_SHIM_H
#define DPDK_FFI_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* Where struct rte_mbuf keeps what we read and write from Rust without a call. DPDK 24.03 put
 * these fields into anonymous unions, which changes their path but not their name here. */
static const size_t SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr);
static const size_t SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off);
static const size_t SHIM_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt);
static const size_t SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs);
static const size_t SHIM_MBUF_PORT = offsetof(struct rte_mbuf, port);
static const size_t SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags);
static const size_t SHIM_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type);
static const size_t SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len);
static const size_t SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len);
static const size_t SHIM_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci);
static const size_t SHIM_MBUF_RSS = offsetof(struct rte_mbuf, hash.rss);
static const size_t SHIM_MBUF_VLAN_TCI_OUTER = offsetof(struct rte_mbuf, vlan_tci_outer);
static const size_t SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len);
static const size_t SHIM_MBUF_NEXT = offsetof(struct rte_mbuf, next);
static const size_t SHIM_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload);
static const size_t SHIM_MBUF_SHINFO = offsetof(struct rte_mbuf, shinfo);
static const size_t SHIM_SHINFO_REFCNT = offsetof(struct rte_mbuf_ext_shared_info, refcnt);

static const uint64_t SHIM_MBUF_INDIRECT = RTE_MBUF_F_INDIRECT;
static const uint64_t SHIM_MBUF_EXTERNAL = RTE_MBUF_F_EXTERNAL;
static const uint64_t SHIM_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t SHIM_RX_QINQ_STRIPPED = RTE_MBUF_F_RX_QINQ_STRIPPED;
static const uint64_t SHIM_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t SHIM_RX_LRO = RTE_MBUF_F_RX_LRO;
static const uint64_t SHIM_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t SHIM_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t SHIM_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t SHIM_RX_IP_CKSUM_NONE = RTE_MBUF_F_RX_IP_CKSUM_NONE;
static const uint64_t SHIM_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t SHIM_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t SHIM_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t SHIM_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE;
static const uint64_t SHIM_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t SHIM_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t SHIM_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t SHIM_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t SHIM_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t SHIM_TX_TCP_SEG = RTE_MBUF_F_TX_TCP_SEG;
static const uint32_t SHIM_TX_L3_LEN_SHIFT = RTE_MBUF_L3_LEN_OFS;
static const uint32_t SHIM_TX_L2_LEN_SHIFT = RTE_MBUF_L2_LEN_OFS;
static const uint32_t SHIM_TX_L2_LEN_BITS = RTE_MBUF_L2_LEN_BITS;
static const uint32_t SHIM_TX_L3_LEN_BITS = RTE_MBUF_L3_LEN_BITS;

static const uint64_t SHIM_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t SHIM_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t SHIM_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t SHIM_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t SHIM_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t SHIM_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t SHIM_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint32_t SHIM_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;
static const uint32_t SHIM_MQ_RX_NONE = RTE_ETH_MQ_RX_NONE;

static const uint16_t SHIM_MAX_ETHPORTS = RTE_MAX_ETHPORTS;
static const uint16_t SHIM_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const uint16_t SHIM_DEFAULT_DATA_ROOM = RTE_MBUF_DEFAULT_BUF_SIZE;
static const uint32_t SHIM_POOL_CACHE_MAX = RTE_MEMPOOL_CACHE_MAX_SIZE;
static const size_t SHIM_DEVICE_NAME_MAX = RTE_ETH_NAME_MAX_LEN;
static const uint32_t SHIM_RING_SP_SC_EXACT = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
static const int SHIM_SOCKET_ANY = SOCKET_ID_ANY;

/* Thread-local behind a macro. */
int shim_errno(void);

/* Static inlines. */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool);
void shim_pktmbuf_free(struct rte_mbuf *mbuf);
void shim_pktmbuf_free_seg(struct rte_mbuf *mbuf);
unsigned int shim_ring_enqueue(struct rte_ring *ring, void *const *objects, unsigned int count);
unsigned int shim_ring_dequeue(struct rte_ring *ring, void **objects, unsigned int count);
unsigned int shim_ring_count(const struct rte_ring *ring);
uint64_t shim_rdtsc(void);

/* struct rte_eth_link is bit-fields up to 24.03 and an atomic union after it. */
struct shim_link {
	uint32_t speed_mbps;
	uint8_t up;
	uint8_t full_duplex;
};
int shim_link_get(uint16_t port, struct shim_link *link);

/* rte_log is variadic; what we have to say is one string. */
void shim_log_warning(const char *text);

/* Sends DPDK's log to a function, one message a call, instead of to stderr. */
typedef void (*shim_log_sink)(uint32_t level, const char *text, size_t length);
int shim_log_to(shim_log_sink sink);

#endif
