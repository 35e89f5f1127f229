//! What a carrier's INVITE says, as its trunk is configured to be read: the called number, and the caller.
//!
//! The values are the carrier's text. The called number counts only if a Number of the trunk holds it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::field::Field;
use super::form::Form;
use crate::plan::TrunkRow;
use crate::resources::trunk::{InboundNumber, TrustedIdentity};

/// The called number, as the carrier wrote it. `destination` is what FreeSWITCH takes for it: the user of the
/// Request-URI, of To for a registered contact, or what the gateway has as its extension (sofia.c,
/// `sofia_handle_sip_i_invite`).
pub fn called<'a>(form: &Form<'a>, trunk: &TrunkRow, destination: &'a str) -> Cow<'a, str> {
    let to = || form.text(Field::VariableSipToUser);
    let header = |fields: &[Field]| {
        let values = fields.iter().filter_map(|field| form.get(*field));
        values.map(|header| user(last_address(&header))).find(|user| !user.is_empty()).map(Cow::Owned)
    };
    let has_contact_user = trunk.registration.as_ref().is_some_and(|how| how.contact_user.is_some());
    let called = match trunk.inbound_number {
        None if has_contact_user => to(),
        None => Cow::Borrowed(destination),
        Some(InboundNumber::RequestUri) => form.text(Field::VariableSipReqUser),
        Some(InboundNumber::To) => to(),
        Some(InboundNumber::PCalledPartyId) => {
            let spellings = [Field::VariableSipHPCalledPartyID, Field::VariableSipHPCalledPartyId];
            header(&spellings).unwrap_or_else(to)
        }
        Some(InboundNumber::PPreferredIdentity) => {
            header(&[Field::VariableSipPPreferredIdentity]).unwrap_or_else(to)
        }
        Some(InboundNumber::Diversion) => header(&[Field::VariableSipHDiversion]).unwrap_or_else(to),
    };
    without_parameters(called)
}

/// The caller of a carrier's call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsideCaller {
    /// Number, as the carrier wrote it.
    pub number: String,
    /// Name.
    pub name: String,
    /// Whether the caller wants no called party to see them (RFC 3323).
    pub hidden: bool,
}

/// The caller, by the header that the trunk trusts; else as FreeSWITCH reads it.
pub fn caller(form: &Form<'_>, trunk: &TrunkRow) -> OutsideCaller {
    let hidden = is_hidden(form);
    let header = |field| form.get(field).map(|header| (user(&header), display(&header)));
    let named = match trunk.trusted_identity {
        None => {
            let (number, name) = (Field::HuntCallerIdNumber, Field::HuntCallerIdName);
            return OutsideCaller {
                number: form.text(number).into_owned(),
                name: form.text(name).into_owned(),
                hidden,
            };
        }
        Some(TrustedIdentity::From) => None,
        // FreeSWITCH keeps the user of this header alone.
        Some(TrustedIdentity::PAssertedIdentity) => {
            let number = form.get(Field::VariableSipPAssertedIdentity);
            number.map(|number| (decoded(&number), form.text(Field::VariableSipFromDisplay).into_owned()))
        }
        Some(TrustedIdentity::RemotePartyId) => header(Field::VariableSipRemotePartyId),
        Some(TrustedIdentity::PPreferredIdentity) => header(Field::VariableSipPPreferredIdentity),
    };
    let (number, name) = named.filter(|(number, _)| !number.is_empty()).unwrap_or_else(|| {
        let number = form.text(Field::VariableSipFromUser).into_owned();
        (number, form.text(Field::VariableSipFromDisplay).into_owned())
    });
    let number = without_parameters(Cow::Owned(number)).into_owned();
    let name = if name.is_empty() { number.clone() } else { name };
    OutsideCaller { number, name, hidden }
}

/// Whether the call asks for privacy of the caller: `Privacy: id`, `user` or `header` (RFC 3323, RFC 3325), or
/// a Remote-Party-ID with `privacy=full` or `privacy=number`.
fn is_hidden(form: &Form<'_>) -> bool {
    let privacy = form.text(Field::VariableSipPrivacy).to_ascii_lowercase();
    let mut wanted = privacy.split([';', ',', ' ']).map(str::trim);
    let party = form.text(Field::VariableSipRemotePartyId).to_ascii_lowercase();
    wanted.any(|value| ["id", "user", "header"].contains(&value))
        || ["privacy=full", "privacy=number", "privacy=yes"].iter().any(|private| party.contains(private))
}

/// The last address of a header with several: of Diversion, the number that was called first (RFC 5806).
fn last_address(header: &str) -> &str {
    header.rfind('<').and_then(|start| header.get(start..)).unwrap_or(header)
}

