//! Dial strings: whom to ring, how, and in which order.

use super::legal::{DialNumber, Word};

/// A variable for a leg or for all legs of a bridge; no other names are ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegVariable {
    /// Codecs offered, instead of the profile's.
    AbsoluteCodecString,
    /// Seconds before the leg starts.
    LegDelayStart,
    /// Seconds until a leg must show progress.
    LegProgressTimeout,
    /// Seconds a leg rings.
    LegTimeout,
    /// A leg that answers 302 fails, instead of running the caller's dialplan (contract §9).
    OutboundRedirectFatal,
    /// Whose state lamps show.
    PresenceId,
}

impl LegVariable {
    fn name(self) -> &'static str {
        match self {
            Self::AbsoluteCodecString => "absolute_codec_string",
            Self::LegDelayStart => "leg_delay_start",
            Self::LegProgressTimeout => "leg_progress_timeout",
            Self::LegTimeout => "leg_timeout",
            Self::OutboundRedirectFatal => "outbound_redirect_fatal",
            Self::PresenceId => "presence_id",
        }
    }
}

/// Variables of a leg or of a bridge.
pub type LegVariables = Vec<(LegVariable, Word)>;

/// Where a leg goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A user of the directory, by its `dial-string`.
    User {
        /// User.
        user: Word,
        /// Domain.
        domain: Word,
    },
    /// The phone registered as a user at a profile.
    Registered {
        /// Sofia profile.
        profile: Word,
        /// User.
        user: Word,
        /// Domain.
        domain: Word,
    },
    /// A number through a gateway.
    Gateway {
        /// Name of the gateway.
        gateway: Word,
        /// Number, as the carrier wants it.
        number: DialNumber,
    },
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Variables of this leg alone.
    pub variables: LegVariables,
    /// Where it goes.
    pub endpoint: Endpoint,
}

/// In which order legs are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All at once.
    Together,
    /// One after the other.
    OneByOne,
}

/// A dial string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialString {
    /// Variables of all legs.
    pub variables: LegVariables,
    /// Legs.
    pub legs: Vec<Leg>,
    /// Order of the legs.
    pub order: Order,
}

impl std::fmt::Display for DialString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_variables(f, '{', &self.variables, '}')?;
        for (index, leg) in self.legs.iter().enumerate() {
            if index > 0 {
                f.write_str(match self.order {
                    Order::Together => ",",
                    Order::OneByOne => "|",
                })?;
            }
            write_variables(f, '[', &leg.variables, ']')?;
            match &leg.endpoint {
                Endpoint::User { user, domain } => write!(f, "user/{user}@{domain}")?,
                Endpoint::Registered { profile, user, domain } => {
                    write!(f, "sofia/{profile}/{user}%{domain}")?
                }
                Endpoint::Gateway { gateway, number } => {
                    write!(f, "sofia/gateway/{gateway}/{}", number.as_str())?;
                }
            }
        }
        Ok(())
    }
}

/// A list such as `{^^;a=1;b=2}`: with a separator of its own, because codec lists hold commas.
fn write_variables(
    f: &mut std::fmt::Formatter<'_>,
    open: char,
    variables: &LegVariables,
    close: char,
) -> std::fmt::Result {
    if variables.is_empty() {
        return Ok(());
    }
    write!(f, "{open}^^")?;
    for (variable, value) in variables {
        write!(f, ";{}={value}", variable.name())?;
    }
    write!(f, "{close}")
}
