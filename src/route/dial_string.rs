//! FreeSWITCH dial strings: which endpoints ring, with which variables, in which order.

use super::legal::{DialNumber, Word};

/// Variables of a leg or of all legs of a bridge. Dial strings contain no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegVariable {
    /// Milliseconds without a packet from the peer after which a leg ends, in place of `media_timeout`, which the
    /// dialplan sets for both legs (switch_core_media.c, check_media_timeout_params).
    MediaTimeoutAudio,
    /// Codecs offered in place of the profile's.
    AbsoluteCodecString,
    /// Seconds before the leg starts.
    LegDelayStart,
    /// Seconds until a leg must show progress.
    LegProgressTimeout,
    /// Seconds that a leg rings.
    LegTimeout,
    /// A leg that answers 302 fails, instead of running the caller's dialplan (contract §9).
    OutboundRedirectFatal,
    /// Name of the called party that the caller sees.
    OriginationCalleeIdName,
    /// Number of the called party that the caller sees.
    OriginationCalleeIdNumber,
    /// What the identity header says of the caller: `screen` for P-Asserted-Identity, else
    /// P-Preferred-Identity; `hide_name` and `hide_number` (switch_ivr_originate.c).
    OriginationPrivacy,
    /// The user whose state busy lamps show.
    PresenceId,
    /// Identity header: `pid`, `rpid` or `none` (sofia_glue.c, `sofia_glue_do_invite`).
    SipCidType,
    /// Leaves out `Privacy: none`, which asks for nothing.
    SipCidSuppressPrivacyNone,
    /// Name in From in place of the caller's.
    SipFromDisplay,
    /// URI in From in place of the caller's, without scheme.
    SipFromUri,
    /// The header Privacy, where the identity header brings none.
    SipHPrivacy,
    /// URI parameters in From.
    SipInviteFromParams,
    /// URI parameters in the Request-URI.
    SipInviteParams,
    /// URI parameters in P-Asserted-Identity and P-Preferred-Identity.
    SipInvitePidParams,
    /// URI parameters in To.
    SipInviteToParams,
    /// Gateway whose password answers a challenge. FreeSWITCH would take any of the same realm (sofia_reg.c,
    /// `sofia_reg_handle_sip_r_challenge`).
    SipUseGateway,
    /// Host in the From header that a phone receives: its own domain instead of the switch's address.
    SipInviteDomain,
}

impl LegVariable {
    fn name(self) -> &'static str {
        match self {
            Self::MediaTimeoutAudio => "media_timeout_audio",
            Self::AbsoluteCodecString => "absolute_codec_string",
            Self::LegDelayStart => "leg_delay_start",
            Self::LegProgressTimeout => "leg_progress_timeout",
            Self::LegTimeout => "leg_timeout",
            Self::OutboundRedirectFatal => "outbound_redirect_fatal",
            Self::OriginationCalleeIdName => "origination_callee_id_name",
            Self::OriginationCalleeIdNumber => "origination_callee_id_number",
            Self::OriginationPrivacy => "origination_privacy",
            Self::PresenceId => "presence_id",
            Self::SipCidType => "sip_cid_type",
            Self::SipCidSuppressPrivacyNone => "sip_cid_suppress_privacy_none",
            Self::SipFromDisplay => "sip_from_display",
            Self::SipFromUri => "sip_from_uri",
            Self::SipHPrivacy => "sip_h_Privacy",
            Self::SipInviteFromParams => "sip_invite_from_params",
            Self::SipInviteParams => "sip_invite_params",
            Self::SipInvitePidParams => "sip_invite_pid_params",
            Self::SipInviteToParams => "sip_invite_to_params",
            Self::SipUseGateway => "sip_use_gateway",
            Self::SipInviteDomain => "sip_invite_domain",
        }
    }
}

/// Variables of a leg or of a bridge.
pub type LegVariables = Vec<(LegVariable, Word)>;

/// Destination of a leg.
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
        /// Number in the carrier's format.
        number: DialNumber,
    },
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Variables of this leg alone.
    pub variables: LegVariables,
    /// Destination of the leg.
    pub endpoint: Endpoint,
}

/// Order in which legs ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All at once.
    Together,
    /// One leg after the other.
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

impl DialString {
    /// Renders the dial string.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(128);
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{self}")); // writing to a String cannot fail
        text
    }
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
                Endpoint::User { user, domain } => {
                    ["user/", user.as_str(), "@", domain.as_str()]
                        .iter()
                        .try_for_each(|part| f.write_str(part))?;
                }
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

