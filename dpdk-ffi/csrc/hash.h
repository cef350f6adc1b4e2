/* SPDX-License-Identifier: Apache-2.0
 *
 * What the feature `hash` reads besides shim.h.
 */
#include <rte_hash.h>

static const uint8_t SHIM_HASH_LOCK_FREE = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
static const uint32_t SHIM_HASH_BULK = RTE_HASH_LOOKUP_BULK_MAX;
