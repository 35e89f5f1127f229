//! The CRDs of all kinds, as `centrex crds` prints them.
//!
//! schemars and Kubernetes differ in taste: `Option` becomes `nullable`, optional enums get a
//! `null` member. What Kubernetes would warn about or an explicit `null` would slip through is
//! tidied here, once for all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::*;

/// The CRDs of all kinds, in order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Conference::crd(),
        Device::crd(),
        DialRule::crd(),
        Extension::crd(),
        FeatureCode::crd(),
        IvrMenu::crd(),
        MediaFile::crd(),
        Number::crd(),
        OutboundRoute::crd(),
        Queue::crd(),
        RingGroup::crd(),
        RoutingTest::crd(),
        Schedule::crd(),
        SipProfile::crd(),
        Switch::crd(),
        Tenant::crd(),
        TenantProfile::crd(),
        Trunk::crd(),
    ];
    crds.sort_by_key(|crd| crd.metadata.name.clone());
    crds
}

/// A CRD as the JSON that is published.
pub fn tidy(crd: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy_schema(schema);
            }
        }
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    Ok(value)
}

fn tidy_schema(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    if let Some(members) = object.get_mut("enum").and_then(Value::as_array_mut) {
        members.retain(|member| !member.is_null());
    }
    for key in ["properties"] {
        if let Some(properties) = object.get_mut(key).and_then(Value::as_object_mut) {
            properties.values_mut().for_each(tidy_schema);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            tidy_schema(inner);
        }
    }
}
