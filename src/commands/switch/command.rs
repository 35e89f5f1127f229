//! `centrex switch`, and the orders to a running one.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::{DrainArgs, ResumeArgs, SwitchArgs};

/// `centrex switch`: without a subcommand, the sidecar itself.
#[derive(Clone, Debug)]
pub enum SwitchCommand {
    /// Run a sidecar.
    Run(Box<SwitchArgs>),
    /// Send an order to a running sidecar.
    Order(SwitchOrder),
}

/// Orders to a running sidecar.
#[derive(Clone, Debug, Subcommand)]
pub enum SwitchOrder {
    /// Take no new calls, and wait until none are up
    Drain(DrainArgs),
    /// Take new calls again
    Resume(ResumeArgs),
}

/// Written by hand: the derived code ignores options of the sidecar that come from environment variables, and
/// demands a subcommand.
impl FromArgMatches for SwitchCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand_name() {
            Some(_) => SwitchOrder::from_arg_matches(matches).map(Self::Order),
            None => SwitchArgs::from_arg_matches(matches).map(|args| Self::Run(Box::new(args))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SwitchCommand {
    fn augment_args(command: Command) -> Command {
        SwitchOrder::augment_subcommands(SwitchArgs::augment_args(command))
            .subcommand_required(false)
            .arg_required_else_help(false)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
