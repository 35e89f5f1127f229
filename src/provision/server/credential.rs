//! The credential of a request: HTTP Basic (RFC 7617) or Digest (RFC 7616). It is compared with hashes that the replica
//! has, in the same steps for a user that does not exist.

use axum::http::header::{AUTHORIZATION, HeaderValue};
use axum::http::{HeaderMap, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::digest::DigestAnswer;
use super::nonce::{Freshness, Nonces};
use crate::plan::{DigestAlgorithm, Secrets};
use crate::secrets::a1_hash::{REALM, provisioning_hash};

/// Most bytes of the header that are read.
const MAX_HEADER: usize = 2048;
/// What the credential of an unknown user is compared with. Whatever the result, it is wrong.
const OTHER_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A credential that was sent.
pub enum Credential {
    /// User and password.
    Basic {
        /// The user.
        user: Vec<u8>,
        /// The password.
        password: Zeroizing<Vec<u8>>,
    },
    /// The answer to a challenge.
    Digest(DigestAnswer),
}

/// What a credential was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// It answers a challenge that is too old: whether it is right is not said, and the phone answers a new one.
    Stale,
}

impl Credential {
    /// The credential of a request; `None` without one, or with one that cannot be read.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)?;
        let header = header.get(..MAX_HEADER).map_or(header, |_| b"");
        let end = header.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = header.split_at(end);
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"Basic") {
            let mut text = Zeroizing::new(STANDARD.decode(rest).ok()?);
            let colon = text.iter().position(|byte| *byte == b':')?;
            let password = Zeroizing::new(text.split_off(colon + 1));
            text.truncate(colon);
            return Some(Self::Basic { user: text.to_vec(), password });
        }
        if scheme.eq_ignore_ascii_case(b"Digest") {
            return DigestAnswer::parse(std::str::from_utf8(rest).ok()?).map(Self::Digest);
        }
        None
    }

    /// The user that it names, if it is text.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Basic { user, .. } => std::str::from_utf8(user).ok(),
            Self::Digest(answer) => Some(&answer.user),
        }
    }

    /// What distinguishes one guess from another: the same wrong password again is none.
    pub fn guess(&self) -> Vec<u8> {
        match self {
            Self::Basic { user, password } => [user.as_slice(), password].join(&0),
            // It changes with each challenge: every wrong one is a guess.
            Self::Digest(answer) => answer.response.as_bytes().to_vec(),
        }
    }

    /// Compares it with the secrets of the user that it names, if there is such a user. `target` is the request's.
    pub fn compare(
        &self,
        secrets: Option<&Secrets>,
        method: &Method,
        target: &str,
        nonces: Option<&Nonces>,
    ) -> Match {
        let algorithm = match self {
            Self::Basic { .. } => DigestAlgorithm::Md5,
            Self::Digest(answer) => answer.algorithm,
        };
        let hash = secrets.and_then(|secrets| secrets.provisioning_hash(algorithm));
        let digits = match algorithm {
            DigestAlgorithm::Md5 => OTHER_HASH.len() / 2,
            DigestAlgorithm::Sha256 => OTHER_HASH.len(),
        };
        let compared = hash.or(OTHER_HASH.get(..digits)).unwrap_or_default();
        let is_equal: bool = match self {
            Self::Basic { user, password } => {
                let given = provisioning_hash(algorithm, user, password);
                given.as_bytes().ct_eq(compared.as_bytes()).into()
            }
            Self::Digest(answer) => {
                let expected = answer.expected(compared, method.as_str());
                answer.response.as_bytes().ct_eq(expected.as_bytes()).into()
            }
        };
        let freshness = match self {
            Self::Basic { .. } => Freshness::Fresh,
            Self::Digest(answer) if answer.realm == REALM && answer.is_for(target) => {
                nonces.map_or(Freshness::Foreign, |nonces| nonces.freshness(&answer.nonce))
            }
            Self::Digest(_) => Freshness::Foreign,
        };
        match freshness {
            Freshness::Fresh if is_equal && hash.is_some() => Match::Right,
            Freshness::Fresh | Freshness::Foreign => Match::Wrong,
            Freshness::Old => Match::Stale,
        }
    }
}

