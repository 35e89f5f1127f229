//! A public number (DID) that calls come in by.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::*;
use super::status::Status;

/// A public number (DID) that calls come in by.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "centrex.dev",
    version = "v1alpha1",
    kind = "Number",
    plural = "numbers",
    namespaced,
    status = "Status",
    category = "pbx",
    shortname = "num",
    cel,
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.destination.kind"),
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
#[x_kube(validation = Rule::new("!has(self.internalNumber) || has(self.range)").message("internalNumber needs range").field_path(".internalNumber"))]
#[x_kube(validation = Rule::new("!has(self.range) || size(self.number) + size(self.range.first) <= 16").message("a number with the digits of range has 15 digits at most").field_path(".range"))]
pub struct NumberSpec {
    /// Tenant it belongs to.
    pub tenant_ref: LocalRef,
    /// The number in E.164 form; with `range`, what all numbers of the block begin with. No other tenant can
    /// hold it.
    #[schemars(length(min = 6, max = 16), regex(pattern = E164_PATTERN))]
    pub number: String,
    /// The last digits of a block of numbers. A Number of the tenant for one of them has precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<NumberRange>,
    /// Direct inward dialling: how a called number of the block names an internal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_number: Option<InternalNumber>,
    /// Trunk its calls come in by.
    pub trunk_ref: NamespacedRef,
    /// Where its calls go; with `internalNumber`, the calls whose number names none that exists.
    pub destination: Destination,
    /// Text put before the caller's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = TEXT_PATTERN))]
    pub caller_id_prefix: Option<String>,
    /// Whether calls that come in by it are recorded, except those that go straight to a voicemail
    /// box: false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_calls: Option<bool>,
}

/// The last digits of the numbers of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "size(self.first) == size(self.last)", "message": "first and last have equally many digits"},
    {"rule": "self.first <= self.last", "message": "first must not exceed last"}
]))]
pub struct NumberRange {
    /// Last digits of the first number, such as 00.
    #[schemars(length(min = 1, max = 6), regex(pattern = INTERNAL_NUMBER_PATTERN))]
    pub first: String,
    /// Last digits of the last number, such as 99.
    #[schemars(length(min = 1, max = 6), regex(pattern = INTERNAL_NUMBER_PATTERN))]
    pub last: String,
}

impl NumberRange {
    /// Whether a number is one of the block whose numbers begin with a prefix.
    pub fn contains(&self, prefix: &str, number: &str) -> bool {
        number.strip_prefix(prefix).is_some_and(|digits| {
            digits.len() == self.first.len() && (self.first.as_str()..=self.last.as_str()).contains(&digits)
        })
    }
}

impl NumberSpec {
    /// The first and the last number of it; the same where it is no block.
    pub fn ends(&self) -> (String, String) {
        match &self.range {
            Some(range) => (self.number.clone() + &range.first, self.number.clone() + &range.last),
            None => (self.number.clone(), self.number.clone()),
        }
    }
}

/// How a called number names an internal number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InternalNumber {
    /// How many last digits of the called number are those of the internal number.
    #[schemars(range(min = 1, max = 10))]
    pub last_digits: i32,
    /// Digits put before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), regex(pattern = INTERNAL_NUMBER_PATTERN))]
    pub prepend: Option<String>,
}

impl InternalNumber {
    /// The internal number that a called number names.
    pub fn of(&self, number: &str) -> Option<String> {
        let start = number.len().checked_sub(usize::try_from(self.last_digits).ok()?)?;
        Some(self.prepend.clone().unwrap_or_default() + number.get(start..)?)
    }
}
