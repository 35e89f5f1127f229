//! `centrex phone`: what a phone gets.

mod render;

use clap::Subcommand;

pub use render::{RenderArgs, RenderPhoneError, defects};

/// What is asked of a phone.
#[derive(Clone, Debug, Subcommand)]
pub enum PhoneCommand {
    /// Print the files that a phone would fetch, its passwords hidden
    Render(RenderArgs),
}

/// Carries a command out.
///
/// # Errors
/// Those of the command.
pub async fn run(command: PhoneCommand) -> Result<(), RenderPhoneError> {
    match command {
        PhoneCommand::Render(args) => {
            render::run(&args, &mut crate::util::pipe::Pipe(std::io::stdout())).await
        }
    }
}
