//! `centrex phone`: what a phone gets.

mod render;
mod web_credential;

use clap::Subcommand;

pub use render::{RenderArgs, RenderPhoneError, defects};
pub use web_credential::{WebCredentialArgs, WebCredentialError};

/// What is asked of a phone.
#[derive(Clone, Debug, Subcommand)]
pub enum PhoneCommand {
    /// Print the files that a phone would fetch, its passwords hidden
    Render(RenderArgs),
    /// Print what a browser registers with as an extension, for this hour and the next
    WebCredential(WebCredentialArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The files cannot be printed.
    #[error(transparent)]
    Render(#[from] RenderPhoneError),
    /// There is no such credential.
    #[error(transparent)]
    WebCredential(#[from] WebCredentialError),
}

/// Carries a command out.
///
/// # Errors
/// Those of the command.
pub async fn run(command: PhoneCommand) -> Result<(), PhoneError> {
    match command {
        PhoneCommand::Render(args) => {
            Ok(render::run(&args, &mut crate::util::pipe::Pipe(std::io::stdout())).await?)
        }
        PhoneCommand::WebCredential(args) => Ok(web_credential::run(args).await?),
    }
}
