//! Which Secrets, ConfigMaps and Trunks an object refers to.

use super::object::{Object, ObjectKey};
use crate::resources::Kind;
use crate::resources::common::{NamespacedRef, SecretKeyRef};

/// Every Secret and ConfigMap that an object refers to, each once, ordered by key. All are in its namespace.
pub fn references(object: &Object) -> Vec<ObjectKey> {
    let namespace = &object.metadata().namespace;
    let key = |kind, name: &String| ObjectKey { kind, namespace: namespace.clone(), name: name.clone() };
    let secret = |reference: &SecretKeyRef| key(Kind::Secret, &reference.name);
    let mut found: Vec<ObjectKey> = match object {
        Object::Extension(o) => {
            let password = match &o.spec.credentials {
                Some(credentials) => Some(secret(&credentials.secret_ref)),
                None => generated_secret(object),
            };
            let voicemail = o.spec.voicemail.as_ref();
            let pin = voicemail.and_then(|voicemail| voicemail.pin_secret_ref.as_ref()).map(secret);
            password.into_iter().chain(pin).collect()
        }
        Object::Device(o) => {
            let passwords = match &o.spec.credentials {
                Some(credentials) => Some(key(Kind::Secret, &credentials.secret_ref.name)),
                None => generated_secret(object),
            };
            passwords.into_iter().chain(o.spec.admin_password_secret_ref.iter().map(secret)).collect()
        }
        Object::Trunk(o) => {
            let registration = o.spec.registration.iter().map(|registration| &registration.secret_ref);
            let credentials = o.spec.credentials.iter().map(|credentials| &credentials.secret_ref);
            registration.chain(credentials).map(secret).collect()
        }
        Object::Conference(o) => o.spec.pin_secret_ref.iter().map(secret).collect(),
        Object::MediaFile(o) => {
            let maps = o.spec.source.config_map_key_ref.iter();
            maps.map(|reference| key(Kind::ConfigMap, &reference.name)).collect()
        }
        Object::Tenant(_)
        | Object::TenantProfile(_)
        | Object::SipProfile(_)
        | Object::DialRule(_)
        | Object::Number(_)
        | Object::OutboundRoute(_)
        | Object::RingGroup(_)
        | Object::Queue(_)
        | Object::IvrMenu(_)
        | Object::Schedule(_)
        | Object::FeatureCode(_)
        | Object::RoutingTest(_)
        | Object::Switch(_)
        | Object::Secret(_)
        | Object::ConfigMap(_)
        | Object::Namespace(_) => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    found
}

/// Every Trunk that an object of a tenant refers to, in its own namespace or another.
pub fn trunks(object: &Object) -> Vec<ObjectKey> {
    let references: Vec<&NamespacedRef> = match object {
        Object::Tenant(o) => o.spec.emergency.iter().map(|emergency| &emergency.trunk_ref).collect(),
        Object::Number(o) => vec![&o.spec.trunk_ref],
        Object::OutboundRoute(o) => o.spec.trunks.iter().collect(),
        _ => Vec::new(),
    };
    let home = &object.metadata().namespace;
    let key = |reference: &NamespacedRef| ObjectKey {
        kind: Kind::Trunk,
        namespace: reference.namespace.clone().or_else(|| home.clone()),
        name: reference.name.clone(),
    };
    references.into_iter().map(key).collect()
}

/// The generated Secret with the passwords of an extension or a device; `None` when the object has credentials or is of
/// another kind.
pub fn generated_secret(object: &Object) -> Option<ObjectKey> {
    let name = object.metadata().name.as_deref()?;
    let name = match object {
        Object::Extension(o) if o.spec.credentials.is_none() => format!("{name}-sip"),
        Object::Device(o) if o.spec.credentials.is_none() => format!("{name}-device"),
        _ => return None,
    };
    Some(ObjectKey { kind: Kind::Secret, namespace: object.metadata().namespace.clone(), name })
}

/// The keys of the generated Secret of an object of a kind, each with a password.
pub fn generated_keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Device => &["password", "provisioningPassword"],
        _ => &["password"],
    }
}

