//! The fields of mod_xml_curl's forms that are asked for, and how a name is found among them.
//!
//! FreeSWITCH is told to post these and no others (`deploy/freeswitch/posted.xml`). One that runs with
//! the list of an older Centrex does not post a field that is new here: let nothing be allowed because
//! a new field is absent.

use crate::util::lookup::Names;

/// Declares [`Field`]: what a field is called here, and its name in a form.
macro_rules! fields {
    ($($field:ident $name:literal,)*) => {
        /// A field that some answer depends on, by its name in the form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $field,)*
        }

        impl Field {
            /// All of them, in the order of their numbers.
            pub const ALL: [Field; [$($name),*].len()] = [$(Field::$field),*];

            const NAMES: [&str; Field::ALL.len()] = [$($name),*];

            /// The name.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
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
    SipAuthMethod "sip_auth_method",
    SipAuthRealm "sip_auth_realm",
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
    VariableCentrexRecording "variable_centrex_recording",
    VariableDomainName "variable_domain_name",
    VariableOriginateDisposition "variable_originate_disposition",
    VariableSipAuthRealm "variable_sip_auth_realm",
    VariableSipAuthUsername "variable_sip_auth_username",
    VariableSipAuthorized "variable_sip_authorized",
    VariableSipContactParams "variable_sip_contact_params",
    VariableSipContactUser "variable_sip_contact_user",
    VariableSipFromUser "variable_sip_from_user",
    VariableSipFullFrom "variable_sip_full_from",
    VariableSipFullTo "variable_sip_full_to",
    VariableSipGateway "variable_sip_gateway",
    VariableSipNetworkIp "variable_sip_network_ip",
    VariableSipToUser "variable_sip_to_user",
    VariableSofiaProfileName "variable_sofia_profile_name",
    VariableUserName "variable_user_name",
    VariableUuid "variable_uuid",
}

impl Field {
    /// The field with a name.
    pub fn by_name(name: &[u8]) -> Option<Field> {
        Self::ALL.get(TABLE.number(name)?).copied()
    }

    /// Whether FreeSWITCH writes it itself, ahead of everything a phone has a hand in, and without
    /// URL encoding.
    pub const fn is_basic(self) -> bool {
        matches!(self, Field::Section | Field::TagName | Field::KeyName | Field::KeyValue)
    }
}

static TABLE: Names<{ Field::ALL.len() }> = Names::new(Field::NAMES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_our_own_calls_is_the_one_that_route_writes() {
        assert_eq!(
            Field::VariableCentrexCall.name(),
            format!("variable_{}", crate::route::app::CALL_VARIABLE)
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
