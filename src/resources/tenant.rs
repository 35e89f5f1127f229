//! A tenant: one company's phone system, with its SIP domains.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::emergency::Emergency;
use super::status::TenantStatus;

/// A tenant: one company's phone system, with its SIP domains.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    namespaced,
    status = "TenantStatus",
    category = "pbx",
    shortname = "ten",
    cel,
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.domains[0]"),
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profileRef.name"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
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
#[x_kube(validation = Rule::new("has(self.tenantId) == has(oldSelf.tenantId)").message("tenantId cannot be set or unset later").field_path(".tenantId"))]
#[x_kube(validation = Rule::new("!has(self.tenantId) || !has(oldSelf.tenantId) || self.tenantId == oldSelf.tenantId").message("tenantId cannot change").field_path(".tenantId"))]
pub struct TenantSpec {
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT_PATTERN))]
    pub display_name: Option<String>,
    /// SIP domains the tenant's phones register at; the first is the main one. No other tenant can hold them.
    #[schemars(length(min = 1, max = 16), inner(length(min = 3, max = 190), regex(pattern = DOMAIN_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<String>,
    /// Public numbers that its Numbers may hold, each a whole number or the beginning of several; any
    /// that nobody holds when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 2, max = 16), regex(pattern = E164_PREFIX_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_numbers: Vec<String>,
    /// Profile with its limits and features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ref: Option<LocalRef>,
    /// Country the tenant dials from, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2), regex(pattern = COUNTRY_PATTERN))]
    pub country: Option<String>,
    /// IANA time zone of its schedules and times; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE_PATTERN))]
    pub time_zone: Option<String>,
    /// Caller id of calls that have no better one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// How emergency calls leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Emergency>,
    /// Music that held callers hear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub music_on_hold: Option<MediaSource>,
    /// True: the tenant's phones and numbers are served nothing but emergency calls; its configuration and data stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// What happens to schema and media when the Tenant is deleted: Retain when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Identity of a retained or restored schema to adopt; a new one is made when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = UUID_PATTERN)
    )]
    pub tenant_id: Option<String>,
}

/// What happens to schema and media when a Tenant is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay, and can be adopted by `tenantId`.
    #[default]
    Retain,
    /// They are removed.
    Delete,
}
