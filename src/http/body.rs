//! The body of a request, limited in size and in time.
//!
//! Own code in place of `DefaultBodyLimit` or tower-http's `RequestBodyLimit`, which answer 413 without reading
//! on: the connection is then reset while its client still writes, and the client never reads the answer.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures::StreamExt;

/// Default limit of a body: FreeSWITCH posts 25 kB and more after many transfers.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How much of a body beyond its limit is read and discarded, so that its client gets to read the answer.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

/// How long the body of a request may take to arrive, from the end of its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Extractor of a whole body of at most `MAX` bytes.
#[derive(Clone, Debug)]
pub struct LimitedBody<const MAX: usize = MAX_BODY_BYTES>(pub Bytes);

/// Why a body was not read. As a response: 413, 408 or 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is longer than its limit, which is given in bytes.
    #[error("the body is larger than {} MiB", .0 >> 20)]
    TooLarge(usize),
    /// The body did not arrive within ten seconds.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection ended within the body.
    #[error("the body is incomplete")]
    Incomplete,
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}

impl<S: Sync, const MAX: usize> FromRequest<S> for LimitedBody<MAX> {
    type Rejection = BodyError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, BodyError> {
        let read = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body(), MAX));
        read.await.unwrap_or(Err(BodyError::TooSlow)).map(Self)
    }
}

async fn read(body: Body, max: usize) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut chunks = body.into_data_stream();
    let mut whole = BytesMut::new();
    if announced <= max {
        whole.reserve(announced);
        while whole.len() <= max {
            match chunks.next().await {
                Some(Ok(chunk)) => whole.extend_from_slice(&chunk),
                Some(Err(_)) => return Err(BodyError::Incomplete),
                None => return Ok(whole.freeze()),
            }
        }
    }
    let mut discarded = 0;
    while discarded <= MAX_DISCARDED_BYTES
        && let Some(Ok(chunk)) = chunks.next().await
    {
        discarded += chunk.len();
    }
    Err(BodyError::TooLarge(max))
}

/// The media type of `Content-Type`, without its parameters; empty when the header is missing.
pub fn media_type(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    async fn extract(body: Body) -> Result<usize, BodyError> {
        let body = LimitedBody::<10>::from_request(Request::new(body), &()).await?;
        Ok(body.0.len())
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_read_completely() {
        for length in [0, 1, 10] {
            assert_eq!(extract(Body::from(vec![0; length])).await, Ok(length));
        }
        let chunks = stream::iter([Ok::<_, Infallible>(vec![0; 5]), Ok(vec![0; 5])]);
        assert_eq!(extract(Body::from_stream(chunks)).await, Ok(10));
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_too_large_whether_its_length_is_announced_or_not() {
        assert_eq!(extract(Body::from(vec![0; 11])).await, Err(BodyError::TooLarge(10)));
        let endless = stream::repeat(Ok::<_, Infallible>(vec![0; 1 << 20]));
        assert_eq!(extract(Body::from_stream(endless)).await, Err(BodyError::TooLarge(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_byte_by_byte_is_too_slow() {
        let slow = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok::<_, Infallible>(vec![0])
        });
        assert_eq!(extract(Body::from_stream(slow)).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn an_aborted_body_is_incomplete() {
        let broken = stream::iter([Ok(vec![0]), Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe))]);
        assert_eq!(extract(Body::from_stream(broken)).await, Err(BodyError::Incomplete));
    }
}
