/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fopencookie */
#endif
#include "shim.h"

/* The Rust side reads these fields with these widths. */
#define WIDTH(field, type) \
	_Static_assert(sizeof(((struct rte_mbuf *)0)->field) == sizeof(type), \
		       "struct rte_mbuf: the width of " #field " is not what mbuf.rs reads")
WIDTH(buf_addr, void *);
WIDTH(data_off, uint16_t);
WIDTH(refcnt, uint16_t);
WIDTH(nb_segs, uint16_t);
WIDTH(port, uint16_t);
WIDTH(ol_flags, uint64_t);
WIDTH(packet_type, uint32_t);
WIDTH(pkt_len, uint32_t);
WIDTH(data_len, uint16_t);
WIDTH(vlan_tci, uint16_t);
WIDTH(vlan_tci_outer, uint16_t);
WIDTH(hash.rss, uint32_t);
WIDTH(buf_len, uint16_t);
WIDTH(next, void *);
WIDTH(tx_offload, uint64_t);
WIDTH(shinfo, void *);
_Static_assert(sizeof(((struct rte_mbuf_ext_shared_info *)0)->refcnt) == sizeof(uint16_t),
	       "struct rte_mbuf_ext_shared_info: the width of refcnt is not what mbuf.rs reads");

int shim_errno(void)
{
	return rte_errno;
}

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

void shim_pktmbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

void shim_pktmbuf_free_seg(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free_seg(mbuf);
}

unsigned int shim_ring_enqueue(struct rte_ring *ring, void *const *objects, unsigned int count)
{
	return rte_ring_sp_enqueue_burst(ring, objects, count, NULL);
}

unsigned int shim_ring_dequeue(struct rte_ring *ring, void **objects, unsigned int count)
{
	return rte_ring_sc_dequeue_burst(ring, objects, count, NULL);
}

unsigned int shim_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}

uint64_t shim_rdtsc(void)
{
	return rte_rdtsc();
}

int shim_link_get(uint16_t port, struct shim_link *link)
{
	struct rte_eth_link now = { 0 };
	int error = rte_eth_link_get_nowait(port, &now);

	if (error == 0) {
		link->speed_mbps = now.link_speed;
		link->up = now.link_status == RTE_ETH_LINK_UP;
		link->full_duplex = now.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	}
	return error;
}

void shim_log_warning(const char *text)
{
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_EAL, "EAL: %s\n", text);
}

/* DPDK formats into the stream and flushes it for each message, so a write is a message. */
static ssize_t write_to_sink(void *cookie, const char *text, size_t length)
{
	shim_log_sink sink = *(shim_log_sink *)cookie;
	int level = rte_log_cur_msg_loglevel();

	sink(level < 0 ? RTE_LOG_INFO : (uint32_t)level, text, length);
	return (ssize_t)length;
}

int shim_log_to(shim_log_sink sink)
{
	static shim_log_sink installed;
	static const cookie_io_functions_t stream = { .write = write_to_sink };
	FILE *file;

	installed = sink;
	file = fopencookie(&installed, "w", stream);
	if (file == NULL)
		return -1;
	return rte_openlog_stream(file);
}
