//! What is accepted and what is refused of every kind, as the API server would say it.

use std::collections::BTreeSet;

use centrex::resources::crd;
use centrex::source::manifest::{self, Fault};
use centrex::source::validate::kinds;
use serde_json::{Value, json};

/// A full manifest of every kind: every field is set in one of them.
const SAMPLES: &str = include_str!("manifests/every-field.yaml");

fn samples() -> Vec<Value> {
    serde_saphyr::from_multiple(SAMPLES).unwrap()
}

fn sample(kind: &str) -> Value {
    samples()
        .into_iter()
        .find(|sample| sample["kind"] == kind)
        .unwrap_or_else(|| panic!("no sample of {kind}"))
}

fn faults(manifest: Value) -> Vec<Fault> {
    manifest::read(manifest, kinds().unwrap()).err().unwrap_or_default()
}

/// A manifest with one field changed, or removed where the value is null.
fn with(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Object(map) if value.is_null() => {
            map.remove(key).unwrap_or_else(|| panic!("no {pointer}"));
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{parent} holds nothing"),
    }
    manifest
}

#[test]
fn every_kind_is_accepted_in_full() {
    let mut seen = BTreeSet::new();
    for manifest in samples() {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        assert_eq!(faults(manifest), [], "{kind}");
        seen.insert(kind);
    }
    let known: BTreeSet<String> = kinds().unwrap().names().map(str::to_owned).collect();
    assert_eq!(seen, known);
}

#[test]
fn what_is_read_is_what_was_written() {
    for mut manifest in samples() {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        if manifest["apiVersion"] == "v1" {
            continue;
        }
        let items = manifest::read(manifest.clone(), kinds().unwrap()).unwrap();
        let mut written = items[0].object.to_json().unwrap();
        for value in [&mut manifest, &mut written] {
            value.as_object_mut().unwrap().retain(|key, _| key == "spec");
        }
        assert_eq!(written, manifest, "{kind}");
    }
}

