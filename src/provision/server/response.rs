//! Answers to phones. Every one says how long it is, and that nothing in between may store it.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, GetAll, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::response::Response;

use super::files::File;
use super::nonce::Nonces;
use crate::plan::DigestAlgorithm;
use crate::secrets::a1_hash::REALM;

/// Seconds after which a phone may ask again while something is away.
const RETRY_UNAVAILABLE: HeaderValue = HeaderValue::from_static("120");
/// The same while a limit is reached.
const RETRY_THROTTLED: HeaderValue = HeaderValue::from_static("60");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"centrex\", charset=\"UTF-8\"");

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    with(status, Body::empty())
}

fn with(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The answer to every request without a right credential, whatever is wrong: over TLS a challenge for Basic; without
/// TLS also for Digest, which shows no password to the network.
pub fn unauthorized(is_secure: bool, nonces: Option<&Nonces>, is_stale: bool) -> Response {
    let mut response = empty(StatusCode::UNAUTHORIZED);
    let headers = response.headers_mut();
    headers.append(WWW_AUTHENTICATE, BASIC);
    if let (false, Some(nonces)) = (is_secure, nonces) {
        let stale = if is_stale { ", stale=true" } else { "" };
        for algorithm in DigestAlgorithm::ALL.map(DigestAlgorithm::as_str) {
            let nonce = nonces.issue();
            let challenge = format!(
                "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\"{stale}"
            );
            // All of it is ASCII without control characters.
            headers.extend(HeaderValue::try_from(challenge).ok().map(|value| (WWW_AUTHENTICATE, value)));
        }
    }
    response
}

/// The answer to a method that changes something.
pub fn method_not_allowed() -> Response {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The answer without TLS. No redirection: a phone would have sent its password already.
pub fn needs_tls() -> Response {
    let mut response = with(StatusCode::FORBIDDEN, Body::from("use https\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer to too many requests of an address or of a Device. Not 401, at which phones ask their user for a password.
pub fn throttled() -> Response {
    let mut response = empty(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, RETRY_THROTTLED);
    response
}

/// The answer while what is needed cannot be read.
pub fn unavailable() -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY_UNAVAILABLE);
    response
}

/// A file.
pub fn file(file: &File) -> Response {
    let mut response = with(StatusCode::OK, Body::from(file.body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(ETAG, file.etag.clone());
    response
}

/// The answer to a phone that has the file.
pub fn not_modified(file: &File) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(ETAG, file.etag.clone());
    response
}

/// Whether `If-None-Match` names an entity (RFC 9110 §13.1.2).
pub fn is_known(values: GetAll<'_, HeaderValue>, etag: &HeaderValue) -> bool {
    let values = values.iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::http::header::IF_NONE_MATCH;

    use super::*;

    #[test]
    fn an_entity_is_known_by_its_tag() {
        let known = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, value.parse().unwrap());
            }
            is_known(headers.get_all(IF_NONE_MATCH), &HeaderValue::from_static("\"ab\""))
        };
        for values in [&["\"ab\""][..], &["W/\"ab\""], &["\"x\", \"ab\""], &["\"x\"", "\"ab\""], &["*"]] {
            assert!(known(values), "{values:?}");
        }
        for values in [&[][..], &["ab"], &["\"abc\""], &["\"x\""], &[""]] {
            assert!(!known(values), "{values:?}");
        }
    }

    #[test]
    fn every_refusal_is_the_same() {
        let nonces = Nonces::new(crate::secrets::signing_key::SigningKey::dummy());
        let challenges = |response: Response| {
            let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let secure = challenges(unauthorized(true, Some(&nonces), false));
        assert_eq!(secure, ["Basic realm=\"centrex\", charset=\"UTF-8\""]);
        let open = challenges(unauthorized(false, Some(&nonces), true));
        assert_eq!(open.len(), 3);
        assert!(open[1].contains("algorithm=MD5") && open[2].contains("algorithm=SHA-256"), "{open:?}");
        assert!(open[1].ends_with("stale=true"));
    }
}
