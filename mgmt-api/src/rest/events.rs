//! What happens, as it happens: server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing;
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, number, text};
use super::query::Params;
use crate::events::{DatedEvent, Heard, Listener};

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

pub(super) fn add_to(endpoints: &mut Endpoints) {
    endpoints.schema::<DatedEvent>();
    let listen = Operation::new("listen", "nat", "Listen to events")
        .description(
            "Server-sent events from now on: `event` is the kind and `data` a `DatedEvent` as JSON. Who reads too slowly loses \
             events and is told how many, as the event `lost` with `{\"kind\": \"lost\", \"events\": n}`. Every 15 seconds \
             there is a comment, so that a dead connection is found.",
        )
        .query("limit", number(None), "End after so many.")
        .answer(200, "The stream.", EVENT_STREAM, text());
    endpoints.add(
        HttpMethod::Get,
        "/v1/events",
        routing::get(listen_to),
        listen,
    );
}

/// Turns true when the server stops: a stream has no end of its own.
#[derive(Clone)]
pub(super) struct Stopping(pub watch::Receiver<bool>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventParams {
    limit: Option<u64>,
}

/// Someone who reads.
struct Reader {
    listener: Listener,
    left: Option<u64>,
    stopping: Option<watch::Receiver<bool>>,
}

impl Reader {
    async fn next(&mut self) -> Option<Heard> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        match &mut self.stopping {
            None => self.listener.next().await,
            Some(stopping) => tokio::select! {
                heard = self.listener.next() => heard,
                // An error means that the server is gone, which is a stop too.
                _ = stopping.wait_for(|stop| *stop) => None,
            },
        }
    }
}

async fn listen_to(
    State(api): State<Arc<Api>>,
    stopping: Option<Extension<Stopping>>,
    Params(params): Params<EventParams>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let reader = Reader {
        listener: api.manager.events().listen(),
        left: params.limit,
        stopping: stopping.map(|Extension(Stopping(stopping))| stopping),
    };
    let stream = futures_util::stream::unfold(reader, async |mut reader| {
        let heard = reader.next().await?;
        Some((Ok(shown(&heard)), reader))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn shown(heard: &Heard) -> Event {
    match heard {
        Heard::Event(dated) => {
            let data = serde_json::to_string(&**dated).unwrap_or_default();
            Event::default().event(dated.event.kind()).data(data)
        }
        Heard::Lost(events) => {
            let data = serde_json::json!({"kind": "lost", "events": events});
            Event::default().event("lost").data(data.to_string())
        }
    }
}
