//! A schedule: calls go one way while it is open, another while it is closed.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A schedule: calls go one way while it is open, another while it is closed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Schedule",
    plural = "schedules",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "sched",
    cel,
    printcolumn(name = "Open", type_ = "string", json_path = ".spec.open.name"),
    printcolumn(name = "Closed", type_ = "string", json_path = ".spec.closed.name"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantRef.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.tenantRef == oldSelf.tenantRef").message("tenantRef cannot change; create the resource anew under the other tenant").field_path(".tenantRef"))]
pub struct ScheduleSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// IANA time zone; the tenant's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE_PATTERN))]
    pub time_zone: Option<String>,
    /// When it is open, in a week without holidays; never when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub weekly: Vec<Window>,
    /// Days with hours of their own, or none. Where several name a time, the first in the list decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub holidays: Vec<Holiday>,
    /// What applies for a time in place of `weekly` and `holidays`.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "override")]
    pub overridden: Option<ScheduleOverride>,
    /// Where calls go while it is open.
    pub open: Destination,
    /// Where calls go while it is closed.
    pub closed: Destination,
    /// Where calls go on a holiday; as closed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holiday: Option<Destination>,
}

/// A span of time on some days of the week. One whose end is not after its start ends on the next day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Days it starts on.
    #[schemars(length(min = 1, max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it starts, `HH:MM`.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub from: String,
    /// When it ends, `HH:MM`, not included; `24:00` is the end of the day.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub to: String,
}

/// A holiday: a day or several, named by exactly one of `date`, `weekday` and `easter`. It is closed from
/// `from` on its first day until `to` on its last day, and all day when both are left out; with `open`, it
/// is open at those hours and closed at all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(has(self.date) ? 1 : 0) + (has(self.weekday) ? 1 : 0) + (has(self.easter) ? 1 : 0) == 1", "message": "exactly one of date, weekday and easter must be set"},
    {"rule": "!has(self.lastDate) || has(self.date)", "message": "lastDate goes with date"},
    {"rule": "!has(self.open) || !(has(self.from) || has(self.to) || has(self.lastDate))", "message": "open goes without from, to and lastDate"}
]))]
pub struct Holiday {
    /// Name for people.
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub name: String,
    /// Its day, or the first of several: `MM-DD` for every year, or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 10), regex(pattern = DATE_PATTERN))]
    pub date: Option<String>,
    /// The last of several days, in the form of `date`; `date` when left out. Before `date`, as MM-DD, it
    /// is a day of the next year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 10), regex(pattern = DATE_PATTERN))]
    pub last_date: Option<String>,
    /// Its day of every year, by a day of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<HolidayWeekday>,
    /// Its day of every year, by Easter Sunday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub easter: Option<HolidayEaster>,
    /// When it starts on its first day, `HH:MM`: 00:00 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub from: Option<String>,
    /// When it ends on its last day, `HH:MM`, not included: 24:00 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub to: Option<String>,
    /// When it is open on this day, in place of `weekly`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub open: Vec<OpenHours>,
}

/// A span of time within a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenHours {
    /// When it starts, `HH:MM`.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub from: String,
    /// When it ends, `HH:MM`, not included; `24:00` is the end of the day.
    #[schemars(length(min = 5, max = 5), regex(pattern = TIME_OF_DAY_PATTERN))]
    pub to: String,
}

/// A day of every year that is a day of the week: the nth of a month, or the first one from a date on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.nth) == has(self.month)", "message": "nth and month go together"},
    {"rule": "has(self.nth) != has(self.onOrAfter)", "message": "exactly one of nth and onOrAfter must be set"},
    {"rule": "!has(self.nth) || self.nth != 0", "message": "nth must not be 0"}
]))]
pub struct HolidayWeekday {
    /// Day of the week.
    pub day: Day,
    /// Which one of the month: 1 is the first, -1 the last. A month that has no fifth has no holiday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -5, max = 5))]
    pub nth: Option<i32>,
    /// Month, 1 is January.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 12))]
    pub month: Option<i32>,
    /// The first such day on or after this one, `MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 5), regex(pattern = MONTH_DAY_PATTERN))]
    pub on_or_after: Option<String>,
    /// Days after that day, or before it when negative: 0 when left out. The Friday after the fourth
    /// Thursday of November is 1 after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -60, max = 60))]
    pub offset_days: Option<i32>,
}

/// A day of every year that is so many days from Easter Sunday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HolidayEaster {
    /// Days after Easter Sunday, or before it when negative: Good Friday is -2, Easter Monday 1, Whit Monday
    /// 50.
    #[schemars(range(min = -120, max = 120))]
    pub offset_days: i32,
    /// Whose Easter: Western when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<EasterCalendar>,
}

/// Whose Easter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EasterCalendar {
    /// Of the Western churches.
    #[default]
    Western,
    /// Of the Orthodox churches.
    Orthodox,
}

/// What applies for a time in place of the weekly hours and the holidays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.state) != has(self.destination)", "message": "exactly one of state and destination must be set"}
]))]
pub struct ScheduleOverride {
    /// The state that the schedule is in: calls go to `open`, `closed` or `holiday`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ScheduleState>,
    /// Where calls go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// When it begins, `YYYY-MM-DDTHH:MM` in the schedule's time zone, or with a zone as in RFC 3339; at once
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 16, max = 25), regex(pattern = TIME_PATTERN))]
    pub from: Option<String>,
    /// When it ends, not included, in the same form; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 16, max = 25), regex(pattern = TIME_PATTERN))]
    pub until: Option<String>,
}

/// A state of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScheduleState {
    /// Open.
    Open,
    /// Closed.
    Closed,
    /// Closed for a holiday.
    Holiday,
}
