//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::explain::ExplainOptions;
use crate::fields::{
    FdbFields, HostFields, InterfaceFields, NetworkFields, PortFields, RouteFields, RouterFields,
};
use crate::nat_fields::{FloatingIpFields, NatSettingsFields, TenantFields};

/// Manage a vtepd: its interfaces, hosts, networks, ports, routers, floating IPs and tables.
#[derive(Debug, Parser)]
#[command(name = "vtepctl", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 the server cannot be reached."
)]
pub struct Options {
    /// The server: http://ADDRESS:PORT or unix:/PATH
    #[arg(
        long,
        short,
        global = true,
        env = "VTEPCTL_SERVER",
        default_value = "http://127.0.0.1:4788"
    )]
    pub server: String,
    /// How to print what is shown
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// For programs
    Json,
    /// For files
    Yaml,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Devices of the box, and the underlay on them
    #[command(subcommand, visible_alias = "interface")]
    Interfaces(InterfaceCommand),
    /// VTEPs of the fabric
    #[command(subcommand, visible_alias = "host")]
    Hosts(ResourceCommand<HostFields>),
    /// Layer-2 networks: VXLAN, VLAN and flat segments, external ones among them
    #[command(subcommand, visible_alias = "network")]
    Networks(NetworkCommand),
    /// Stations of the networks
    #[command(subcommand, visible_alias = "port")]
    Ports(ResourceCommand<PortFields>),
    /// MAC tables: configured and learned addresses
    #[command(subcommand)]
    Fdb(FdbCommand),
    /// Gateways of the networks, and the routes between these
    #[command(subcommand, visible_alias = "router")]
    Routers(ResourceCommand<RouterFields>),
    /// Routes of routers, each by itself
    #[command(subcommand, visible_alias = "route")]
    Routes(RouteCommand),
    /// Addresses of external networks that lead to stations inside
    #[command(subcommand, visible_alias = "floating-ip")]
    FloatingIps(ResourceCommand<FloatingIpFields>),
    /// Limits of address translation for each tenant
    #[command(subcommand, visible_alias = "tenant")]
    Tenants(ResourceCommand<TenantFields>),
    /// Timeouts and limits of address translation; the only ones are named `default`
    #[command(subcommand)]
    NatSettings(ResourceCommand<NatSettingsFields>),
    /// Sessions of address translation
    #[command(subcommand, visible_alias = "session")]
    Sessions(SessionCommand),
    /// How full address translation is
    #[command(subcommand)]
    Nat(NatCommand),
    /// What happens, as it happens
    Events {
        /// End after so many
        #[arg(long)]
        limit: Option<u64>,
    },
    /// Who has which address in a network
    Neighbours {
        /// The network
        network: String,
    },
    /// Who asks the metadata proxy, by which address
    Metadata {
        /// Only whom this address stands for
        #[arg(long)]
        address: Option<String>,
        /// At most so many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// What happens to a packet, and why
    #[command(
        after_help = "vtepctl explain --from web-1 --to web-2 tcp/443\nvtepctl explain --interface vm1 --hex ffffffffffff..."
    )]
    Explain(Box<ExplainOptions>),
    /// Replace the whole state by a file's; what the file does not name is deleted
    Apply(FileAndWrite),
    /// Put and delete what a file names, all of it or nothing
    Transaction(FileAndWrite),
    /// Print the whole state, in the form that `apply` takes
    Export,
    /// Why packets were dropped
    Drops {
        /// Reasons that never occurred too
        #[arg(long, short)]
        all: bool,
    },
    /// Workers and where their cycles go
    Workers,
    /// Forwarding tables and how full they are
    Tables,
    /// Neighbours of the underlay
    Underlay,
    /// Whether the workers run
    Health,
    /// Versions of this program and of the server
    Version,
    /// Print a completion script
    Completion {
        /// The shell to complete in
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum ResourceCommand<F: Args> {
    /// List all of them
    #[command(visible_alias = "ls")]
    List(ListOptions),
    /// Show one
    #[command(visible_alias = "show")]
    Get {
        /// Its identifier
        id: String,
    },
    /// Create or replace one; what is not given takes its default
    Put(Box<PutOptions<F>>),
    /// Change some fields of one
    Set(Box<SetOptions<F>>),
    /// Delete some
    #[command(visible_alias = "rm")]
    Delete(DeleteOptions),
}

#[derive(Debug, Subcommand)]
pub enum InterfaceCommand {
    /// Link, MTU and counters, of one or all
    Status {
        /// Its identifier
        id: Option<String>,
    },
    #[command(flatten)]
    Resource(ResourceCommand<InterfaceFields>),
}

#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// What one comes to: its MTU, bindings and flood list
    Status {
        /// Its identifier
        id: String,
    },
    #[command(flatten)]
    Resource(ResourceCommand<NetworkFields>),
}