/// The user of an address: `"Name" <sip:user@host;parameters>`, without brackets, or a `tel` URI.
fn user(address: &str) -> String {
    let uri = match after_display(address).split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => address.trim(),
    };
    let Some((scheme, rest)) = uri.split_once(':') else { return String::new() };
    let user = match scheme.to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.split_once('@').map_or("", |(user, _)| user),
        "tel" => rest,
        _ => "",
    };
    decoded(user.split([';', ':', '?']).next().unwrap_or_default())
}

/// The name in front of an address.
fn display(address: &str) -> String {
    let address = address.trim();
    match address.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
        None => address.split_once('<').map_or("", |(name, _)| name).trim().to_owned(),
    }
}

/// The address after a quoted name, which may contain brackets.
fn after_display(address: &str) -> &str {
    let quoted = address.trim_start().strip_prefix('"');
    quoted.and_then(|quoted| quoted.split_once('"')).map_or(address, |(_, rest)| rest)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A user without the parameters of a telephone number: `;npdi`, `;rn=`, `;tgrp=` (RFC 4694, RFC 4904).
fn without_parameters(user: Cow<'_, str>) -> Cow<'_, str> {
    match user.split_once(';') {
        Some((number, _)) => Cow::Owned(number.to_owned()),
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(inbound_number: Option<InboundNumber>, trusted_identity: Option<TrustedIdentity>) -> TrunkRow {
        TrunkRow { inbound_number, trusted_identity, ..TrunkRow::default() }
    }

    #[test]
    fn the_called_number_is_read_where_the_trunk_says() {
        let form = Form::parse(
            b"variable_sip_to_user=+4930100&variable_sip_req_user=+4930101%3Bnpdi&\
              variable_sip_h_P-Called-Party-ID=%3Csip:%252B4930102@carrier.example%3Buser%3Dphone%3E&\
              variable_sip_h_Diversion=%3Ctel:+4930199%3E%3Breason%3Dbusy, %3Csip:+4930103@x%3E%3Breason%3Dunconditional&\
              variable_sip_P-Preferred-Identity=\"A %3Cb%3E\" %3Csip:+4930104@x%3E",
        );
        let at = |place| called(&form, &trunk(place, None), "1710163127241").into_owned();
        assert_eq!(at(None), "1710163127241");
        assert_eq!(at(Some(InboundNumber::RequestUri)), "+4930101");
        assert_eq!(at(Some(InboundNumber::To)), "+4930100");
        assert_eq!(at(Some(InboundNumber::PCalledPartyId)), "+4930102");
        assert_eq!(at(Some(InboundNumber::Diversion)), "+4930103");
        assert_eq!(at(Some(InboundNumber::PPreferredIdentity)), "+4930104");
        // A call without the header has its number in To.
        let form = Form::parse(b"variable_sip_to_user=+4930100");
        let place = trunk(Some(InboundNumber::PCalledPartyId), None);
        assert_eq!(called(&form, &place, "account"), "+4930100");
    }

    #[test]
    fn the_caller_is_who_the_trusted_header_names() {
        let form = Form::parse(
            b"Hunt-Caller-ID-Number=4&Hunt-Caller-ID-Name=Four&variable_sip_from_user=1&variable_sip_from_display=One&\
              variable_sip_P-Asserted-Identity=%252B2&variable_sip_P-Preferred-Identity=\"Four\" %3Csip:4@x%3E&\
              variable_sip_Remote-Party-ID=Three %3Csip:3@x%3E%3Bparty%3Dcalling%3Bprivacy%3Doff",
        );
        let by = |header| {
            let OutsideCaller { number, name, hidden } = caller(&form, &trunk(None, header));
            assert!(!hidden);
            (number, name)
        };
        let pair = |number: &str, name: &str| (number.to_owned(), name.to_owned());
        assert_eq!(by(None), pair("4", "Four"));
        assert_eq!(by(Some(TrustedIdentity::From)), pair("1", "One"));
        assert_eq!(by(Some(TrustedIdentity::PAssertedIdentity)), pair("+2", "One"));
        assert_eq!(by(Some(TrustedIdentity::RemotePartyId)), pair("3", "Three"));
        assert_eq!(by(Some(TrustedIdentity::PPreferredIdentity)), pair("4", "Four"));
    }

    #[test]
    fn a_caller_is_hidden_who_asks_for_it() {
        let hidden = |body: &[u8]| caller(&Form::parse(body), &TrunkRow::default()).hidden;
        assert!(hidden(b"variable_sip_Privacy=id"));
        assert!(hidden(b"variable_sip_Privacy=user%3B critical"));
        assert!(hidden(b"variable_sip_Remote-Party-ID=%3Csip:3@x%3E%3Bprivacy%3Dfull"));
        assert!(!hidden(b"variable_sip_Privacy=none") && !hidden(b""));
    }
}
