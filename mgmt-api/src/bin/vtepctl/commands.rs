//! What each command does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use clap::CommandFactory;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::{Client, Error};
use crate::diff;
use crate::explain::{self, ExplainOptions};
use crate::fields::Fields;
use crate::options::{
    Command, DeleteOptions, FdbCommand, FileAndWrite, Format, InterfaceCommand, ListOptions,
    NatCommand, NetworkCommand, Options, PutOptions, ResourceCommand, RouteCommand, SessionCommand,
    SessionFilter, SetOptions, WriteOptions,
};
use crate::output::print;

pub fn run(options: &Options) -> Result<(), Error> {
    if let Command::Completion { shell } = options.command {
        // Into memory first: the generator panics if its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Options::command(), "vtepctl", &mut script);
        return Ok(io::stdout().write_all(&script)?);
    }
    let client = Client::new(&options.server)?;
    let context = Context {
        client,
        format: options.output,
    };
    match &options.command {
        Command::Interfaces(InterfaceCommand::Status { id }) => {
            context.interface_status(id.as_deref())
        }
        Command::Interfaces(InterfaceCommand::Resource(command)) => {
            context.resource("interfaces", command)
        }
        Command::Hosts(command) => context.resource("hosts", command),
        Command::Networks(NetworkCommand::Status { id }) => context.network_status(id),
        Command::Networks(NetworkCommand::Resource(command)) => {
            context.resource("networks", command)
        }
        Command::Ports(command) => context.resource("ports", command),
        Command::Fdb(command) => context.fdb(command),
        Command::Routers(command) => context.resource("routers", command),
        Command::Routes(command) => context.routes(command),
        Command::FloatingIps(command) => context.resource("floating-ips", command),
        Command::Tenants(command) => context.resource("tenants", command),
        Command::NatSettings(command) => context.resource("nat-settings", command),
        Command::Sessions(command) => context.sessions(command),
        Command::Nat(NatCommand::Pools) => context.status("nat/pools", "nat_pools"),
        Command::Nat(NatCommand::Tenants) => context.status("nat/tenants", "nat_tenants"),
        Command::Events { limit } => context.events(*limit),
        Command::Neighbours { network } => context.neighbours(network),
        Command::Metadata { address, limit } => context.metadata(address.as_deref(), *limit),
        Command::Explain(question) => context.explain(question),
        Command::Apply(file) => context.large(Method::PUT, "/v1/state", file),
        Command::Transaction(file) => context.large(Method::POST, "/v1/transaction", file),
        Command::Export => context.export(),
        Command::Drops { all } => context.drops(*all),
        Command::Workers => context.status("workers", "workers"),
        Command::Tables => context.status("tables", "tables"),
        Command::Underlay => context.status("underlay", "underlay"),
        Command::Health => context.health(),
        Command::Version => context.version(),
        Command::Completion { .. } => Ok(()),
    }
}

struct Context {
    client: Client,
    format: Format,
}

impl Context {
    fn resource<F: Fields>(&self, kind: &str, command: &ResourceCommand<F>) -> Result<(), Error> {
        match command {
            ResourceCommand::List(options) => self.list(kind, options),
            ResourceCommand::Get { id } => self.show(kind, id),
            ResourceCommand::Put(options) => self.put(kind, options),
            ResourceCommand::Set(options) => self.set(kind, options),
            ResourceCommand::Delete(options) => self.delete(kind, options),
        }
    }

    fn fdb(&self, command: &FdbCommand) -> Result<(), Error> {
        match command {
            FdbCommand::List {
                network,
                only_static: true,
                limit,
            } => {
                let path = format!("/v1/fdb/{}", checked(network)?);
                let items = self.client.list(&path, &[], *limit)?;
                print(self.format, "fdb", Value::Array(items))
            }
            FdbCommand::List {
                network,
                only_static: false,
                limit,
            } => {
                let query = [("network", checked(network)?.to_owned())];
                let items = self.client.list("/v1/fdb", &query, *limit)?;
                print(self.format, "mac_table", Value::Array(items))
            }
            FdbCommand::Get { id } => self.show("fdb", id),
            FdbCommand::Put(options) => self.put("fdb", options),
            FdbCommand::Delete(options) => self.delete("fdb", options),
            FdbCommand::Flush { network, mac } => self.flush(network.as_deref(), mac.as_deref()),
        }
    }

