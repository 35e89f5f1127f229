//! Rows of one tenant.

use crate::resources::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::device::DeviceRow;
use super::row::{Row, Rows, Secrets};
use super::schedule::ScheduleRow;
use crate::resources::common::{CallerId, DestinationKind, DigitMatch, Recording};
use crate::resources::emergency::EmergencyLocation;
use crate::resources::feature_code::FeatureAction;
use crate::resources::number::{InternalNumber, NumberRange};
use crate::resources::queue::QueueStrategy;
use crate::resources::ring_group::RingStrategy;
use crate::resources::tenant::DeletionPolicy;

/// The compiled rows of one tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantPlan {
    /// The tenant itself.
    pub tenant: TenantRow,
    /// Extensions by name.
    pub extensions: Rows<ExtensionRow>,
    /// Devices by name.
    pub devices: Rows<DeviceRow>,
    /// Ring groups by name.
    pub ring_groups: Rows<RingGroupRow>,
    /// Queues by name.
    pub queues: Rows<QueueRow>,
    /// IVR menus by name.
    pub ivr_menus: Rows<IvrMenuRow>,
    /// Conferences by name.
    pub conferences: Rows<ConferenceRow>,
    /// Schedules by name.
    pub schedules: Rows<ScheduleRow>,
    /// Public numbers by resource name.
    pub numbers: Rows<NumberRow>,
    /// Outbound routes by name.
    pub outbound_routes: Rows<OutboundRouteRow>,
    /// Feature codes by name.
    pub feature_codes: Rows<FeatureCodeRow>,
}

impl TenantPlan {
    /// A plan with nothing but the tenant.
    pub fn empty(tenant: TenantRow) -> Self {
        Self {
            tenant,
            extensions: Rows::new(),
            devices: Rows::new(),
            ring_groups: Rows::new(),
            queues: Rows::new(),
            ivr_menus: Rows::new(),
            conferences: Rows::new(),
            schedules: Rows::new(),
            numbers: Rows::new(),
            outbound_routes: Rows::new(),
            feature_codes: Rows::new(),
        }
    }
}

/// The tenant: a row of `public.tenants`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRow {
    /// Identity of the tenant: names its schema, role, media directory and dialplan context.
    pub id: Uuid,
    /// Namespace of the Tenant resource.
    pub namespace: String,
    /// Name of the Tenant resource.
    pub name: String,
    /// UID of the Tenant resource: only this owner may drop the schema.
    pub owner_uid: String,
    /// Name for people.
    pub display_name: String,
    /// SIP domains the tenant holds; the first is its main one. Never empty.
    pub domains: Vec<String>,
    /// Whether the tenant is suspended: see [`Self::service`].
    pub suspended: bool,
    /// IANA time zone.
    pub time_zone: String,
    /// Country that the tenant dials from, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Caller id of outbound calls without a caller id of their extension or route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// How emergency calls leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyRow>,
    /// Most calls at one time, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_calls: Option<i32>,
    /// Longest call through a trunk, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_call_duration_seconds: Option<i32>,
    /// Most calls abroad in a day, per switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls_abroad_per_day: Option<i32>,
    /// Hold music, relative to the tenant's media directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub music_on_hold: Option<MediaPath>,
    /// Whether a recorded call begins with a tone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recording_tone: bool,
    /// Days that call records are kept; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdr_days: Option<i32>,
    /// What happens to schema and media when the Tenant is deleted.
    pub deletion_policy: DeletionPolicy,
}

impl TenantRow {
    /// The domain of the tenant's directory users, voicemail boxes and agents.
    pub fn main_domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }

    /// What the tenant's phones may do.
    pub fn service(&self) -> Service {
        match &self.emergency {
            _ if !self.suspended => Service::Full,
            Some(emergency) if !emergency.denied_while_suspended => Service::EmergencyOnly,
            _ => Service::None,
        }
    }
}

/// What a tenant's phones may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Everything.
    Full,
    /// The tenant is suspended: they register, and make emergency calls.
    EmergencyOnly,
    /// The tenant is suspended: nothing.
    None,
}

