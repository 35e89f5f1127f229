//! The fields of mod_xml_curl's forms that answers depend on.
//!
//! FreeSWITCH is configured to post only these (`deploy/freeswitch/posted.xml`). A FreeSWITCH that still
//! has the list of an older Centrex does not post a field that is new here, so a missing new field must
//! never allow anything.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The fields by their names. A lookup has up to two hundred names: comparing each with all fields takes longer than
/// the rest of reading it.
static BY_NAME: LazyLock<HashMap<&[u8], Field>> =
    LazyLock::new(|| Field::ALL.into_iter().map(|field| (field.name().as_bytes(), field)).collect());

/// Declares [`Field`] from pairs of variant and name in a form.
macro_rules! fields {
    ($($field:ident $name:literal,)*) => {
        /// A field that some answer depends on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $field,)*
        }

        impl Field {
            /// All fields, in the order of their discriminants.
            pub const ALL: [Field; [$($name),*].len()] = [$(Field::$field),*];

            /// Its name in the form.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                }
            }

            /// The field with a name; `None` for an unknown one.
            pub fn by_name(name: &[u8]) -> Option<Field> {
                BY_NAME.get(name).copied()
            }
        }
    };
}

fields! {
    Section "section",
    TagName "tag_name",
    KeyName "key_name",
    KeyValue "key_value",
    Action "action",
    AnswerState "Answer-State",
    CcQueue "CC-Queue",
    ChannelState "Channel-State",
    CallerSource "Caller-Source",
    DestProto "dest_proto",
    Domain "domain",
    FromHost "from_host",
    Gateway "gateway",
    GroupName "group_name",
    HuntCallerIdName "Hunt-Caller-ID-Name",
    HuntCallerIdNumber "Hunt-Caller-ID-Number",
    HuntContext "Hunt-Context",
    HuntDestinationNumber "Hunt-Destination-Number",
    Key "key",
    MenuName "Menu-Name",
    NumberAlias "number_alias",
    Profile "profile",
    ProfileName "profile_name",
    Proto "proto",
    Purpose "purpose",
    Reconfig "reconfig",
    SipAuthCnonce "sip_auth_cnonce",
    SipAuthMethod "sip_auth_method",
    SipAuthNc "sip_auth_nc",
    SipAuthNonce "sip_auth_nonce",
    SipAuthQop "sip_auth_qop",
    SipAuthRealm "sip_auth_realm",
    SipAuthResponse "sip_auth_response",
    SipAuthUri "sip_auth_uri",
    SipAuthUsername "sip_auth_username",
    SipCallId "sip_call_id",
    SipFromHost "sip_from_host",
    SipProfile "sip_profile",
    SipToHost "sip_to_host",
    SipToUser "sip_to_user",
    To "to",
    ToHost "to_host",
    ToProto "to_proto",
    ToUser "to_user",
    User "user",
    VariableCcCause "variable_cc_cause",
    VariableCentrexCall "variable_centrex_call",
    VariableCentrexCalled "variable_centrex_called",
    VariableCentrexRecording "variable_centrex_recording",
    VariableCentrexTenant "variable_centrex_tenant",
    VariableOriginateDisposition "variable_originate_disposition",
    VariableSipAuthUsername "variable_sip_auth_username",
    VariableSipAuthorized "variable_sip_authorized",
    VariableSipContactParams "variable_sip_contact_params",
    VariableSipContactUser "variable_sip_contact_user",
    VariableSipFromDisplay "variable_sip_from_display",
    VariableSipFromUser "variable_sip_from_user",
    VariableSipFullFrom "variable_sip_full_from",
    VariableSipFullTo "variable_sip_full_to",
    VariableSipGateway "variable_sip_gateway",
    VariableSipHDiversion "variable_sip_h_Diversion",
    VariableSipHPCalledPartyID "variable_sip_h_P-Called-Party-ID",
    VariableSipHPCalledPartyId "variable_sip_h_P-Called-Party-Id",
    VariableSipNetworkIp "variable_sip_network_ip",
    VariableSipPAssertedIdentity "variable_sip_P-Asserted-Identity",
    VariableSipPPreferredIdentity "variable_sip_P-Preferred-Identity",
    VariableSipPrivacy "variable_sip_Privacy",
    VariableSipRemotePartyId "variable_sip_Remote-Party-ID",
    VariableSipReqUser "variable_sip_req_user",
    VariableSipToUser "variable_sip_to_user",
    VariableSofiaProfileName "variable_sofia_profile_name",
    VariableUserName "variable_user_name",
    VariableUuid "variable_uuid",
}

impl Field {
    /// Whether FreeSWITCH writes the field itself, before every field that a phone can influence, and
    /// without URL encoding.
    pub const fn is_basic(self) -> bool {
        matches!(self, Field::Section | Field::TagName | Field::KeyName | Field::KeyValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_our_own_calls_are_those_that_route_writes() {
        assert_eq!(
            Field::VariableCentrexCall.name(),
            format!("variable_{}", crate::route::app::CALL_VARIABLE)
        );
        assert_eq!(
            Field::VariableCentrexCalled.name(),
            format!("variable_{}", crate::route::app::CALLED_VARIABLE)
        );
    }

    #[test]
    fn every_field_is_found_by_its_name_and_by_no_other() {
        for field in Field::ALL {
            assert_eq!(Field::by_name(field.name().as_bytes()), Some(field));
            let longer = format!("{}x", field.name());
            assert_eq!(Field::by_name(longer.as_bytes()), None);
            assert_eq!(Field::by_name(&field.name().as_bytes()[1..]), None, "{}", field.name());
        }
        assert_eq!(Field::by_name(b""), None);
        assert_eq!(Field::by_name(b"t"), None);
    }
}
