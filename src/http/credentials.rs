//! Who may ask: HTTP Basic (RFC 7617), compared in constant time.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// User name and password that FreeSWITCH sends.
#[derive(Clone)]
pub struct Credentials {
    /// Of the base64 text a right request carries, so that lengths compare equal; and it compares in
    /// constant time.
    digest: blake3::Hash,
}

/// Why credentials or the lack of them are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Half of them is missing.
    #[error("--xml-username and --xml-password go together: {0} is missing or empty")]
    Incomplete(&'static str),
    /// A colon would end the user name.
    #[error("--xml-username must not contain a colon")]
    Colon,
    /// Nobody would be asked for a password.
    #[error(
        "--xml-listen {0} is reachable from other machines, and answers hold secrets: set --xml-username and \
         --xml-password, or listen on 127.0.0.1 or [::1]"
    )]
    Exposed(SocketAddr),
}

impl Credentials {
    /// Credentials from options; none when neither is given.
    ///
    /// # Errors
    /// Only one is given, or one is empty, or the user name cannot be sent.
    pub fn from_options(
        username: Option<&str>,
        password: Option<&str>,
    ) -> Result<Option<Self>, CredentialsError> {
        let filled = |text: &&str| !text.is_empty();
        match (username, password) {
            (None, None) => Ok(None),
            (Some(username), Some(password)) if filled(&username) && filled(&password) => {
                Self::new(username, password).map(Some)
            }
            (username, _) if username.is_none_or(str::is_empty) => {
                Err(CredentialsError::Incomplete("--xml-username"))
            }
            _ => Err(CredentialsError::Incomplete("--xml-password")),
        }
    }

    fn new(username: &str, password: &str) -> Result<Self, CredentialsError> {
        if username.contains(':') {
            return Err(CredentialsError::Colon);
        }
        Ok(Self { digest: blake3::hash(STANDARD.encode(format!("{username}:{password}")).as_bytes()) })
    }

    /// Whether the value of an `Authorization` header is right.
    pub fn accept(&self, header: Option<&[u8]>) -> bool {
        let token = header.and_then(|value| {
            let (scheme, token) = value.split_at_checked("Basic ".len())?;
            scheme.eq_ignore_ascii_case(b"Basic ").then_some(token)
        });
        // An absent header takes as long as a wrong one.
        let right = blake3::hash(token.unwrap_or_default()) == self.digest;
        right && token.is_some()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Whether a listener may be opened: without credentials on loopback only.
///
/// # Errors
/// [`CredentialsError::Exposed`].
pub fn check_exposure(listen: SocketAddr, credentials: Option<&Credentials>) -> Result<(), CredentialsError> {
    if credentials.is_none() && !listen.ip().to_canonical().is_loopback() {
        return Err(CredentialsError::Exposed(listen));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::from_options(Some("fs"), Some("secret")).unwrap().unwrap()
    }

    #[test]
    fn only_the_right_header_is_accepted() {
        let right = b"Basic ZnM6c2VjcmV0";
        assert!(credentials().accept(Some(right)));
        assert!(credentials().accept(Some(b"basic ZnM6c2VjcmV0")));
        for header in [
            &b""[..],
            b"Basic ",
            b"Basic ZnM6c2VjcmV",
            b"Basic ZnM6c2VjcmV0 ",
            b"Bearer ZnM6c2VjcmV0",
            b"ZnM6c2VjcmV0",
        ] {
            assert!(!credentials().accept(Some(header)));
        }
        assert!(!credentials().accept(None));
    }

    #[test]
    fn half_credentials_are_an_error_that_names_the_option() {
        for (username, password, option) in [
            (Some("fs"), None, "--xml-password"),
            (None, Some("x"), "--xml-username"),
            (Some("fs"), Some(""), "--xml-password"),
            (Some(""), Some(""), "--xml-username"),
        ] {
            let error = Credentials::from_options(username, password).unwrap_err();
            assert_eq!(error, CredentialsError::Incomplete(option));
        }
        assert!(Credentials::from_options(None, None).unwrap().is_none());
        assert_eq!(Credentials::from_options(Some("a:b"), Some("x")).unwrap_err(), CredentialsError::Colon);
    }

    #[test]
    fn without_credentials_only_loopback() {
        for (listen, open) in [
            ("127.0.0.1:8080", true),
            ("127.9.9.9:1", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]:8080", true),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("192.0.2.1:8080", false),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(check_exposure(listen, None).is_ok(), open, "{listen}");
            assert!(check_exposure(listen, Some(&credentials())).is_ok());
        }
    }
}