/// The hash of an algorithm, in hexadecimal digits.
pub(super) fn hash(algorithm: DigestAlgorithm, text: &str) -> String {
    match algorithm {
        DigestAlgorithm::Md5 => hex::encode(Md5::digest(text)),
        DigestAlgorithm::Sha256 => hex::encode(Sha256::digest(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::signing_key::SigningKey;

    const USER: &str = "d-abcdefghij";
    const PASSWORD: &str = "Circle0Of0Life";

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        let hash =
            |algorithm| (algorithm, provisioning_hash(algorithm, USER.as_bytes(), PASSWORD.as_bytes()));
        secrets.replace_provisioning_hashes(DigestAlgorithm::ALL.map(hash).into_iter(), None);
        secrets
    }

    fn read(header: &str) -> Option<Credential> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().unwrap());
        Credential::read(&headers)
    }

    fn basic(user: &str, password: &str) -> Credential {
        read(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))).unwrap()
    }

    #[test]
    fn basic_is_right_for_its_user_alone() {
        let compare = |credential: Credential, secrets: Option<&Secrets>| {
            credential.compare(secrets, &Method::GET, "/provision/x", None)
        };
        let secrets = secrets();
        assert_eq!(compare(basic(USER, PASSWORD), Some(&secrets)), Match::Right);
        for (user, password) in [(USER, "wrong"), (USER, ""), ("d-other", PASSWORD), ("", "")] {
            assert_eq!(compare(basic(user, password), Some(&secrets)), Match::Wrong, "{user}");
        }
        assert_eq!(compare(basic(USER, PASSWORD), None), Match::Wrong, "an unknown user");
        assert_eq!(compare(basic(USER, PASSWORD), Some(&Secrets::default())), Match::Wrong, "no password");
    }

    #[test]
    fn what_cannot_be_read_is_no_credential() {
        for header in ["", "Basic", "Basic ", "Basic !!", "Basic Zm9v", "Bearer x", "Digest ", "Digest x"] {
            assert!(read(header).is_none(), "{header}");
        }
        assert!(read(&format!("Basic {}", "A".repeat(MAX_HEADER))).is_none());
        assert_eq!(read("bAsIc ZDpw").unwrap().user(), Some("d"));
    }

    /// The answer of a client to a challenge.
    fn digest(algorithm: DigestAlgorithm, known: &str, nonce: &str, uri: &str) -> String {
        let (ha2, name) = (hash(algorithm, &format!("GET:{uri}")), algorithm.as_str());
        let response = hash(algorithm, &format!("{known}:{nonce}:00000001:abc:auth:{ha2}"));
        format!(
            "Digest username=\"{USER}\", realm=\"centrex\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={name}, qop=auth, nc=00000001, cnonce=\"abc\", response=\"{response}\""
        )
    }

    #[test]
    fn digest_is_right_for_a_fresh_nonce_and_its_own_target() {
        let nonces = Nonces::new(SigningKey::dummy());
        let (secrets, target) = (secrets(), "/provision/805ec01234ab.cfg");
        let compare = |header: &str, secrets: Option<&Secrets>| {
            read(header).unwrap().compare(secrets, &Method::GET, target, Some(&nonces))
        };
        for algorithm in DigestAlgorithm::ALL {
            let known = secrets.provisioning_hash(algorithm).unwrap();
            let right = digest(algorithm, known, &nonces.issue(), target);
            assert_eq!(compare(&right, Some(&secrets)), Match::Right);
            assert_eq!(compare(&right, None), Match::Wrong);
            let other_target = digest(algorithm, known, &nonces.issue(), "/provision/other.cfg");
            assert_eq!(compare(&other_target, Some(&secrets)), Match::Wrong);
            let foreign = digest(algorithm, known, "0123456789abcdef", target);
            assert_eq!(compare(&foreign, Some(&secrets)), Match::Wrong);
            let old = digest(algorithm, known, &nonces.issue_at(1), target);
            assert_eq!(compare(&old, Some(&secrets)), Match::Stale);
            assert_eq!(compare(&old, None), Match::Stale, "the same for an unknown user");
            // Who knows what an unknown user is compared with knows nothing.
            let forged = digest(algorithm, &OTHER_HASH[..known.len()], &nonces.issue(), target);
            assert_eq!(compare(&forged, None), Match::Wrong);
            assert_eq!(compare(&forged, Some(&Secrets::default())), Match::Wrong);
        }
    }
}