/// How emergency calls leave. A tenant without `spec.emergency` has this row, too, if there is a trunk for
/// the emergency numbers of its country.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyRow {
    /// Numbers that are emergency calls, as dialled and as sent, beside those of the country; empty without
    /// `spec.emergency`.
    pub numbers: Vec<String>,
    /// Emergency trunk, `namespace/name`; `None` while it is missing or not permitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Trunks that are tried after it, in order: those of the tenant's routes, then others that the
    /// tenant may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Number shown to the emergency service, of calls whose location has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id_number: Option<String>,
    /// Places that emergency calls come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<EmergencyLocation>,
    /// Name of the location of callers that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_location: Option<String>,
    /// Whether no emergency call leaves while the tenant is suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied_while_suspended: bool,
}

impl EmergencyRow {
    /// All trunks by which an emergency call is tried, in order, each once.
    pub fn trunks(&self) -> impl Iterator<Item = &str> {
        self.trunk.iter().chain(&self.others).map(String::as_str)
    }

    /// The location of a caller: the named one, else the default.
    pub fn location(&self, named: Option<&str>) -> Option<&EmergencyLocation> {
        let by_name = |name: &str| self.locations.iter().find(|location| location.name == name);
        named.and_then(by_name).or_else(|| by_name(self.default_location.as_deref()?))
    }
}

/// A file under the tenant's media directory, such as `prompts/welcome.wav`: compile builds it from
/// resource names only, never from free text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaPath(pub String);

/// A destination that exists in the same plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Kind of the destination.
    pub kind: DestinationKind,
    /// Name of the resource; the E.164 number for `ExternalNumber`.
    pub name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// An extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionRow {
    /// Internal number, which is also the SIP user.
    pub number: String,
    /// Name for people, safe as a caller id name.
    pub display_name: String,
    /// Caller id for calls that leave by a trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// Name of the place that its emergency calls come from; the tenant's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_location: Option<String>,
    /// Seconds its phones ring.
    pub ring_seconds: i32,
    /// Toll classes it may dial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toll_classes: Vec<String>,
    /// Countries that it may call abroad; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries_abroad: Vec<String>,
    /// When its calls are recorded.
    #[serde(default)]
    pub recording: Recording,
    /// Its voicemail box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<VoicemailRow>,
    /// Where its calls go in other cases.
    #[serde(default, skip_serializing_if = "ForwardingRow::is_empty")]
    pub forwarding: ForwardingRow,
    /// `password` of its SIP credentials and `pin` of its voicemail box. Without `password` no phone can
    /// register.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
}

/// A voicemail box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoicemailRow {
    /// Where messages are announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the box requires a PIN. While the PIN is missing, the box stays closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_pin: bool,
}

/// Where the calls of an extension go instead of ringing, or after ringing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardingRow {
    /// Every call, without ringing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<Target>,
    /// When busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Target>,
    /// When the phones rang without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<Target>,
    /// When no phone is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Target>,
}

impl ForwardingRow {
    /// True when no case is forwarded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A ring group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RingGroupRow {
    /// Internal number, if it can be dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Order of ringing.
    pub strategy: RingStrategy,
    /// Members in order; never empty.
    pub members: Vec<MemberRow>,
    /// Where the call goes when nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<Target>,
}

/// A member of a ring group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// Name of the extension.
    pub extension: String,
    /// Seconds before it starts to ring (simultaneous groups).
    pub delay_seconds: i32,
    /// Seconds it rings.
    pub ring_seconds: i32,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRow {
    /// Internal number, if it can be dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Which agent is called first.
    pub strategy: QueueStrategy,
    /// Agents.
    pub agents: Vec<AgentRow>,
    /// Longest wait in seconds before the overflow.
    pub max_wait_seconds: i32,
    /// Longest wait in seconds while the queue has no agent; 0: the overflow at once.
    pub no_agent_wait_seconds: i32,
    /// Whether callers hear their position.
    pub announce_position: bool,
    /// Seconds an agent's phones ring.
    pub ring_seconds: i32,
    /// Seconds that an agent gets no call after a call.
    pub wrap_up_seconds: i32,
    /// Hold music, relative to the tenant's media directory; the switch's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub music_on_hold: Option<MediaPath>,
    /// Where callers go who waited too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Target>,
}

impl QueueRow {
    /// Whether callers go to the overflow without waiting: the queue has no agent.
    pub fn overflows_at_once(&self) -> bool {
        self.agents.is_empty() && self.no_agent_wait_seconds == 0
    }
}

