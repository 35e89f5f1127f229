//! One AdmissionReview: the proposed object against everything that is compiled.

use std::sync::RwLock;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};

use super::response::{MAX_MESSAGES, denial, warn, warn_response};
use super::verdict::{ObjectReader, verdict};
use crate::compile::Problem;
use crate::reconcile::{AdmissionVerdict, CompileState};
use crate::source::Object;
use crate::status::conditions::cut;

/// Answers a review: denied where compile would refuse the object, and its other problems as warnings.
pub async fn review(
    state: &RwLock<CompileState>,
    objects: &dyn ObjectReader,
    review: AdmissionReview<DynamicObject>,
) -> AdmissionReview<DynamicObject> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => {
            return AdmissionResponse::invalid(format!("this is not an AdmissionReview: {error}"))
                .into_review();
        }
    };
    let response = AdmissionResponse::from(&request);
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return response.into_review();
    }
    let Some(object) = proposed(&request) else { return response.into_review() };
    let Some(verdict) = verdict(state, objects, &object).await else {
        return warn(
            response,
            vec!["Centrex is starting: the object is checked when it is reconciled".to_owned()],
        );
    };
    let (own, is_update) = (object.key(), request.operation == Operation::Update);
    let AdmissionVerdict { refused, warnings } = verdict;
    let warning = |problem: &Problem| match is_update && problem.resource == own && problem.keeps_last_row() {
        true => cut(format!("{problem}; the previous version stays in force until this is fixed")),
        false => cut(problem.to_string()),
    };
    let warnings = warnings.iter().take(MAX_MESSAGES).map(warning).collect();
    let response = warn_response(response, warnings);
    if refused.is_empty() {
        return response.into_review();
    }
    response.deny(denial(&refused)).into_review()
}

/// The proposed object; `None` where it cannot be read, which the schema refuses.
fn proposed(request: &AdmissionRequest<DynamicObject>) -> Option<Object> {
    let object = request.object.as_ref()?;
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut object = object.clone();
    object.types = None;
    object.metadata.namespace = request.namespace.clone();
    object.metadata.managed_fields = None;
    // In a dry run, a new object has neither.
    object.metadata.creation_timestamp.get_or_insert(Time(Timestamp::now()));
    object.metadata.uid.get_or_insert_with(|| request.uid.clone());
    let value = serde_json::to_value(&object).ok()?;
    Object::from_json(&request.kind.kind, value)?.ok()
}