#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// List those of a router
    #[command(visible_alias = "ls")]
    List {
        /// The router
        router: String,
        /// At most so many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show one
    #[command(visible_alias = "show")]
    Get {
        /// ROUTER/PREFIX, as in r1/10.0.0.0/8
        id: String,
    },
    /// Create or replace one, ROUTER/PREFIX
    Put(PutOptions<RouteFields>),
    /// Delete some, ROUTER/PREFIX
    #[command(visible_alias = "rm")]
    Delete(DeleteOptions),
}

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List those that fit
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: SessionFilter,
        /// At most so many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// End those that fit
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        filter: SessionFilter,
        /// All of them, where no filter is given
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub struct SessionFilter {
    /// Only of this router
    #[arg(long)]
    pub router: Option<String>,
    /// Only of this protocol: tcp, udp or icmp
    #[arg(long)]
    pub protocol: Option<String>,
    /// Only of this station inside
    #[arg(long)]
    pub inside: Option<String>,
    /// Only from this port of it
    #[arg(long)]
    pub inside_port: Option<u16>,
    /// Only those that the outside sees at this address
    #[arg(long)]
    pub outside: Option<String>,
    /// Only those at this port of it
    #[arg(long)]
    pub outside_port: Option<u16>,
    /// Only with this other end
    #[arg(long)]
    pub remote: Option<String>,
    /// Only with this port of it
    #[arg(long)]
    pub remote_port: Option<u16>,
    /// Only in this state, as in established
    #[arg(long)]
    pub state: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum NatCommand {
    /// Outside addresses that stations share, and their ports
    Pools,
    /// What tenants use, and their limits
    Tenants,
}

#[derive(Debug, Subcommand)]
pub enum FdbCommand {
    /// Show the MAC table of a network
    #[command(visible_alias = "ls")]
    List {
        /// The network
        network: String,
        /// Only the static entries, as they were configured
        #[arg(long = "static")]
        only_static: bool,
        /// At most so many
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a static entry
    #[command(visible_alias = "show")]
    Get {
        /// NETWORK/MAC
        id: String,
    },
    /// Create or replace a static entry, NETWORK/MAC
    Put(PutOptions<FdbFields>),
    /// Delete static entries, NETWORK/MAC
    #[command(visible_alias = "rm")]
    Delete(DeleteOptions),
    /// Forget learned addresses
    Flush {
        /// Only of this network
        #[arg(long)]
        network: Option<String>,
        /// Only this address
        #[arg(long)]
        mac: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct ListOptions {
    /// Only what refers to this network
    #[arg(long)]
    pub network: Option<String>,
    /// Only what refers to this host
    #[arg(long)]
    pub host: Option<String>,
    /// Only what refers to this interface
    #[arg(long)]
    pub interface: Option<String>,
    /// At most so many
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct PutOptions<F: Args> {
    /// Its identifier
    pub id: String,
    /// Read the document from a file of JSON or YAML, `-` for the standard input; options go before it
    #[arg(long, short)]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub fields: F,
    #[command(flatten)]
    pub write: WriteOptions,
}

#[derive(Debug, Args)]
pub struct SetOptions<F: Args> {
    /// Its identifier
    pub id: String,
    #[command(flatten)]
    pub fields: F,
    #[command(flatten)]
    pub write: WriteOptions,
}

#[derive(Debug, Args)]
pub struct DeleteOptions {
    /// Their identifiers
    #[arg(required = true)]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub write: WriteOptions,
}

#[derive(Debug, Args)]
pub struct FileAndWrite {
    /// A file of JSON or YAML, `-` for the standard input
    #[arg(long, short)]
    pub file: PathBuf,
    #[command(flatten)]
    pub write: WriteOptions,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct WriteOptions {
    /// Change nothing, show what would change
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Show what changed
    #[arg(long)]
    pub diff: bool,
}
