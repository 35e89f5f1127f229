//! The answer of a phone to a digest challenge (RFC 2617 §3.2.2; RFC 7616 with MD5), recomputed.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// What a phone's `Authorization` header says, as FreeSWITCH posts it.
#[derive(Clone, Copy, Debug)]
pub struct DigestAnswer<'a> {
    /// Method of the request.
    pub method: &'a str,
    /// Digest URI.
    pub uri: &'a str,
    /// Nonce of the challenge.
    pub nonce: &'a str,
    /// Quality of protection: `auth`, or empty for none.
    pub qop: &'a str,
    /// Nonce of the phone.
    pub cnonce: &'a str,
    /// Count of the nonce's uses, as the phone writes it.
    pub nc: &'a str,
    /// The answer, in hexadecimal digits.
    pub response: &'a str,
}

impl DigestAnswer<'_> {
    /// Whether the phone knows the password of an a1-hash. Compared in constant time.
    pub fn is_by(&self, a1_hash: &str) -> bool {
        let a2 = hex::encode(Md5::digest(format!("{}:{}", self.method, self.uri)));
        // FreeSWITCH computes it so too (sofia_reg.c, sofia_reg_parse_auth).
        let text = match [self.nc, self.cnonce, self.qop].iter().any(|part| part.is_empty()) {
            true => format!("{a1_hash}:{}:{a2}", self.nonce),
            false => format!("{a1_hash}:{}:{}:{}:{}:{a2}", self.nonce, self.nc, self.cnonce, self.qop),
        };
        hex::encode(Md5::digest(text)).as_bytes().ct_eq(self.response.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 §3.5.
    const EXAMPLE: DigestAnswer<'_> = DigestAnswer {
        method: "GET",
        uri: "/dir/index.html",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop: "auth",
        cnonce: "0a4f113b",
        nc: "00000001",
        response: "6629fae49393a05397450978507c4ef1",
    };
    const A1: &str = "939e7578ed9e3c518a452acee763bce9";

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        assert!(EXAMPLE.is_by(A1));
        // Without qop, by RFC 2069 (erratum 749 has the value).
        let plain = "670fd8c2df070c60b045671b8b24ff02";
        assert!(DigestAnswer { qop: "", cnonce: "", nc: "", response: plain, ..EXAMPLE }.is_by(A1));
    }

    #[test]
    fn every_part_counts() {
        for other in [
            DigestAnswer { method: "PUT", ..EXAMPLE },
            DigestAnswer { uri: "/dir", ..EXAMPLE },
            DigestAnswer { nonce: "d", ..EXAMPLE },
            DigestAnswer { cnonce: "0", ..EXAMPLE },
            DigestAnswer { nc: "00000002", ..EXAMPLE },
            DigestAnswer { qop: "", ..EXAMPLE },
            DigestAnswer { response: "", ..EXAMPLE },
            DigestAnswer { response: "6629fae49393a05397450978507c4ef", ..EXAMPLE },
        ] {
            assert!(!other.is_by(A1), "{other:?}");
        }
        assert!(!EXAMPLE.is_by("") && !EXAMPLE.is_by("939e7578ed9e3c518a452acee763bce8"));
    }
}