/// Kind, field to change, its value (null removes it), field named, part of the message.
#[rustfmt::skip]
fn refused() -> Vec<(&'static str, &'static str, Value, &'static str, &'static str)> {
    let long = "x".repeat(65);
    let voicemail = json!({"kind": "Voicemail", "name": "alice"});
    vec![
        // What every kind has.
        ("Extension", "/kind", json!("Extention"), "kind", "kinds are Conference, ConfigMap, Device"),
        ("Extension", "/kind", Value::Null, "kind", "is required"),
        ("Extension", "/apiVersion", json!("apps/v1"), "apiVersion", "must be centrex.dev/v1alpha1"),
        ("Extension", "/apiVersion", json!(1), "apiVersion", "must be a string"),
        ("Extension", "/metadata", Value::Null, "metadata.name", "is required"),
        ("Extension", "/metadata/name", Value::Null, "metadata.name", "is required"),
        ("Extension", "/metadata/name", json!("Alice"), "metadata.name", "lower case"),
        ("Extension", "/metadata/name", json!("../alice"), "metadata.name", "lower case"),
        ("Extension", "/metadata/name", json!("x-pre-process"), "metadata.name", "FreeSWITCH acts on"),
        ("Extension", "/metadata/nmae", json!("x"), "metadata.nmae", "is no field"),
        ("Extension", "/metadata/namespace", json!("a.b"), "metadata.namespace", "lower case"),
        ("Extension", "/metadata/labels", json!({"a": 1}), "metadata.labels.a", "put it in quotes"),
        ("Extension", "/metadata/creationTimestamp", json!("yesterday"), "metadata.creationTimestamp", "must be a time"),
        ("SipProfile", "/metadata/namespace", json!("acme"), "metadata.namespace", "belongs to no namespace"),
        ("Extension", "/spec", Value::Null, "spec", "is required"),
        ("Extension", "/spec", json!([]), "spec", "must be an object, is a list"),
        ("Extension", "/spec/nunber", json!("1"), "spec.nunber", "fields here are callerId, credentials"),
        ("Extension", "/spec/tenantRef/namespace", json!("other"), "spec.tenantRef.namespace", "is no field"),
        // Types and limits.
        ("Extension", "/spec/number", json!(1001), "spec.number", "put it in quotes"),
        ("Extension", "/spec/number", json!("10 01"), "spec.number", "1 to 15 digits"),
        ("Extension", "/spec/number", json!(""), "spec.number", "must have 1 to 15 characters, has 0"),
        ("Extension", "/spec/number", Value::Null, "spec.number", "is required"),
        ("Extension", "/spec/displayName", json!(long), "spec.displayName", "has 65"),
        ("Extension", "/spec/displayName", json!("${system(id)}"), "spec.displayName", "without any of"),
        ("Extension", "/spec/ringSeconds", json!(0), "spec.ringSeconds", "from 1 to 300, is 0"),
        ("Extension", "/spec/ringSeconds", json!(1.5), "spec.ringSeconds", "a whole number"),
        ("Extension", "/spec/ringSeconds", json!("25"), "spec.ringSeconds", "a whole number, is a string"),
        ("Extension", "/spec/ringSeconds", json!(99999999999u64), "spec.ringSeconds", "from 1 to 300"),
        ("Extension", "/spec/recording", json!("never"), "spec.recording", "one of Never, Inbound, Outbound, Always"),
        ("Extension", "/spec/tollClasses", json!(["Local", "Local"]), "spec.tollClasses[1]", "in the list already"),
        ("Extension", "/spec/tollClasses/0", json!("local"), "spec.tollClasses[0]", "starts with a capital"),
        ("Extension", "/spec/voicemail/enabled", json!("yes"), "spec.voicemail.enabled", "true or false"),
        ("Extension", "/spec/voicemail/enabled", Value::Null, "spec.voicemail.enabled", "is required"),
        ("Extension", "/spec/voicemail/email", json!("a b@x"), "spec.voicemail.email", "a mail address"),
        ("Extension", "/spec/credentials/secretRef", Value::Null, "spec.credentials.secretRef", "is required"),
        ("Tenant", "/spec/domains", json!([]), "spec.domains", "1 to 16 items, has 0"),
        ("Tenant", "/spec/domains/0", json!("Acme.example.com"), "spec.domains[0]", "lower case"),
        ("Tenant", "/spec/domains/0", json!("1.2.3.4"), "spec.domains[0]", "starts with a letter"),
        ("Tenant", "/spec/country", json!("Germany"), "spec.country", "2 to 2 characters"),
        ("Tenant", "/spec/country", json!(false), "spec.country", "was read as false: put it in quotes"),
        ("Tenant", "/spec/emergency/numbers/0", json!("+112"), "spec.emergency.numbers[0]", "2 to 8 digits"),
        ("Tenant", "/spec/deletionPolicy", json!("Keep"), "spec.deletionPolicy", "Retain, Delete"),
        ("TenantProfile", "/spec/maxStorage", json!("20 GB"), "spec.maxStorage", "20Gi"),
        ("TenantProfile", "/spec/maxExtensions", json!(-1), "spec.maxExtensions", "from 0"),
        ("Number", "/spec/number", json!("0301234"), "spec.number", "E.164"),
        ("Device", "/spec/mac", json!("80:5E:C0:12:34:56"), "spec.mac", "lower case"),
        ("Device", "/spec/vendor", json!("Acme"), "spec.vendor", "Yealink"),
        ("Trunk", "/spec/gateways", json!([]), "spec.gateways", "1 to 8 items"),
        ("Trunk", "/spec/gateways/0/host", json!("sip.example.net;transport=tcp"), "spec.gateways[0].host", "DNS name or an IP"),
        ("Trunk", "/spec/gateways/0/port", json!(70000), "spec.gateways[0].port", "from 1 to 65535"),
        ("Trunk", "/spec/allowedNamespaces/selector/matchLabels", json!({"a": "b c"}), "spec.allowedNamespaces.selector.matchLabels.a", "label value"),
        ("RingGroup", "/spec/members", Value::Null, "spec.members", "is required"),
        ("RingGroup", "/spec/members/0/extensionRef/name", json!("A"), "spec.members[0].extensionRef.name", "lower case"),
        ("Queue", "/spec/strategy", json!("Fair"), "spec.strategy", "LongestIdleAgent"),
        ("Schedule", "/spec/weekly/0/from", json!("9:00"), "spec.weekly[0].from", "5 to 5 characters"),
        ("Schedule", "/spec/weekly/0/to", json!("25:00"), "spec.weekly[0].to", "a time of day"),
        ("Schedule", "/spec/weekly/0/days", json!(["Mon", "Mon"]), "spec.weekly[0].days[1]", "already"),
        ("IvrMenu", "/spec/options", json!([{"digits": "1", "destination": voicemail}, {"digits": "1", "destination": voicemail}]), "spec.options[1].digits", "already"),
        ("FeatureCode", "/spec/code", json!("97"), "spec.code", "such as *97"),
        ("MediaFile", "/spec/source/url/sha256", json!("abc"), "spec.source.url.sha256", "64 to 64 characters"),
        ("RoutingTest", "/spec/at", json!("2027-03-07 02:00:00"), "spec.at", "YYYY-MM-DDTHH:MM:SS"),
        ("Conference", "/spec/maxMembers", json!(1), "spec.maxMembers", "from 2 to 1000"),
        ("OutboundRoute", "/spec/tollClass", json!("national"), "spec.tollClass", "capital"),
        ("DialRule", "/spec/phase", json!("During"), "spec.phase", "Before, After"),
        ("Switch", "/spec/version", json!("1 10"), "spec.version", "a version of"),
        // CEL rules.
        ("Number", "/spec/destination/number", json!("+493012345678"), "spec.destination", "number goes with kind ExternalNumber"),
        ("Number", "/spec/destination/name", Value::Null, "spec.destination", "name goes with every kind but ExternalNumber"),
        ("OutboundRoute", "/spec/match/0/minDigits", json!(20), "spec.match[0]", "minDigits must not exceed maxDigits"),
        ("OutboundRoute", "/spec/match/0/strip", json!(9), "spec.match[0]", "strip must not exceed the length of prefix"),
        ("OutboundRoute", "/spec/match/0/prefix", Value::Null, "spec.match[0]", "strip needs a prefix"),
        ("Device", "/spec/keys/0/extensionRef", Value::Null, "spec.keys[0]", "extensionRef goes with type BusyLamp"),
        ("Device", "/spec/keys/1/number", Value::Null, "spec.keys[1]", "number goes with type SpeedDial"),
        ("DialRule", "/spec/action/trunks", Value::Null, "spec.action", "trunks goes with kind Route"),
        ("MediaFile", "/spec/source/upload", json!({"sha256": "a".repeat(64)}), "spec.source", "exactly one of"),
        ("RoutingTest", "/spec/from/extensionRef", json!({"name": "alice"}), "spec.from", "exactly one of extensionRef and trunkRef"),
        ("RoutingTest", "/spec/expect/name", Value::Null, "spec.expect", "name goes with every kind but Rejected"),
        ("SipProfile", "/spec/role", json!("Trunks"), "spec.wssPort", "wssPort is for role Phones"),
        ("SipProfile", "/spec/tlsPort", json!(5060), "spec.tlsPort", "tlsPort must differ from sipPort"),
        ("SipProfile", "/spec/wssPort", json!(5061), "spec.wssPort", "wssPort must differ"),
        ("Trunk", "/spec/country", Value::Null, "spec.country", "numberFormat National needs country"),
        ("Trunk", "/spec/allowedNamespaces/from", json!("All"), "spec.allowedNamespaces", "selector goes with from Selector"),
        // Kubernetes' own kinds.
        ("Secret", "/data/password", json!("not base64!"), "data[\"password\"]", "stringData"),
        ("Secret", "/stringData/pin", json!(1234), "stringData.pin", "put it in quotes"),
        ("Namespace", "/metadata/namespace", json!("acme"), "metadata.namespace", "belongs to no namespace"),
        ("ConfigMap", "/data", json!(["a"]), "data", "must be an object"),
    ]
}

