//! Finds libdpdk, compiles the shim with DPDK's own flags and generates the bindings.
//!
//! `pkg-config --cflags libdpdk` carries two flags that a plain include path would lose:
//! `-include rte_config.h`, without which the headers do not compile, and `-march=`, which decides
//! the layout-neutral but ABI-relevant choices of the inlines (vector width, cache-line size).

use std::{env, path::PathBuf, process::Command};

/// The oldest LTS line that is tested; 20.11 names the offload and queue-mode constants
/// differently.
const OLDEST_DPDK: &str = "22.11";

const MISSING: [&str; 3] = [
    "dpdk-ffi needs DPDK 22.11 or newer, and pkg-config to find it",
    "Debian, Ubuntu: apt-get install libdpdk-dev libclang-dev pkg-config gcc",
    "a DPDK built from source: set PKG_CONFIG_PATH to the folder of its libdpdk.pc",
];

/// Everything of DPDK that this crate calls. `shim_` are ours, from `csrc/shim.h`.
const FUNCTIONS: &str = "shim_.*|rte_eal_(init|cleanup|get_runtime_dir)|rte_version|rte_strerror\
    |rte_log_cur_msg_loglevel\
    |rte_thread_(register|unregister)\
    |rte_dev_(probe|remove)\
    |rte_mempool_avail_count\
    |rte_pktmbuf_(pool_create|free_bulk|clone|copy)|__rte_pktmbuf_linearize\
    |rte_ring_(create|free)\
    |rte_get_tsc_hz\
    |rte_eth_find_next|rte_eth_find_next_of\
    |rte_eth_dev_(configure|start|stop|close|info_get|socket_id|set_mtu|get_mtu|get_name_by_port\
    |get_port_by_name|is_valid_port|adjust_nb_rx_tx_desc|default_mac_addr_set)\
    |rte_eth_(rx|tx)_queue_setup|rte_eth_macaddr_get\
    |rte_eth_(promiscuous|allmulticast)_enable\
    |rte_eth_stats_get|rte_eth_stats_reset|rte_eth_xstats_get|rte_eth_xstats_get_names";

/// The same for the feature `hash`.
const HASH_FUNCTIONS: &str =
    "rte_hash_(create|free|add_key_data|del_key|free_key_with_position|lookup_bulk_data)";

fn main() {
    for input in ["build.rs", "csrc/shim.c", "csrc/shim.h", "csrc/hash.h"] {
        println!("cargo::rerun-if-changed={input}");
    }

    // Also emits the link directives and rerun-if-env-changed for PKG_CONFIG_PATH and friends.
    let dpdk = pkg_config::Config::new()
        .atleast_version(OLDEST_DPDK)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            for line in MISSING {
                println!("cargo::error={line}");
            }
            eprintln!("{error}");
            std::process::exit(1)
        });
    println!("cargo::metadata=version={}", dpdk.version);

    let cflags = cflags();
    cc::Build::new()
        .file("csrc/shim.c")
        .std("gnu11")
        .opt_level(2) // a debug shim would cost more than the call it stands for
        .flags(&cflags)
        .extra_warnings(true)
        .compile("dpdk_ffi_shim");

    let mut builder = bindgen::Builder::default();
    if env::var_os("CARGO_FEATURE_HASH").is_some() {
        builder = builder
            .header("csrc/hash.h")
            .allowlist_function(HASH_FUNCTIONS)
            .opaque_type("rte_hash");
    }
    let bindings = builder
        .header("csrc/shim.h")
        .clang_args(&cflags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .allowlist_function(FUNCTIONS)
        .allowlist_var("SHIM_.*")
        // Its fields moved into anonymous unions in 24.03; we reach them by the offsets in shim.h.
        .opaque_type("rte_mbuf")
        .opaque_type("rte_mempool|rte_ring|rte_device")
        .derive_default(true)
        .generate_comments(false)
        .generate()
        .expect("bindgen over csrc/shim.h failed: is libclang (libclang-dev) installed?");
    let out =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindings
        .write_to_file(&out)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}

/// The compiler flags of libdpdk, its include folders as system ones: their warnings are not ours.
fn cflags() -> Vec<String> {
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&pkg_config)
        .args(["--cflags", "libdpdk"])
        .output()
        .unwrap_or_else(|error| panic!("cannot run {pkg_config} --cflags libdpdk: {error}"));
    assert!(
        output.status.success(),
        "{pkg_config} --cflags libdpdk failed: {output:?}"
    );
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(|flag| match flag.strip_prefix("-I") {
            Some(folder) => format!("-isystem{folder}"),
            None => flag.to_owned(),
        })
        .collect()
}
