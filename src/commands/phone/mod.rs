//! `centrex phone`: what a phone gets.

mod web_credential;

use clap::Subcommand;

pub use web_credential::{WebCredentialArgs, WebCredentialError};

/// What is asked of a phone.
#[derive(Clone, Debug, Subcommand)]
pub enum PhoneCommand {
    /// Print what a browser registers with as an extension, for this hour and the next
    WebCredential(WebCredentialArgs),
}

/// Carries a command out.
///
/// # Errors
/// Those of the command.
pub async fn run(command: PhoneCommand) -> Result<(), WebCredentialError> {
    match command {
        PhoneCommand::WebCredential(args) => web_credential::run(args).await,
    }
}