#[test]
fn what_breaks_a_rule_is_refused_by_field() {
    for (kind, pointer, value, field, message) in refused() {
        let found = faults(with(sample(kind), pointer, value.clone()));
        let matching = found
            .iter()
            .any(|fault| fault.violation.field == field && fault.violation.message.contains(message));
        assert!(matching, "{kind} {pointer} = {value}: wanted {field}: {message}; found {found:#?}");
    }
}

/// Rules that compare with the old object; `a_resource_cannot_become_another` has those.
fn is_transition(rule: &str) -> bool {
    rule.contains("oldSelf")
}

#[test]
fn every_cel_rule_is_tried() {
    let tried: Vec<String> = refused().into_iter().map(|(.., message)| message.to_owned()).collect();
    let mut rules = BTreeSet::new();
    fn collect(node: &Value, rules: &mut BTreeSet<(String, String)>) {
        match node {
            Value::Object(map) => {
                for rule in
                    map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
                {
                    let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
                    rules.insert((text("rule"), text("message")));
                }
                map.values().for_each(|inner| collect(inner, rules));
            }
            Value::Array(list) => list.iter().for_each(|inner| collect(inner, rules)),
            _ => {}
        }
    }
    crd::all().iter().for_each(|definition| collect(&crd::tidy(definition).unwrap(), &mut rules));
    assert!(rules.len() > 15, "{rules:?}");
    for (rule, message) in rules {
        let known = is_transition(&rule) || tried.iter().any(|tried| message.contains(tried.as_str()));
        assert!(known, "no test breaks the rule {rule}: {message}");
    }
}

