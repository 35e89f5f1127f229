//! Values that the CEL rules accept and refuse, in every place of each rule.

use serde_json::{Value, json};

use super::{Case, Refusal, field};

/// A value of a field; for a refused one, the field below it and the message.
type Verdict = (Value, Option<(&'static str, &'static str)>);

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut at = |kind: &'static str, pointer: &str, verdicts: Vec<Verdict>| {
        cases.extend(verdicts.into_iter().map(|(value, refused)| Case {
            kind,
            pointer: pointer.to_owned(),
            value,
            refused: refused.map(|(below, message)| Refusal {
                field: format!("{}{below}", field(pointer)),
                message,
                by_rule: true,
            }),
        }));
    };
    for (kind, pointer) in DESTINATIONS {
        at(kind, pointer, destination());
    }
    at("DialRule", "/spec/match/0", digits());
    at("OutboundRoute", "/spec/match/0", digits());
    at("DialRule", "/spec/action", action());
    at("Device", "/spec/keys/0", key());
    at("Device", "/spec", device());
    at("MediaFile", "/spec/source", source());
    at("RoutingTest", "/spec/from", caller());
    at("RoutingTest", "/spec/expect", end());
    at("Trunk", "/spec/allowedNamespaces", namespaces());
    at("Trunk", "/spec", trunk());
    at("SipProfile", "/spec", sip_profile());
    at("Schedule", "/spec/holidays/0", holiday());
    at("Schedule", "/spec/holidays/0/weekday", weekday());
    at("Schedule", "/spec/override", schedule_override());
    at("Number", "/spec", number());
    at("Number", "/spec/range", range());
    cases
}

/// Places of a destination.
const DESTINATIONS: &[(&str, &str)] = &[
    ("Extension", "/spec/forwarding/always"),
    ("Extension", "/spec/forwarding/busy"),
    ("Extension", "/spec/forwarding/noAnswer"),
    ("Extension", "/spec/forwarding/unavailable"),
    ("IvrMenu", "/spec/options/0/destination"),
    ("IvrMenu", "/spec/otherwise"),
    ("IvrMenu", "/spec/noInput"),
    ("IvrMenu", "/spec/invalidInput"),
    ("Number", "/spec/destination"),
    ("Queue", "/spec/overflow"),
    ("RingGroup", "/spec/noAnswer"),
    ("Schedule", "/spec/closed"),
    ("Schedule", "/spec/holiday"),
    ("Schedule", "/spec/open"),
];

fn destination() -> Vec<Verdict> {
    let number = Some(("", "number goes with kind ExternalNumber, and only with it"));
    let name = Some(("", "name goes with every kind but ExternalNumber"));
    let full = json!({"kind": "ExternalNumber", "name": "alice", "number": "+493012345678"});
    vec![
        (json!({"kind": "Extension", "name": "alice"}), None),
        (json!({"kind": "ExternalNumber", "number": "+493012345678"}), None),
        (json!({"kind": "Extension", "name": "alice", "number": "+493012345678"}), number),
        (json!({"kind": "ExternalNumber"}), number),
        (json!({"kind": "Extension"}), name),
        (full, name),
    ]
}

fn digits() -> Vec<Verdict> {
    let order = Some(("", "minDigits must not exceed maxDigits"));
    let length = Some(("", "strip must not exceed the length of prefix"));
    let prefix = Some(("", "strip needs a prefix to strip from"));
    vec![
        (json!({}), None),
        (json!({"minDigits": 3, "maxDigits": 3}), None),
        (json!({"minDigits": 32}), None),
        (json!({"maxDigits": 1}), None),
        (json!({"minDigits": 4, "maxDigits": 3}), order),
        (json!({"prefix": "+49", "strip": 3}), None),
        (json!({"strip": 0}), None),
        (json!({"prefix": "+49", "strip": 4}), length),
        (json!({"strip": 1}), prefix),
    ]
}

fn action() -> Vec<Verdict> {
    let refused = Some(("", "trunks goes with kind Route, and only with it"));
    let trunks = json!([{"name": "carrier", "namespace": "carriers"}]);
    vec![
        (json!({"kind": "Block"}), None),
        (json!({"kind": "Route", "trunks": trunks}), None),
        (json!({"kind": "Route"}), refused),
        (json!({"kind": "Block", "trunks": trunks}), refused),
    ]
}

fn key() -> Vec<Verdict> {
    let extension = Some(("", "extensionRef goes with type BusyLamp, and only with it"));
    let number = Some(("", "number goes with type SpeedDial, and only with it"));
    let alice = json!({"name": "alice"});
    vec![
        (json!({"type": "BusyLamp", "extensionRef": alice}), None),
        (json!({"type": "SpeedDial", "number": "1001"}), None),
        (json!({"type": "BusyLamp"}), extension),
        (json!({"type": "SpeedDial", "number": "1001", "extensionRef": alice}), extension),
        (json!({"type": "SpeedDial"}), number),
        (json!({"type": "BusyLamp", "extensionRef": alice, "number": "1001"}), number),
        (json!({"type": "Park", "place": "1"}), None),
        (json!({"type": "Park"}), Some(("", "place goes with type Park, and only with it"))),
        (json!({"type": "Url", "url": "https://intranet.example.com/"}), None),
        (
            json!({"type": "Line", "url": "https://intranet.example.com/"}),
            Some(("", "url goes with type Url, and only with it")),
        ),
    ]
}

