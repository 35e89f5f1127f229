//! The body of a lookup: of limited size, and within limited time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};

/// Most bytes of a request's body: FreeSWITCH posts 25 kB and more after many transfers.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a body may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes that are thrown away of a body that is too large, so that its sender gets to read
/// the answer.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

/// Reads a body.
///
/// # Errors
/// The status that says what is wrong with it: 413, 408, or 400 when it breaks off.
pub(super) async fn read(mut body: Incoming) -> Result<Bytes, StatusCode> {
    let reading = async {
        if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            discard(body).await;
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        match Limited::new(&mut body, MAX_BODY_BYTES).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                discard(body).await;
                Err(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    };
    tokio::time::timeout(TIMEOUT, reading).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
}

async fn discard(mut body: Incoming) {
    let mut left = MAX_DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}