    fn routes(&self, command: &RouteCommand) -> Result<(), Error> {
        match command {
            RouteCommand::List { router, limit } => {
                let path = format!("/v1/routes/{}", checked(router)?);
                let items = self.client.list(&path, &[], *limit)?;
                print(self.format, "routes", Value::Array(items))
            }
            RouteCommand::Get { id } => self.show("routes", id),
            RouteCommand::Put(options) => self.put("routes", options),
            RouteCommand::Delete(options) => self.delete("routes", options),
        }
    }

    fn sessions(&self, command: &SessionCommand) -> Result<(), Error> {
        match command {
            SessionCommand::List { filter, limit } => {
                let query = session_query(filter)?;
                let items = self.client.list("/v1/sessions", &query, *limit)?;
                print(self.format, "sessions", Value::Array(items))
            }
            SessionCommand::Delete { filter, all } => {
                let mut query = session_query(filter)?;
                query.extend(all.then(|| ("all", "true".to_owned())));
                let query = query.iter().map(|(name, value)| format!("{name}={value}"));
                let path = format!("/v1/sessions?{}", query.collect::<Vec<_>>().join("&"));
                let answer = self.client.write(Method::DELETE, &path, None)?;
                match self.format {
                    Format::Table => Ok(writeln!(
                        io::stdout(),
                        "{} sessions ended",
                        answer["deleted"]
                    )?),
                    _ => print(self.format, "", answer),
                }
            }
        }
    }

