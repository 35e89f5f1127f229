//! Call records of mod_xml_cdr.

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_ENCODING;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;

use super::guarded;
use crate::cdr::document::Encoding;
use crate::cdr::intake::Intake;
use crate::cdr::metrics::CdrMetrics;
use crate::cdr::spool::Received;
use crate::http::body::{LimitedBody, media_type};
use crate::http::credentials::Credentials;

/// `POST /freeswitch/cdr`: 200 when the record is on a disk, 503 when FreeSWITCH has to send it again.
pub(super) fn router(intake: Intake, metrics: CdrMetrics, credentials: Option<&Credentials>) -> Router {
    let take = async move |CdrType(encoding): CdrType, LimitedBody(body): LimitedBody| {
        if body.is_empty() {
            return (StatusCode::BAD_REQUEST, "the body is empty\n").into_response();
        }
        match intake.accept(Received { at: Timestamp::now(), encoding, body }).await {
            Ok(()) => "kept\n".into_response(),
            Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
        }
    };
    let route = guarded(post(take), credentials).layer(from_fn_with_state(metrics, count_refusals));
    Router::new().route("/freeswitch/cdr", route)
}

/// Middleware: counts requests that are refused before the intake, which counts its own: 200 and 503.
async fn count_refusals(State(metrics): State<CdrMetrics>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !matches!(response.status(), StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) {
        metrics.count("refused", 1);
    }
    response
}

/// Extractor of the encoding of a call record, from its head.
struct CdrType(Encoding);

impl<S: Sync> FromRequestParts<S> for CdrType {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let unsupported = |text| (StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(unsupported("Content-Encoding is not supported: send the record as it is\n"));
        }
        let encoding = Encoding::of_media_type(media_type(&parts.headers));
        encoding.map(Self).ok_or(unsupported(
            "Content-Type must be text/xml, application/x-www-form-urlencoded, \
             application/x-www-form-base64-encoded or application/x-www-form-plaintext\n",
        ))
    }
}
