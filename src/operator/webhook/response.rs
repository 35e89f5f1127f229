//! The text of an AdmissionResponse: why an object is denied, and the warnings beside it.

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionResponse, AdmissionReview};

use crate::compile::Problem;

/// Most problems, and most warnings, in one response.
pub const MAX_MESSAGES: usize = 10;

/// The message of a denied request: each problem with its field and reason.
pub fn denial(refused: &[Problem]) -> String {
    let messages: Vec<_> = refused
        .iter()
        .take(MAX_MESSAGES)
        .map(|problem| format!("{}: {} ({})", problem.field, problem.message, problem.reason))
        .collect();
    messages.join("; ")
}

/// The answer with warnings.
pub fn warn(response: AdmissionResponse, warnings: Vec<String>) -> AdmissionReview<DynamicObject> {
    warn_response(response, warnings).into_review()
}

/// A response with warnings; none leave it as it is.
pub fn warn_response(mut response: AdmissionResponse, warnings: Vec<String>) -> AdmissionResponse {
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    response
}
