//! Changes as server-sent events: each says only that there is something new, the page asks for what.

use std::convert::Infallible;

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;

use super::Reader;

pub async fn stream(State(reader): State<Reader>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = WatchStream::new(reader.desk.clerk.changes())
        .map(|version| Ok(Event::default().event("change").data(version.to_string())))
        .take_until(reader.stop.cancelled_owned());
    Sse::new(changes).keep_alive(KeepAlive::default())
}
