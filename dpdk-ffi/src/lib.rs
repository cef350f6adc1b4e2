//! Safe ownership of DPDK: EAL, pools, mbufs, bursts, ports and rings.
