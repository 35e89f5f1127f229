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
    /// Days on which it is closed all day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub holidays: Vec<Holiday>,
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

/// A holiday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holiday {
    /// Name for people.
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub name: String,
    /// `MM-DD` for every year, or `YYYY-MM-DD`.
    #[schemars(length(min = 5, max = 10), regex(pattern = DATE_PATTERN))]
    pub date: String,
}