#[test]
fn a_resource_cannot_become_another() {
    let body = |manifest: &Value| manifest::without_head(manifest.as_object().unwrap());
    for definition in crd::all() {
        let name = definition.spec.names.kind.as_str();
        let old = sample(name);
        let kind = kinds().unwrap().get(name).unwrap();
        assert_eq!(kind.check_update(&body(&old), &body(&old)), [], "{name}");
        if old.pointer("/spec/tenantRef").is_some() {
            let new = with(old.clone(), "/spec/tenantRef/name", json!("other"));
            let found = kind.check_update(&body(&new), &body(&old));
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0].field, "spec.tenantRef");
            assert!(found[0].message.contains("cannot change"), "{found:?}");
        }
    }
    let (kind, old) = (kinds().unwrap().get("Tenant").unwrap(), sample("Tenant"));
    let other = json!("0193b6a0-0000-7000-8000-000000000002");
    for (value, message) in [(other, "tenantId cannot change"), (Value::Null, "cannot be set or unset")] {
        let found = kind.check_update(&body(&with(old.clone(), "/spec/tenantId", value)), &body(&old));
        assert!(found.iter().any(|v| v.field == "spec.tenantId" && v.message.contains(message)), "{found:?}");
    }
}

#[test]
fn a_namespace_left_out_is_default() {
    let items =
        manifest::read(with(sample("Extension"), "/metadata/namespace", Value::Null), kinds().unwrap());
    assert_eq!(items.unwrap()[0].key.to_string(), "Extension default/alice");
}

#[test]
fn string_data_goes_into_data() {
    let items = manifest::read(sample("Secret"), kinds().unwrap()).unwrap();
    let centrex::source::Object::Secret(secret) = &items[0].object else { panic!("no Secret") };
    let data = secret.data.as_ref().unwrap();
    assert_eq!(data["password"].0, b"from data");
    assert_eq!(data["pin"].0, b"1234");
    assert_eq!(data["both"].0, b"stringData wins");
}

#[test]
fn a_secret_is_never_repeated() {
    let hidden = "hunter2-hunter2";
    for (pointer, value) in [
        ("/data/password", json!(hidden)),
        ("/stringData/pin", json!([hidden])),
        ("/data", json!(hidden)),
        ("/type", json!({"x": hidden})),
    ] {
        let found = faults(with(sample("Secret"), pointer, value));
        assert!(!found.is_empty(), "{pointer}");
        assert!(!format!("{found:?}").contains(hidden), "{found:?}");
    }
}

#[test]
fn a_list_holds_manifests() {
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let items = manifest::read(list(json!([sample("Secret"), sample("Queue")])), kinds().unwrap()).unwrap();
    assert_eq!(items.iter().map(|item| item.path.as_str()).collect::<Vec<_>>(), ["items[0]", "items[1]"]);
    let found = faults(list(json!([sample("Secret"), with(sample("Queue"), "/spec/number", json!("x"))])));
    assert_eq!((found[0].path.as_str(), found[0].violation.field.as_str()), ("items[1]", "spec.number"));
    assert_eq!(faults(list(json!("none")))[0].violation.field, "items");
    assert!(faults(json!("text"))[0].violation.message.contains("must be a manifest"));
}