    /// A line for each event, as it comes.
    fn events(&self, limit: Option<u64>) -> Result<(), Error> {
        let limit = limit.map_or_else(String::new, |limit| format!("?limit={limit}"));
        let stream = self.client.get_raw(&format!("/v1/events{limit}"))?;
        let mut stdout = io::stdout().lock();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let Some(data) = line.strip_prefix("data:") else {
                continue;
            };
            let event: Value = serde_json::from_str(data.trim())
                .map_err(|_| Error::Usage(format!("the server sent what is no event: {data}")))?;
            match self.format {
                Format::Table => writeln!(stdout, "{}", event_line(&event))?,
                Format::Json => writeln!(stdout, "{event}")?,
                // A document each.
                Format::Yaml => {
                    writeln!(stdout, "---")?;
                    print(Format::Yaml, "", event)?;
                }
            }
            stdout.flush()?;
        }
        Ok(())
    }

    fn neighbours(&self, network: &str) -> Result<(), Error> {
        let path = format!("neighbours?network={}", checked(network)?);
        self.status(&path, "neighbours")
    }

    fn metadata(&self, address: Option<&str>, limit: Option<usize>) -> Result<(), Error> {
        let mut query = Vec::new();
        if let Some(address) = address {
            query.push(("address", checked(address)?.to_owned()));
        }
        let items = self.client.list("/v1/metadata", &query, limit)?;
        print(self.format, "metadata", Value::Array(items))
    }

    fn explain(&self, question: &ExplainOptions) -> Result<(), Error> {
        let body = question.document().to_string().into_bytes();
        let answer = self.client.write(Method::POST, "/v1/explain", Some(body))?;
        match self.format {
            Format::Table => Ok(explain::print(
                &mut io::stdout().lock(),
                &answer,
                question.verbose,
            )?),
            _ => print(self.format, "", answer),
        }
    }

    fn list(&self, kind: &str, options: &ListOptions) -> Result<(), Error> {
        let filters = [
            ("network", &options.network),
            ("host", &options.host),
            ("interface", &options.interface),
        ];
        let mut query = Vec::new();
        for (name, value) in filters {
            if let Some(value) = value {
                query.push((name, checked(value)?.to_owned()));
            }
        }
        let items = self
            .client
            .list(&format!("/v1/{kind}"), &query, options.limit)?;
        print(self.format, kind, Value::Array(items))
    }

    fn show(&self, kind: &str, id: &str) -> Result<(), Error> {
        let found = self.client.get(&item(kind, id)?)?;
        print(self.format, kind, found)
    }

    fn put<F: Fields>(&self, kind: &str, options: &PutOptions<F>) -> Result<(), Error> {
        let mut document = match &options.file {
            None => Map::new(),
            Some(file) => match read_document(file)? {
                Value::Object(document) => document,
                _ => {
                    return Err(Error::Usage(format!(
                        "{} holds no document",
                        file.display()
                    )));
                }
            },
        };
        options.fields.fill(&mut document).map_err(Error::Usage)?;
        self.write_one(kind, &options.id, document, options.write)
    }

    fn set<F: Fields>(&self, kind: &str, options: &SetOptions<F>) -> Result<(), Error> {
        let found = self.client.get(&item(kind, &options.id)?)?;
        let Value::Object(mut document) = found else {
            return Err(Error::Usage(format!(
                "{kind}/{} is no document",
                options.id
            )));
        };
        options.fields.fill(&mut document).map_err(Error::Usage)?;
        self.write_one(kind, &options.id, document, options.write)
    }

    fn write_one(
        &self,
        kind: &str,
        id: &str,
        document: Map<String, Value>,
        write: WriteOptions,
    ) -> Result<(), Error> {
        let path = format!("{}{}", item(kind, id)?, query(write, true));
        let body = Value::Object(document).to_string().into_bytes();
        let answer = self.client.write(Method::PUT, &path, Some(body))?;
        self.print_written(&answer, write)
    }

    fn delete(&self, kind: &str, options: &DeleteOptions) -> Result<(), Error> {
        for id in &options.ids {
            let path = format!("{}{}", item(kind, id)?, query(options.write, true));
            let answer = self.client.write(Method::DELETE, &path, None)?;
            self.print_written(&answer, options.write)?;
        }
        Ok(())
    }

    fn flush(&self, network: Option<&str>, mac: Option<&str>) -> Result<(), Error> {
        let mut path = "/v1/fdb?".to_owned();
        for (name, value) in [("network", network), ("mac", mac)] {
            if let Some(value) = value {
                path.push_str(&format!("{name}={}&", checked(value)?));
            }
        }
        let path = path.trim_end_matches(['&', '?']);
        let answer = self.client.write(Method::DELETE, path, None)?;
        match self.format {
            Format::Table => {
                writeln!(
                    io::stdout(),
                    "{} learned addresses forgotten",
                    answer["forgotten"]
                )?;
                Ok(())
            }
            _ => print(self.format, "", answer),
        }
    }

    fn large(&self, method: Method, path: &str, options: &FileAndWrite) -> Result<(), Error> {
        let body = read_json(&options.file)?;
        let path = format!("{path}{}", query(options.write, false));
        let answer = self.client.write(method, &path, Some(body))?;
        self.print_written(&answer, options.write)
    }

    /// JSON is passed through as it comes; a million ports need not be understood here.
    fn export(&self) -> Result<(), Error> {
        if self.format == Format::Json {
            let mut stdout = io::stdout();
            let mut answer = self.client.get_raw("/v1/state")?;
            io::copy(&mut answer, &mut stdout)?;
            writeln!(stdout)?;
            return Ok(());
        }
        print(Format::Yaml, "", self.client.get("/v1/state")?)
    }

    fn interface_status(&self, id: Option<&str>) -> Result<(), Error> {
        match id {
            None => self.status("status/interfaces", "interface_status"),
            Some(id) => {
                let found = self
                    .client
                    .get(&format!("{}/status", item("interfaces", id)?))?;
                print(self.format, "interface_status", found)
            }
        }
    }

    fn network_status(&self, id: &str) -> Result<(), Error> {
        let found = self
            .client
            .get(&format!("{}/status", item("networks", id)?))?;
        print(self.format, "network_status", found)
    }

    fn status(&self, path: &str, view: &str) -> Result<(), Error> {
        let mut answer = self.client.get(&format!("/v1/{path}"))?;
        print(self.format, view, answer["items"].take())
    }

    fn drops(&self, all: bool) -> Result<(), Error> {
        let mut answer = self.client.get("/v1/drops")?;
        let mut items = answer["items"].take();
        if let Value::Array(items) = &mut items {
            items.retain(|item| all || item["packets"] != 0);
            items.sort_by_key(|item| std::cmp::Reverse(item["packets"].as_u64()));
        }
        print(self.format, "drops", items)
    }

    fn health(&self) -> Result<(), Error> {
        print(self.format, "", self.client.get("/healthz")?)
    }

    fn version(&self) -> Result<(), Error> {
        let mut versions = self.client.get("/v1/version")?;
        versions["client"] = env!("CARGO_PKG_VERSION").into();
        print(self.format, "version", versions)
    }

    fn print_written(&self, answer: &Value, write: WriteOptions) -> Result<(), Error> {
        match self.format {
            Format::Table => {
                let shows_changes = write.dry_run || write.diff;
                Ok(diff::print(
                    &mut io::stdout().lock(),
                    answer,
                    shows_changes,
                )?)
            }
            _ => print(self.format, "", answer.clone()),
        }
    }
}

