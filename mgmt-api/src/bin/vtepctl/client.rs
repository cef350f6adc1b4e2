//! HTTP to the server, over TCP or a Unix socket, and what can go wrong.

use std::path::PathBuf;
use std::time::Duration;

use mgmt_api::rest::problem::Problem;
use reqwest::Method;
use reqwest::blocking::{RequestBuilder, Response};
use serde_json::Value;

/// How long to wait for a connection. Answers may take longer: a million ports take seconds.
const CONNECT: Duration = Duration::from_secs(5);
/// The items of a page while following a list.
const PAGE: usize = 1000;

/// Why a command failed, and the code it exits with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("{}", describe(.0))]
    Refused(Box<Problem>),
    /// What was given to the command makes no sense.
    #[error("{0}")]
    Usage(String),
    /// There is no server.
    #[error(
        "cannot reach vtepd at {server}: {why}. Is it running (systemctl status vtepd), and is this the address of its [api] section? Give another with --server or VTEPCTL_SERVER"
    )]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// What happened.
        why: String,
    },
    /// The answer is not vtepd's.
    #[error("{server} answered {what}: is this a vtepd?")]
    Strange {
        /// Who answered.
        server: String,
        /// What it answered.
        what: String,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// 1: refused, 2: wrong usage, 3: no server.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Strange { .. } => 3,
        }
    }
}

fn describe(problem: &Problem) -> String {
    let mut line = String::new();
    for part in [&problem.resource, &problem.field].into_iter().flatten() {
        if !part.is_empty() {
            line.push_str(part);
            line.push_str(": ");
        }
    }
    format!("{line}{} ({})", problem.detail, problem.code.as_str())
}

/// A connection to one server.
pub struct Client {
    http: reqwest::blocking::Client,
    base: String,
    server: String,
}

impl Client {
    /// A client of `http://host:port` or `unix:/path`.
    pub fn new(server: &str) -> Result<Self, Error> {
        let builder = reqwest::blocking::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(None);
        let builder = builder.no_proxy();
        let (builder, base) = match server.strip_prefix("unix:") {
            Some(path) => (builder.unix_socket(PathBuf::from(path)), "http://localhost"),
            None if server.starts_with("http://") => (builder, server.trim_end_matches('/')),
            None => {
                let message =
                    format!("--server is http://ADDRESS:PORT or unix:/PATH, not {server:?}");
                return Err(Error::Usage(message));
            }
        };
        let http = builder
            .build()
            .map_err(|error| Error::Usage(error.to_string()))?;
        Ok(Self {
            http,
            base: base.to_owned(),
            server: server.to_owned(),
        })
    }

    pub fn get(&self, path: &str) -> Result<Value, Error> {
        self.json(self.http.get(self.url(path)))
    }

    /// The answer as it comes, for what may be too large to be held.
    pub fn get_raw(&self, path: &str) -> Result<Response, Error> {
        self.send(self.http.get(self.url(path)))
    }

    pub fn write(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value, Error> {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        self.json(request)
    }

    /// Follows a list to its end, or until `limit` items.
    pub fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, Error> {
        let page = limit.unwrap_or(PAGE).clamp(1, PAGE);
        let parts = query.iter().map(|(name, value)| format!("&{name}={value}"));
        let mut next = Some(format!("{path}?limit={page}{}", parts.collect::<String>()));
        let mut items = Vec::new();
        while let Some(path) = next.take()
            && limit.is_none_or(|limit| items.len() < limit)
        {
            let mut answer = self.get(&path)?;
            let Some(Value::Array(found)) = answer.get_mut("items").map(Value::take) else {
                return Err(self.strange("no list"));
            };
            items.extend(found);
            next = answer
                .get("next")
                .and_then(Value::as_str)
                .map(str::to_owned);
        }
        items.truncate(limit.unwrap_or(usize::MAX));
        Ok(items)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn strange(&self, what: impl Into<String>) -> Error {
        Error::Strange {
            server: self.server.clone(),
            what: what.into(),
        }
    }

    fn json(&self, request: RequestBuilder) -> Result<Value, Error> {
        let text = self.send(request)?.text();
        let text = text.map_err(|error| self.unreachable(&error))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| self.strange("something that is not JSON"))
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().map_err(|error| self.unreachable(&error))?;
        match serde_json::from_str(&text) {
            Ok(problem) => Err(Error::Refused(Box::new(problem))),
            Err(_) => Err(self.strange(format!("status {status} without a problem document"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        // The innermost cause says what happened: "Connection refused", "No such file or directory".
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Error::Unreachable {
            server: self.server.clone(),
            why: cause.to_string(),
        }
    }
}