fn device() -> Vec<Verdict> {
    let device = |more: Value| {
        merged(json!({"tenantRef": {"name": "acme"}, "mac": "80:5e:c0:12:34:56", "vendor": "Snom"}), more)
    };
    let networks = json!(["192.0.2.0/24"]);
    vec![
        (device(json!({"provisioning": {"allowHttp": true, "allowedNetworks": networks}})), None),
        (
            device(json!({"provisioning": {"allowHttp": true}})),
            Some((".provisioning.allowHttp", "allowHttp needs allowedNetworks")),
        ),
        (
            device(json!({"provisioning": {"enrollUntil": "2026-11-30T12:00:00Z"}})),
            Some((".provisioning.enrollUntil", "enrollUntil needs allowedNetworks")),
        ),
        (device(json!({"srtp": "Required", "transport": "TLS"})), None),
        (
            device(json!({"srtp": "Required", "transport": "UDP"})),
            Some((".srtp", "srtp Required needs transport TLS, which protects its keys")),
        ),
    ]
}

fn source() -> Vec<Verdict> {
    let refused = Some(("", "exactly one of configMapKeyRef, url and upload must be set"));
    let sha256 = "0123456789abcdef".repeat(4);
    let config_map = json!({"name": "prompts", "key": "welcome.wav"});
    let url = json!({"url": "https://media.example.com/hold.wav", "sha256": sha256});
    let upload = json!({"sha256": sha256});
    vec![
        (json!({"configMapKeyRef": config_map}), None),
        (json!({"url": url}), None),
        (json!({"upload": upload}), None),
        (json!({}), refused),
        (json!({"url": url, "upload": upload}), refused),
        (json!({"configMapKeyRef": config_map, "url": url, "upload": upload}), refused),
    ]
}

fn caller() -> Vec<Verdict> {
    let refused = Some(("", "exactly one of extensionRef and trunkRef must be set"));
    let (alice, carrier) = (json!({"name": "alice"}), json!({"name": "carrier", "namespace": "carriers"}));
    vec![
        (json!({"extensionRef": alice}), None),
        (json!({"trunkRef": carrier}), None),
        (json!({}), refused),
        (json!({"extensionRef": alice, "trunkRef": carrier}), refused),
    ]
}

fn end() -> Vec<Verdict> {
    let refused = Some(("", "name goes with every kind but Rejected"));
    vec![
        (json!({"kind": "Rejected"}), None),
        (json!({"kind": "Trunk", "name": "carrier"}), None),
        (json!({"kind": "Trunk"}), refused),
        (json!({"kind": "Rejected", "name": "carrier"}), refused),
    ]
}

fn namespaces() -> Vec<Verdict> {
    let refused = Some(("", "selector goes with from Selector, and only with it"));
    let selector = json!({"matchLabels": {"centrex.dev/carrier": "default"}});
    vec![
        (json!({"from": "All"}), None),
        (json!({"from": "Selector", "selector": selector}), None),
        (json!({"from": "Selector"}), refused),
        (json!({"from": "Same", "selector": selector}), refused),
    ]
}

fn trunk() -> Vec<Verdict> {
    let account = json!({"username": "centrex", "secretRef": {"name": "carrier"}});
    let trunk = |more: Value| {
        merged(
            json!({"sipProfileRef": {"name": "external"}, "gateways": [{"host": "sip.example.net"}]}),
            more,
        )
    };
    vec![
        (trunk(json!({})), None),
        (trunk(json!({"registration": account})), None),
        (trunk(json!({"credentials": account})), None),
        (
            trunk(json!({"registration": account, "credentials": account})),
            Some((
                ".credentials",
                "credentials are for a trunk that does not register; registration has its own",
            )),
        ),
        (trunk(json!({"credentials": account, "from": "Username"})), None),
        (trunk(json!({"from": "Caller"})), None),
        (
            trunk(json!({"from": "Username"})),
            Some((".from", "from Username needs registration or credentials")),
        ),
        (trunk(json!({"numberFormat": "E164"})), None),
        (trunk(json!({"numberFormat": "National", "country": "DE"})), None),
        (
            trunk(json!({"numberFormat": "National"})),
            Some((".country", "numberFormat National needs country")),
        ),
    ]
}

