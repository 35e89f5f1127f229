//! Field types that several kinds share: references, destinations, digit matches, caller ids.
//!
//! Every string field of every kind carries a length and one of the patterns of `pattern`, so that
//! the folder source, the API server and the compiler hold one rule.

use super::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::pattern::*;

/// A reference to a resource in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalRef {
    /// Name of the resource, in the same namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
}

/// A reference to a resource that may live in another namespace, where its owner allows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespacedRef {
    /// Name of the resource.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Namespace of the resource; the namespace of the referrer when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub namespace: Option<String>,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub name: String,
}

/// A Secret in the same namespace, and the key in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub name: String,
    /// Key in the Secret; `password` when left out, or `pin` where a PIN is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub key: Option<String>,
}

/// A prompt, greeting or hold music, by its MediaFile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MediaSource {
    /// The MediaFile, in the same namespace.
    pub media_file_ref: LocalRef,
}

/// The kinds of destination a call can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DestinationKind {
    /// An Extension's phones.
    Extension,
    /// A RingGroup.
    RingGroup,
    /// A Queue.
    Queue,
    /// An IvrMenu.
    IvrMenu,
    /// A Conference.
    Conference,
    /// A Schedule, which chooses by the time of day.
    Schedule,
    /// The voicemail box of an Extension.
    Voicemail,
    /// A public number, through the tenant's outbound routes.
    ExternalNumber,
}

impl DestinationKind {
    /// Its name, as manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extension => "Extension",
            Self::RingGroup => "RingGroup",
            Self::Queue => "Queue",
            Self::IvrMenu => "IvrMenu",
            Self::Conference => "Conference",
            Self::Schedule => "Schedule",
            Self::Voicemail => "Voicemail",
            Self::ExternalNumber => "ExternalNumber",
        }
    }

    /// The kind of resource that leads there.
    pub fn resource(self) -> Kind {
        match self {
            Self::Extension | Self::Voicemail => Kind::Extension,
            Self::RingGroup => Kind::RingGroup,
            Self::Queue => Kind::Queue,
            Self::IvrMenu => Kind::IvrMenu,
            Self::Conference => Kind::Conference,
            Self::Schedule => Kind::Schedule,
            Self::ExternalNumber => Kind::OutboundRoute,
        }
    }
}

/// Where a call goes: a resource of the tenant by kind and name, or a public number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.kind == 'ExternalNumber') == has(self.number)", "message": "number goes with kind ExternalNumber, and only with it"},
    {"rule": "(self.kind == 'ExternalNumber') != has(self.name)", "message": "name goes with every kind but ExternalNumber"}
]))]
pub struct Destination {
    /// Kind of the destination. `Voicemail` names the Extension whose box it is.
    pub kind: DestinationKind,
    /// Name of the resource, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Public number in E.164 form, for kind `ExternalNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub number: Option<String>,
}

/// What a called party is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallerId {
    /// Name shown to the called party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub name: Option<String>,
    /// Public number shown to the called party, in E.164 form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub number: Option<String>,
    /// Whether an extension shows the public number that leads straight to it, and `number` only where there is
    /// none: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<bool>,
    /// Whether the called party sees a number at all: None when left out. Emergency calls always show one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
}

/// Who learns the caller's number (RFC 3323).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Privacy {
    /// The called party does.
    None,
    /// The carrier alone does: From is anonymous, and the identity header asks for `Privacy: id` (RFC 3325).
    Id,
}

/// Which dialled numbers are meant, and how they are edited: a number matches when it starts with
/// the prefix and has between `minDigits` and `maxDigits` digits in all, counted as dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.minDigits) || !has(self.maxDigits) || self.minDigits <= self.maxDigits", "message": "minDigits must not exceed maxDigits"},
    {"rule": "!has(self.strip) || !has(self.prefix) || self.strip <= size(self.prefix)", "message": "strip must not exceed the length of prefix"},
    {"rule": "!has(self.strip) || self.strip == 0 || has(self.prefix)", "message": "strip needs a prefix to strip from"}
]))]
pub struct DigitMatch {
    /// Digits the dialled number starts with; every number when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24), regex(pattern = DIGITS_PATTERN))]
    pub prefix: Option<String>,
    /// How many leading characters of the dialled number to remove, within the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 24))]
    pub strip: Option<i32>,
    /// Digits to put before what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = DIGITS_PATTERN))]
    pub prepend: Option<String>,
    /// Fewest characters of the dialled number, prefix included; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub min_digits: Option<i32>,
    /// Most characters of the dialled number, prefix included; 32 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub max_digits: Option<i32>,
    /// Types of number it is about, by libphonenumber's data; every number, also an unknown one, when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "set"))]
    pub number_types: Vec<NumberType>,
    /// Countries it is about, ISO 3166-1 alpha-2, by libphonenumber's data; every number, also an unknown one, when
    /// left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 250), inner(length(min = 2, max = 2), regex(pattern = COUNTRY_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub countries: Vec<String>,
}

/// Type of a public number, as libphonenumber knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum NumberType {
    /// A line at one place.
    FixedLine,
    /// A mobile phone.
    Mobile,
    /// Either of both: North America's numbers do not say which. A match for one of both includes it.
    FixedLineOrMobile,
    /// Free for the caller.
    TollFree,
    /// Dearer than other calls.
    PremiumRate,
    /// The called party pays a part.
    SharedCost,
    /// Follows a person from line to line.
    PersonalNumber,
    /// A line of the internet.
    Voip,
    /// A pager.
    Pager,
    /// One number for a company, at every place.
    CompanyNumber,
    /// The access to voicemail.
    Voicemail,
}

impl NumberType {
    /// Whether a match for this type includes a number of a type.
    pub fn includes(self, number: Self) -> bool {
        let fixed_or_mobile = matches!(self, Self::FixedLine | Self::Mobile);
        self == number || (fixed_or_mobile && number == Self::FixedLineOrMobile)
    }
}

/// Which calls of an extension are recorded, internal ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Recording {
    /// No call is recorded.
    #[default]
    Never,
    /// Calls that come to it are recorded.
    Inbound,
    /// Calls that it makes are recorded.
    Outbound,
    /// Every call is recorded.
    Always,
}

/// How SIP is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// SIP over UDP.
    #[default]
    Udp,
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls,
}

/// How numbers are written towards a carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NumberFormat {
    /// `+493012345600`.
    #[default]
    E164,
    /// `493012345600`.
    E164WithoutPlus,
    /// As dialled inside the trunk's country: `03012345600`; abroad with `00`.
    National,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}
