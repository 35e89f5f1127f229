//! Options of the event socket.

use std::time::Duration;

use clap::Args;

use super::SidecarError;
use crate::freeswitch::esl::{Address, AddressError, Password};
use crate::freeswitch::sync::Options;

/// Options of the event socket, the same in every mode.
#[derive(Args, Clone, Debug)]
pub struct EslArgs {
    /// Event socket of FreeSWITCH, HOST:PORT, where changes are made and checked; not used when left out
    #[arg(long, env = "CENTREX_ESL_ADDRESS", value_name = "HOST:PORT")]
    pub esl_address: Option<String>,

    /// Password of the event socket; better given by its environment variable
    #[arg(long, env = "CENTREX_ESL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub esl_password: Option<String>,

    /// Whether differences between FreeSWITCH and what it should have are repaired, or only reported
    #[arg(
        long,
        env = "CENTREX_REPAIR",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub repair: bool,

    /// Seconds between comparisons of what FreeSWITCH has with what it should have
    #[arg(
        long,
        env = "CENTREX_COMPARE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(5..=86400)
    )]
    pub compare_seconds: u32,
}

/// What is wrong with the options of the event socket.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EslArgsError {
    /// The address cannot be parsed.
    #[error("--esl-address {given}: {source}")]
    Address {
        /// As given.
        given: String,
        /// Why, and what is allowed.
        source: AddressError,
    },
    /// An address without a password.
    #[error("--esl-password is required with --esl-address: FreeSWITCH's event socket has one")]
    NoPassword,
    /// The password cannot be sent on the event socket.
    #[error("--esl-password: it must not be empty or contain a line end or another control character")]
    Password,
}

impl EslArgs {
    /// Options of the task that commands FreeSWITCH; `None` without an address.
    ///
    /// # Errors
    /// The address or the password cannot be used.
    pub fn options(&self) -> Result<Option<Options>, SidecarError> {
        Ok(self.read()?)
    }

    fn read(&self) -> Result<Option<Options>, EslArgsError> {
        // An empty environment variable counts as unset.
        let Some(given) = self.esl_address.as_deref().filter(|given| !given.is_empty()) else {
            return Ok(None);
        };
        let address: Address =
            given.parse().map_err(|source| EslArgsError::Address { given: given.to_owned(), source })?;
        let password = self.esl_password.as_deref().ok_or(EslArgsError::NoPassword)?;
        let password = Password::new(password).ok_or(EslArgsError::Password)?;
        let compare_every = Duration::from_secs(self.compare_seconds.into());
        Ok(Some(Options { address, password, repair: self.repair, compare_every }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(address: Option<&str>, password: Option<&str>) -> EslArgs {
        let text = |text: Option<&str>| text.map(str::to_owned);
        EslArgs {
            esl_address: text(address),
            esl_password: text(password),
            repair: true,
            compare_seconds: 60,
        }
    }

    #[test]
    fn an_event_socket_is_used_if_an_address_is_given() {
        assert!(args(None, Some("x")).read().unwrap().is_none());
        assert!(args(Some(""), None).read().unwrap().is_none());
        let options = args(Some("127.0.0.1:8021"), Some("secret")).read().unwrap().unwrap();
        assert_eq!(options.address.to_string(), "127.0.0.1:8021");
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn an_error_names_its_option() {
        let error = |address, password| args(Some(address), password).read().unwrap_err().to_string();
        assert!(error("8021", Some("x")).starts_with("--esl-address 8021: allowed is HOST:PORT"));
        assert!(error("127.0.0.1:8021", None).starts_with("--esl-password is required"));
        for hostile in ["", "a\nauth b"] {
            assert!(error("127.0.0.1:8021", Some(hostile)).starts_with("--esl-password: "));
        }
    }
}