/// An agent of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRow {
    /// Name of the extension.
    pub extension: String,
    /// Tier level, 1 first.
    pub level: i32,
    /// Position in the tier, 1 first.
    pub position: i32,
}

/// An IVR menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IvrMenuRow {
    /// Internal number, if it can be dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// What callers hear, relative to the tenant's media directory; silence when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<MediaPath>,
    /// Seconds to wait for a digit.
    pub timeout_seconds: i32,
    /// Wrong or missing entries before the menu gives up.
    pub max_failures: i32,
    /// Whether callers may dial an internal number.
    pub direct_dial: bool,
    /// What the digits do.
    pub options: Vec<IvrOptionRow>,
    /// Where callers go when the menu gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Target>,
    /// Where callers go who pressed nothing, in place of `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_input: Option<Target>,
    /// Where callers go who pressed keys without a meaning, in place of `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_input: Option<Target>,
}

impl IvrMenuRow {
    /// Whether `#` is a key of an option.
    pub fn has_pound_option(&self) -> bool {
        self.options.iter().any(|option| option.digits.contains('#'))
    }
}

/// One choice of an IVR menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IvrOptionRow {
    /// Digits the caller presses.
    pub digits: String,
    /// Where the call goes.
    pub target: Target,
}

/// A conference room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConferenceRow {
    /// Internal number, if it can be dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Most members at one time.
    pub max_members: i32,
    /// `pin` to enter, where one is asked.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub secrets: Secrets,
}

/// A public number of the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NumberRow {
    /// The number in E.164 form; what the numbers of a block begin with.
    pub number: String,
    /// The last digits of a block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<NumberRange>,
    /// How a called number names an internal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_number: Option<InternalNumber>,
    /// Trunk its calls come in by, `namespace/name`.
    pub trunk: String,
    /// Where its calls go that name no internal number.
    pub target: Target,
    /// Text put before the caller's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id_prefix: Option<String>,
    /// Whether its calls are recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record_calls: bool,
}

impl NumberRow {
    /// Whether it is, or its block has, a public number.
    pub fn holds(&self, number: &str) -> bool {
        match &self.range {
            Some(range) => range.contains(&self.number, number),
            None => self.number == number,
        }
    }
}

/// An outbound route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundRouteRow {
    /// Priority; the lowest is tried first.
    pub priority: i32,
    /// Toll class that a caller needs; without it, every extension may use the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toll_class: Option<String>,
    /// Digit matches with their edits; the first that matches is used.
    #[serde(rename = "match")]
    pub matches: Vec<DigitMatch>,
    /// Trunks in order of preference, `namespace/name`; never empty.
    pub trunks: Vec<String>,
    /// Caller id that overrides the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
}

/// A feature code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureCodeRow {
    /// What is dialled, such as `*97`; an extension's number follows for actions that take one.
    pub code: String,
    /// What it does.
    pub action: FeatureAction,
}

/// Implements [`Row`] for a row with a number of its own, an optional one, or none, with or
/// without secrets.
macro_rules! row {
    ($type:ty, $kind:ident $(, number = $number:expr)? $(, secrets = $secrets:ident)?) => {
        impl Row for $type {
            const KIND: Kind = Kind::$kind;
            $(
                fn number(&self) -> Option<&str> {
                    let number: fn(&$type) -> Option<&str> = $number;
                    number(self)
                }
            )?
            $(
                fn secrets(&self) -> Option<&Secrets> {
                    Some(&self.$secrets)
                }

                fn secrets_mut(&mut self) -> Option<&mut Secrets> {
                    Some(&mut self.$secrets)
                }
            )?
        }
    };
}

row!(ExtensionRow, Extension, number = |row| Some(&row.number), secrets = secrets);
row!(RingGroupRow, RingGroup, number = |row| row.number.as_deref());
row!(QueueRow, Queue, number = |row| row.number.as_deref());
row!(IvrMenuRow, IvrMenu, number = |row| row.number.as_deref());
row!(ConferenceRow, Conference, number = |row| row.number.as_deref(), secrets = secrets);
row!(ScheduleRow, Schedule);
row!(NumberRow, Number, number = |row| Some(&row.number));
row!(OutboundRouteRow, OutboundRoute);
row!(FeatureCodeRow, FeatureCode, number = |row| Some(&row.code));
