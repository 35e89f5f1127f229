//! One review: the proposed object, judged.

use std::sync::RwLock;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};

use super::verdict::{Origin, verdict};
use crate::compile::Problem;
use crate::reconcile::{AdmissionVerdict, CompileState};
use crate::source::Object;
use crate::status::conditions::cut;

/// Most problems and warnings that are told.
const MOST: usize = 10;

/// Answers a review.
pub async fn judge(
    known: &RwLock<CompileState>,
    origin: &dyn Origin,
    review: AdmissionReview<DynamicObject>,
) -> AdmissionReview<DynamicObject> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return AdmissionResponse::invalid(format!("this is no review: {error}")).into_review(),
    };
    let response = AdmissionResponse::from(&request);
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return response.into_review();
    }
    let Some(object) = proposed(&request) else { return response.into_review() };
    let Some(judged) = verdict(known, origin, &object).await else {
        return warn(response, vec!["Centrex is starting: it is judged when it is reconciled".to_owned()]);
    };
    let (own, was_there) = (object.key(), request.operation == Operation::Update);
    let AdmissionVerdict { refused, warnings } = judged;
    let warned = |problem: &Problem| match was_there && problem.resource == own && problem.keeps_last_row() {
        true => cut(format!("{problem}; what is in force stays until it is mended")),
        false => cut(problem.to_string()),
    };
    let warnings = warnings.iter().take(MOST).map(warned).collect();
    let response = warn_response(response, warnings);
    if refused.is_empty() {
        return response.into_review();
    }
    response.deny(told(&refused)).into_review()
}

/// The object, as far as it can be read: what cannot is the schema's to refuse.
fn proposed(request: &AdmissionRequest<DynamicObject>) -> Option<Object> {
    let object = request.object.as_ref()?;
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut object = object.clone();
    object.types = None;
    object.metadata.namespace = request.namespace.clone();
    object.metadata.managed_fields = None;
    // A new object has neither yet when it is tried only (dry run).
    object.metadata.creation_timestamp.get_or_insert(Time(Timestamp::now()));
    object.metadata.uid.get_or_insert_with(|| request.uid.clone());
    let value = serde_json::to_value(&object).ok()?;
    Object::from_json(&request.kind.kind, value)?.ok()
}

fn told(refused: &[Problem]) -> String {
    let told: Vec<_> = refused
        .iter()
        .take(MOST)
        .map(|problem| format!("{}: {} ({:?})", problem.field, problem.message, problem.reason))
        .collect();
    told.join("; ")
}

fn warn(response: AdmissionResponse, warnings: Vec<String>) -> AdmissionReview<DynamicObject> {
    warn_response(response, warnings).into_review()
}

fn warn_response(mut response: AdmissionResponse, warnings: Vec<String>) -> AdmissionResponse {
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    response
}
