//! An answer to a challenge of HTTP Digest authentication (RFC 7616; RFC 2069 where a phone sends no `qop`).

use std::collections::HashMap;

use super::credential::hash;
use crate::plan::DigestAlgorithm;

/// Most parameters that are read.
const MAX_PARAMETERS: usize = 16;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestAnswer {
    /// User that it is of.
    pub user: String,
    /// Realm of the challenge.
    pub realm: String,
    /// Nonce of the challenge.
    pub nonce: String,
    /// Algorithm; MD5 where it names none.
    pub algorithm: DigestAlgorithm,
    /// What shows that the user's password is known.
    pub response: String,
    uri: String,
    /// Count and nonce of the client, where it sent `qop=auth`.
    auth: Option<(String, String)>,
}

impl DigestAnswer {
    /// Reads the parameters after the word `Digest`; `None` where one is missing, or asks for what is not offered.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parameters = parameters(text)?;
        let mut take = |name| parameters.remove(name);
        let algorithm = match take("algorithm") {
            None => DigestAlgorithm::Md5,
            Some(name) => {
                DigestAlgorithm::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&name))?
            }
        };
        let auth = match take("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((take("nc")?, take("cnonce")?)),
            Some(_) => return None,
        };
        Some(Self {
            user: take("username")?,
            realm: take("realm")?,
            nonce: take("nonce")?,
            response: take("response")?.to_ascii_lowercase(),
            uri: take("uri")?,
            algorithm,
            auth,
        })
    }

    /// Whether it is for a request's target. Some clients name the whole address.
    pub fn is_for(&self, target: &str) -> bool {
        let path = match self.uri.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/"),
            None => &self.uri,
        };
        path == target
    }

    /// The response of a client that knows the hash of user, realm and password.
    pub fn expected(&self, known: &str, method: &str) -> String {
        let of_request = hash(self.algorithm, &format!("{method}:{}", self.uri));
        let nonce = &self.nonce;
        let text = match &self.auth {
            Some((count, cnonce)) => format!("{known}:{nonce}:{count}:{cnonce}:auth:{of_request}"),
            None => format!("{known}:{nonce}:{of_request}"),
        };
        hash(self.algorithm, &text)
    }
}

/// Parameters by their names, in lower case: `name=token` and `name="quoted"` (RFC 9110 §11.2).
fn parameters(text: &str) -> Option<HashMap<String, String>> {
    let (mut parameters, mut rest) = (HashMap::new(), text.trim_start());
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let (value, after) = value.split_at(value.find(',').unwrap_or(value.len()));
                (value.trim().to_owned(), after)
            }
        };
        if parameters.len() == MAX_PARAMETERS || parameters.insert(name, value).is_some() {
            return None;
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(parameters)
}

/// The text of a quoted string up to its end, and what follows.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(index + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_responses_are_those_of_the_rfc() {
        // RFC 7616 §3.9.1.
        let of = |algorithm: &str, response: &str| {
            let text = format!(
                "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let answer = DigestAnswer::parse(&text).unwrap();
            let known = hash(answer.algorithm, "Mufasa:http-auth@example.org:Circle of Life");
            (answer.expected(&known, "GET"), answer)
        };
        let (md5, answer) = of("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(md5, answer.response);
        let (sha, answer) = of("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        assert_eq!(sha, answer.response);
        assert!(answer.is_for("/dir/index.html") && !answer.is_for("/dir"));
    }

    #[test]
    fn an_answer_without_what_it_needs_is_none() {
        let full = "username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/x\", response=\"00\"";
        assert!(DigestAnswer::parse(full).is_some());
        for wrong in [
            "",
            "username",
            "username=\"u",
            "username=\"u\" realm=\"r\"",
            "username=\"u\", username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/x\", response=\"00\"",
            &format!("{full}, qop=auth"),
            &format!("{full}, qop=auth-int, nc=1, cnonce=\"c\""),
            &format!("{full}, algorithm=SHA-512"),
        ] {
            assert!(DigestAnswer::parse(wrong).is_none(), "{wrong}");
        }
        let whole = DigestAnswer::parse(&full.replace("/x", "https://phones.example.com:8443/x")).unwrap();
        assert!(whole.is_for("/x"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = DigestAnswer::parse(&text);
        }

        #[test]
        fn no_near_text_panics(text in "([a-z]{0,8}=(\"[^\"]{0,5}\"?|[a-z]{0,4}),? ?){0,20}") {
            let _ = DigestAnswer::parse(&text);
        }
    }
}
