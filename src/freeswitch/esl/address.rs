//! The address of an event socket.

use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// A host and a port: `127.0.0.1:8021`, `[::1]:8021`, `localhost:8021`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or address, an IPv6 one without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The text is not an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed is HOST:PORT, such as 127.0.0.1:8021 or [::1]:8021")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().map_err(|_| AddressError)?.to_string(),
            None if is_host_name(host) => host.to_owned(),
            None => return Err(AddressError),
        };
        let port = port.parse::<NonZeroU16>().map_err(|_| AddressError)?.get();
        Ok(Self { host, port })
    }
}

/// Whether a text is made of the characters of a host name or an IPv4 address.
fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        for text in ["127.0.0.1:8021", "[::1]:8021", "switch-0.example.com:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for text in
            ["", "8021", "host", "host:", ":8021", "host:0", "host:70000", "::1:8021", "a b:1", "[x]:1"]
        {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }
}