/// The object that a Secret may be generated for, by the Secret's name.
pub fn generated_for(secret: &ObjectKey) -> Option<ObjectKey> {
    let of = |kind, suffix| Some((kind, secret.name.strip_suffix(suffix)?));
    let (kind, name) = of(Kind::Extension, "-sip").or_else(|| of(Kind::Device, "-device"))?;
    let key = || ObjectKey { kind, namespace: secret.namespace.clone(), name: name.to_owned() };
    (secret.kind == Kind::Secret).then(key)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resources::crd;

    fn names(kind: &str, spec: Value) -> Vec<String> {
        let value = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind,
            "metadata": {"name": "x", "namespace": "acme"}, "spec": spec});
        let object = Object::from_json(kind, value).unwrap().unwrap();
        references(&object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_extension_has_a_password_and_may_have_a_pin() {
        let spec = json!({"tenantRef": {"name": "t"}, "number": "100"});
        assert_eq!(names("Extension", spec), ["Secret acme/x-sip"]);
        let named = json!({"tenantRef": {"name": "t"}, "number": "100",
            "credentials": {"secretRef": {"name": "mine"}},
            "voicemail": {"enabled": true, "pinSecretRef": {"name": "box"}}});
        assert_eq!(names("Extension", named), ["Secret acme/box", "Secret acme/mine"]);
        let one = json!({"tenantRef": {"name": "t"}, "number": "100",
            "credentials": {"secretRef": {"name": "mine"}},
            "voicemail": {"enabled": true, "pinSecretRef": {"name": "mine"}}});
        assert_eq!(names("Extension", one), ["Secret acme/mine"]);
    }

    #[test]
    fn trunks_conferences_and_media_files_refer_too() {
        let trunk = json!({"sipProfileRef": {"name": "external"}, "gateways": [{"host": "sip.example.com"}],
            "registration": {"username": "u", "secretRef": {"name": "carrier"}}});
        assert_eq!(names("Trunk", trunk), ["Secret acme/carrier"]);
        let challenged = json!({"sipProfileRef": {"name": "external"}, "gateways": [{"host": "sip.example.com"}],
            "credentials": {"username": "u", "secretRef": {"name": "calls"}}});
        assert_eq!(names("Trunk", challenged), ["Secret acme/calls"]);
        let conference = json!({"tenantRef": {"name": "t"}, "pinSecretRef": {"name": "door"}});
        assert_eq!(names("Conference", conference), ["Secret acme/door"]);
        let media = json!({"tenantRef": {"name": "t"},
            "source": {"configMapKeyRef": {"name": "prompts", "key": "hello.wav"}}});
        assert_eq!(names("MediaFile", media), ["ConfigMap acme/prompts"]);
    }

    /// A new field that refers to a Secret or a ConfigMap fails here until it is followed.
    #[test]
    fn every_reference_of_the_schemas_is_known() {
        fn count(schema: &Value) -> usize {
            let properties = schema.get("properties").and_then(Value::as_object);
            let own = properties.into_iter().flat_map(|map| map.keys());
            let own = own.filter(|name| {
                let name = name.to_lowercase();
                name.ends_with("secretref") || name.contains("configmap")
            });
            let inner = properties.into_iter().flat_map(|map| map.values());
            own.count() + inner.chain(schema.get("items")).map(count).sum::<usize>()
        }
        let schemas = crd::all().into_iter().map(|crd| {
            let crd = crd::tidy(&crd).unwrap();
            let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            (crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(), count(spec))
        });
        let found: Vec<(String, usize)> = schemas.filter(|(_, count)| *count > 0).collect();
        let known = [
            (Kind::Conference, 1),
            (Kind::Device, 2),
            (Kind::Extension, 2),
            (Kind::MediaFile, 1),
            (Kind::Trunk, 2),
        ];
        assert_eq!(found, known.map(|(kind, count)| (kind.to_string(), count)));
    }
}
