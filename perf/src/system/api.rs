//! A client of the daemon's REST API on loopback.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The API of one daemon.
pub struct Api {
    agent: ureq::Agent,
    base: String,
}

/// An entry of `/v1/workers`, as far as it is needed here.
#[derive(Clone, Debug, Deserialize)]
pub struct Worker {
    /// Turns of its loop.
    pub iterations: u64,
    /// Packets it took in.
    pub packets: u64,
    /// Where its cycles went.
    pub stages: Vec<Stage>,
}

/// A stage of a worker.
#[derive(Clone, Debug, Deserialize)]
pub struct Stage {
    /// Its name.
    pub stage: String,
    /// Its cycles since the start.
    pub cycles: u64,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Drop {
    reason: String,
    packets: u64,
}

#[derive(Deserialize)]
struct Table {
    name: String,
    used: u64,
}

impl Api {
    /// The API on a port of loopback.
    pub fn new(port: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(300)))
            .build();
        Self {
            agent: config.into(),
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Whether the daemon forwards.
    pub fn is_healthy(&self) -> bool {
        let answer = self.agent.get(format!("{}/healthz", self.base)).call();
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Makes a transaction. When it returns, the workers forward by it.
    pub fn transaction(&self, body: &[u8]) -> Result<()> {
        let request = self.agent.post(format!("{}/v1/transaction", self.base));
        let mut answer = request
            .content_type("application/json")
            .send(body)
            .context("the daemon does not answer")?;
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("the daemon refuses a transaction: {text}");
        }
        Ok(())
    }

    fn list<T: DeserializeOwned>(&self, what: &str) -> Result<Vec<T>> {
        let url = format!("{}/v1/{what}", self.base);
        let mut answer = self
            .agent
            .get(&url)
            .call()
            .context("the daemon does not answer")?;
        let items: Items<T> = answer
            .body_mut()
            .read_json()
            .with_context(|| format!("what {url} says is not understood"))?;
        Ok(items.items)
    }

    /// The first worker, which is the only one in these runs.
    pub fn worker(&self) -> Result<Worker> {
        let workers: Vec<Worker> = self.list("workers")?;
        workers
            .into_iter()
            .next()
            .context("the daemon has no worker")
    }

    /// The drop reasons with a count.
    pub fn drops(&self) -> Result<Vec<(String, u64)>> {
        let drops: Vec<Drop> = self.list("drops")?;
        let counted = drops.into_iter().filter(|drop| drop.packets > 0);
        Ok(counted.map(|drop| (drop.reason, drop.packets)).collect())
    }

    /// Entries of a table; its name without regard to case.
    pub fn table_used(&self, name: &str) -> Result<u64> {
        let tables: Vec<Table> = self.list("tables")?;
        let found = tables
            .iter()
            .find(|table| table.name.eq_ignore_ascii_case(name));
        let found = found.with_context(|| format!("the daemon has no table {name}"))?;
        Ok(found.used)
    }

    /// The neighbours of the underlay whose MAC is known.
    pub fn neighbours_known(&self) -> Result<usize> {
        let all: Vec<Value> = self.list("underlay")?;
        Ok(all.iter().filter(|one| one["mac"].is_string()).count())
    }
}