fn sip_profile() -> Vec<Verdict> {
    let profile = |more: Value| merged(json!({"role": "Phones", "sipPort": 5060}), more);
    let tls = Some((".tlsPort", "tlsPort must differ from sipPort"));
    vec![
        (profile(json!({})), None),
        (profile(json!({"role": "Trunks", "tlsPort": 5061})), None),
        (profile(json!({"tlsPort": 5060})), tls),
        (profile(json!({"wsPort": 5066})), None),
        (profile(json!({"wsPort": 5060})), Some((".wsPort", "wsPort must differ from sipPort"))),
        (profile(json!({"role": "Trunks", "wsPort": 5066})), Some((".wsPort", "wsPort needs role Phones"))),
        (
            profile(json!({"wsPort": 5066, "tlsPort": 5061})),
            Some((".tlsPort", "wsPort excludes tlsPort: TLS ends before the relay")),
        ),
    ]
}

fn holiday() -> Vec<Verdict> {
    let holiday = |more: Value| merged(json!({"name": "Holiday"}), more);
    let one = Some(("", "exactly one of date, weekday and easter must be set"));
    let last = Some(("", "lastDate goes with date"));
    let open = Some(("", "open goes without from, to and lastDate"));
    let easter = json!({"offsetDays": -2});
    let weekday = json!({"day": "Thu", "nth": 4, "month": 11});
    let hours = json!([{"from": "09:00", "to": "12:00"}]);
    vec![
        (holiday(json!({"date": "12-24"})), None),
        (holiday(json!({"date": "12-24", "lastDate": "01-01", "from": "12:00", "to": "09:00"})), None),
        (holiday(json!({"easter": easter, "from": "12:00"})), None),
        (holiday(json!({"weekday": weekday, "open": hours})), None),
        (holiday(json!({})), one),
        (holiday(json!({"date": "12-24", "easter": easter})), one),
        (holiday(json!({"weekday": weekday, "easter": easter})), one),
        (holiday(json!({"easter": easter, "lastDate": "01-01"})), last),
        (holiday(json!({"date": "12-24", "from": "12:00", "open": hours})), open),
        (holiday(json!({"date": "12-24", "to": "12:00", "open": hours})), open),
        (holiday(json!({"date": "12-24", "lastDate": "12-26", "open": hours})), open),
    ]
}

fn weekday() -> Vec<Verdict> {
    let together = Some(("", "nth and month go together"));
    let one = Some(("", "exactly one of nth and onOrAfter must be set"));
    vec![
        (json!({"day": "Thu", "nth": 4, "month": 11}), None),
        (json!({"day": "Mon", "nth": -1, "month": 5, "offsetDays": 1}), None),
        (json!({"day": "Sat", "onOrAfter": "06-20"}), None),
        (json!({"day": "Thu", "nth": 4}), together),
        (json!({"day": "Sat", "onOrAfter": "06-20", "month": 6}), together),
        (json!({"day": "Sat"}), one),
        (json!({"day": "Sat", "nth": 1, "month": 6, "onOrAfter": "06-20"}), one),
        (json!({"day": "Sat", "nth": 0, "month": 6}), Some(("", "nth must not be 0"))),
    ]
}

fn schedule_override() -> Vec<Verdict> {
    let one = Some(("", "exactly one of state and destination must be set"));
    let alice = json!({"kind": "Extension", "name": "alice"});
    vec![
        (json!({"state": "Closed", "until": "2026-12-24T18:00"}), None),
        (json!({"destination": alice}), None),
        (json!({"until": "2026-12-24T18:00"}), one),
        (json!({"state": "Open", "destination": alice}), one),
        (
            json!({"destination": {"kind": "Extension"}}),
            Some((".destination", "name goes with every kind but ExternalNumber")),
        ),
        (
            json!({"destination": {"kind": "ExternalNumber"}}),
            Some((".destination", "number goes with kind ExternalNumber, and only with it")),
        ),
    ]
}

fn number() -> Vec<Verdict> {
    let number = |more: Value| {
        let spec = json!({"tenantRef": {"name": "acme"}, "number": "+4930123457", "trunkRef": {"name": "carrier"},
            "destination": {"kind": "Extension", "name": "alice"}});
        merged(spec, more)
    };
    let range = json!({"first": "00", "last": "99"});
    vec![
        (number(json!({})), None),
        (number(json!({"range": range})), None),
        (number(json!({"range": range, "internalNumber": {"lastDigits": 2}})), None),
        (
            number(json!({"internalNumber": {"lastDigits": 2}})),
            Some((".internalNumber", "internalNumber needs range")),
        ),
        (
            number(json!({"range": {"first": "000000", "last": "999999"}})),
            Some((".range", "a number with the digits of range has 15 digits at most")),
        ),
    ]
}

fn range() -> Vec<Verdict> {
    vec![
        (json!({"first": "00", "last": "99"}), None),
        (json!({"first": "5", "last": "5"}), None),
        (json!({"first": "0", "last": "99"}), Some(("", "first and last have equally many digits"))),
        (json!({"first": "50", "last": "49"}), Some(("", "first must not exceed last"))),
    ]
}

/// An object with more fields, or other ones.
fn merged(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("no object") };
    object.as_object_mut().unwrap().extend(more);
    object
}