fn session_query(filter: &SessionFilter) -> Result<Vec<(&'static str, String)>, Error> {
    let texts = [
        ("router", &filter.router),
        ("protocol", &filter.protocol),
        ("inside", &filter.inside),
        ("outside", &filter.outside),
        ("remote", &filter.remote),
        ("state", &filter.state),
    ];
    let ports = [
        ("inside_port", filter.inside_port),
        ("outside_port", filter.outside_port),
        ("remote_port", filter.remote_port),
    ];
    let mut query = Vec::new();
    for (name, value) in texts {
        if let Some(value) = value {
            query.push((name, checked(value)?.to_owned()));
        }
    }
    let ports = ports
        .into_iter()
        .filter_map(|(name, port)| Some((name, port?.to_string())));
    query.extend(ports);
    Ok(query)
}

/// `2026-11-22T03:42:31Z nat-tenant-limit limit=ports tenant=acme worker=0`
fn event_line(event: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line = Vec::new();
    line.extend(event.get("time").map(word));
    line.push(word(&event["kind"]));
    let others = event.as_object().into_iter().flatten();
    let others = others.filter(|(name, _)| !["time", "kind"].contains(&name.as_str()));
    line.extend(others.map(|(name, value)| format!("{name}={}", word(value))));
    line.join(" ")
}

/// A summary is always asked for: it says what was done.
fn query(write: WriteOptions, is_single: bool) -> String {
    let diff = write.diff || is_single;
    match (write.dry_run, diff) {
        (true, _) => "?dry_run=true".to_owned(),
        (false, true) => "?diff=true".to_owned(),
        (false, false) => String::new(),
    }
}

fn item(kind: &str, id: &str) -> Result<String, Error> {
    let parts = id.split('/').map(checked).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("/v1/{kind}/{}", parts.join("/")))
}

/// What stands in a path is an identifier or an address; anything else would change what the path means.
fn checked(part: &str) -> Result<&str, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
    match !part.is_empty() && part.chars().all(allowed) && part != "." && part != ".." {
        true => Ok(part),
        false => Err(Error::Usage(format!(
            "{part:?} is no identifier: they consist of letters, digits and '.', '_', ':', '-'"
        ))),
    }
}

fn read_file(file: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().read_to_end(&mut content).map(drop),
        false => std::fs::read(file).map(|read| content = read),
    };
    read.map_err(|error| Error::Usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(content)
}

fn read_document(file: &Path) -> Result<Value, Error> {
    let content = read_file(file)?;
    // YAML contains JSON, and its parser says where either is wrong.
    yaml_serde::from_slice(&content).map_err(|error| {
        Error::Usage(format!(
            "{} is neither JSON nor YAML: {error}",
            file.display()
        ))
    })
}

/// A file as JSON. What begins as an object of JSON is left to the server to read.
fn read_json(file: &Path) -> Result<Vec<u8>, Error> {
    let content = read_file(file)?;
    if content.trim_ascii_start().starts_with(b"{") {
        return Ok(content);
    }
    let document: Value = yaml_serde::from_slice(&content).map_err(|error| {
        Error::Usage(format!(
            "{} is neither JSON nor YAML: {error}",
            file.display()
        ))
    })?;
    Ok(document.to_string().into_bytes())
}
