//! HTTP Basic authentication (RFC 7617), compared in constant time.
//!
//! Own code in place of tower-http's `ValidateRequestHeader::basic`, which compares byte by byte.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A user name and password that clients must send.
#[derive(Clone)]
pub struct Credentials {
    /// Digest of the base64 text of a right request: digests have one length, and their comparison takes one time.
    digest: blake3::Hash,
}

/// Why a user name and password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The user name is empty.
    #[error("the user name is missing or empty")]
    NoUsername,
    /// The password is empty.
    #[error("the password is missing or empty")]
    NoPassword,
    /// In HTTP Basic a colon ends the user name.
    #[error("the user name must not contain a colon")]
    Colon,
}

impl Credentials {
    /// Credentials of a user name and a password.
    ///
    /// # Errors
    /// Either is empty, or the user name cannot be sent.
    pub fn new(username: &str, password: &str) -> Result<Self, CredentialsError> {
        if username.is_empty() {
            return Err(CredentialsError::NoUsername);
        }
        if password.is_empty() {
            return Err(CredentialsError::NoPassword);
        }
        if username.contains(':') {
            return Err(CredentialsError::Colon);
        }
        Ok(Self { digest: blake3::hash(STANDARD.encode(format!("{username}:{password}")).as_bytes()) })
    }

    /// Whether the `Authorization` header of a request is right.
    fn accepts(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = header.and_then(|value| {
            let (scheme, token) = value.split_at_checked("Basic ".len())?;
            scheme.eq_ignore_ascii_case(b"Basic ").then_some(token)
        });
        // A missing header takes as long as a wrong one.
        let right = blake3::hash(token.unwrap_or_default()) == self.digest;
        right && token.is_some()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Middleware: answers 401 to a request without the right credentials, before its body is read.
pub async fn require(State(credentials): State<Credentials>, request: Request, next: Next) -> Response {
    if credentials.accepts(request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!("a request with a wrong or missing user name or password was refused");
    let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"centrex\"")];
    (StatusCode::UNAUTHORIZED, challenge, "user name or password is wrong\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(header: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::new("fs", "secret").unwrap().accepts(&headers)
    }

    #[test]
    fn only_the_right_header_is_accepted() {
        assert!(accepts(Some("Basic ZnM6c2VjcmV0")));
        assert!(accepts(Some("basic ZnM6c2VjcmV0")));
        for header in
            ["", "Basic ", "Basic ZnM6c2VjcmV", "Basic ZnM6c2VjcmV0 ", "Bearer ZnM6c2VjcmV0", "ZnM6c2VjcmV0"]
        {
            assert!(!accepts(Some(header)), "{header}");
        }
        assert!(!accepts(None));
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_an_error() {
        for (username, password, error) in [
            ("", "x", CredentialsError::NoUsername),
            ("fs", "", CredentialsError::NoPassword),
            ("a:b", "x", CredentialsError::Colon),
        ] {
            assert_eq!(Credentials::new(username, password).unwrap_err(), error);
        }
    }
}
