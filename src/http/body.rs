//! The body of a lookup: of limited size, and within limited time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};

use super::deadline::ConnectionDeadline;

/// Most bytes of a request's body: FreeSWITCH posts 25 kB and more after many transfers.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Most bytes that are thrown away of a body that is too large, so that its sender gets to read
/// the answer.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

/// Reads a body.
///
/// # Errors
/// The status that says what is wrong with it: 413, 408, or 400 when it breaks off.
pub async fn read(body: Incoming, patience: &ConnectionDeadline) -> Result<Bytes, StatusCode> {
    let mut reading = pin!(whole(body));
    poll_fn(|context| match patience.is_late() {
        true => Poll::Ready(Err(StatusCode::REQUEST_TIMEOUT)),
        false => reading.as_mut().poll(context),
    })
    .await
}

async fn whole(mut body: Incoming) -> Result<Bytes, StatusCode> {
    let length = body.size_hint().lower();
    if length > MAX_BODY_BYTES as u64 {
        discard(body).await;
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    // Nearly every body comes in one piece, and is not copied then.
    let first = part(&mut body).await?.unwrap_or_default();
    if body.is_end_stream() && first.len() <= MAX_BODY_BYTES {
        return Ok(first);
    }
    // The length that the head names is at most 1 MiB here.
    let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    whole.extend_from_slice(&first);
    while whole.len() <= MAX_BODY_BYTES {
        match part(&mut body).await? {
            Some(part) => whole.extend_from_slice(&part),
            None => return Ok(whole.freeze()),
        }
    }
    discard(body).await;
    Err(StatusCode::PAYLOAD_TOO_LARGE)
}

/// The next piece; none at the end.
async fn part(body: &mut Incoming) -> Result<Option<Bytes>, StatusCode> {
    match body.frame().await {
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())), // trailers are nothing
        Some(Err(_)) => Err(StatusCode::BAD_REQUEST),
        None => Ok(None),
    }
}

async fn discard(mut body: Incoming) {
    let mut left = MAX_DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}