/// The variables of a leg to a browser, as `templates/directory/auth.xml` sets them on a leg from one.
fn browser_variables() -> LegVariables {
    Word::new("30000").map(|value| (LegVariable::MediaTimeoutAudio, value)).into_iter().collect()
}

/// Where a phone may be registered: a SIP user and its domain, as the phone spells it, at a profile (RFC 3261 §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOfRecord<'a> {
    /// Sofia profile.
    pub profile: &'a str,
    /// SIP user: the extension's own, or that of a line of a Device.
    pub user: &'a str,
    /// Domain.
    pub host: &'a str,
    /// Whether browsers register at the profile.
    pub is_browser: bool,
}

/// The dial string of an extension: all phones that may be registered for it ring together, and the first that answers
/// has the call. Sofia looks up the contacts itself, so the dial string contains nothing to expand. `None` when a part
/// is not legal in a dial string; an address that is not legal is left out.
pub fn registered<'a>(
    addresses: impl Iterator<Item = AddressOfRecord<'a>>,
    number: &str,
    domain: &str,
) -> Option<DialString> {
    let (number, domain) = (Word::new(number)?, Word::new(domain)?);
    let legs: Vec<Leg> = addresses.filter_map(leg).collect();
    if legs.is_empty() {
        return None;
    }
    let variables = vec![
        (LegVariable::PresenceId, Word::new(format!("{number}@{domain}"))?),
        (LegVariable::OutboundRedirectFatal, Word::new("true")?),
        // Otherwise the caller sees `user%domain`, decoded like a URL escape.
        (LegVariable::OriginationCalleeIdName, number.clone()),
        (LegVariable::OriginationCalleeIdNumber, number),
        (LegVariable::SipInviteDomain, domain),
    ];
    Some(DialString { variables, legs, order: Order::Together })
}

fn leg(address: AddressOfRecord<'_>) -> Option<Leg> {
    let endpoint = Endpoint::Registered {
        profile: Word::new(address.profile)?,
        user: Word::new(address.user)?,
        domain: Word::new(address.host)?,
    };
    let variables = if address.is_browser { browser_variables() } else { Vec::new() };
    Some(Leg { variables, endpoint })
}

/// Writes a list such as `{^^;a=1;b=2}`, which declares its separator because codec lists contain commas.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(number: &str, domain: &str, addresses: &[(&str, &str, &str)]) -> Option<String> {
        let addresses = addresses.iter().map(|&(profile, user, host)| AddressOfRecord {
            profile,
            user,
            host,
            is_browser: profile == "browsers",
        });
        registered(addresses, number, domain).map(|dial| dial.to_string())
    }

    #[test]
    fn all_phones_of_an_extension_ring_together_as_the_extension() {
        let acme = "acme.example.com";
        let dial = rung(
            "1001",
            acme,
            &[("internal", "1001", acme), ("internal", "1001-3f00c1a2", acme), ("browsers", "1001", acme)],
        )
        .unwrap();
        assert_eq!(
            dial,
            "{^^;presence_id=1001@acme.example.com;outbound_redirect_fatal=true;\
             origination_callee_id_name=1001;origination_callee_id_number=1001;\
             sip_invite_domain=acme.example.com}\
             sofia/internal/1001%acme.example.com,sofia/internal/1001-3f00c1a2%acme.example.com,\
             [^^;media_timeout_audio=30000]sofia/browsers/1001%acme.example.com"
        );
    }

    #[test]
    fn a_spelling_of_the_domain_that_is_not_legal_is_left_out() {
        let hosts = ["acme.example.com", "Acme.Example.com.", "müller.example"];
        let dial = rung("1001", "acme.example.com", &hosts.map(|host| ("internal", "1001", host))).unwrap();
        let end = "sofia/internal/1001%acme.example.com,sofia/internal/1001%Acme.Example.com.";
        assert!(dial.ends_with(end), "{dial}");
    }

    #[test]
    fn text_that_a_dial_string_would_split_or_expand_is_refused() {
        let acme = "acme.example.com";
        for hostile in
            ["1001,sofia/x", "${system(id)}", "1001|1002", "10 01", "[x]", "{x}", "-x", "", "a\nb", "a'b"]
        {
            assert!(rung(hostile, acme, &[("internal", "1001", acme)]).is_none(), "{hostile}");
            assert!(rung("1001", hostile, &[("internal", "1001", acme)]).is_none(), "{hostile}");
            for address in
                [(hostile, "1001", acme), ("internal", hostile, acme), ("internal", "1001", hostile)]
            {
                assert!(rung("1001", acme, &[address]).is_none(), "{hostile}");
            }
        }
    }
}
