//! Values that break the schema of a kind, and fields that every kind has.

use serde_json::{Value, json};

/// Kind, field to change, its value (null removes it), field named, part of the message.
type Row = (&'static str, &'static str, Value, &'static str, &'static str);

/// All values that break a type, a pattern or a limit.
#[rustfmt::skip]
pub fn table() -> Vec<Row> {
    let long = "x".repeat(65);
    let voicemail = json!({"kind": "Voicemail", "name": "alice"});
    vec![
        // Fields of every kind.
        ("Extension", "/kind", json!("Extention"), "kind", "kinds are Conference, ConfigMap, Device"),
        ("Extension", "/kind", Value::Null, "kind", "is required"),
        ("Extension", "/apiVersion", json!("apps/v1"), "apiVersion", "must be centrex.dev/v1alpha1"),
        ("Extension", "/apiVersion", json!(1), "apiVersion", "must be a string"),
        ("Extension", "/metadata", Value::Null, "metadata.name", "is required"),
        ("Extension", "/metadata/name", Value::Null, "metadata.name", "is required"),
        ("Extension", "/metadata/name", json!("Alice"), "metadata.name", "lower case"),
        ("Extension", "/metadata/name", json!("../alice"), "metadata.name", "lower case"),
        ("Extension", "/metadata/name", json!("x-pre-process"), "metadata.name", "FreeSWITCH acts on"),
        ("Extension", "/metadata/name", json!("a".repeat(64)), "metadata.name", "63"),
        ("Extension", "/metadata/nmae", json!("x"), "metadata.nmae", "no such field"),
        ("Extension", "/metadata/namespace", json!("a.b"), "metadata.namespace", "lower case"),
        ("Extension", "/metadata/labels", json!({"a": 1}), "metadata.labels.a", "put it in quotes"),
        ("Extension", "/metadata/creationTimestamp", json!("yesterday"), "metadata.creationTimestamp", "must be a time"),
        ("SipProfile", "/metadata/namespace", json!("acme"), "metadata.namespace", "belongs to no namespace"),
        ("Extension", "/spec", Value::Null, "spec", "is required"),
        ("Extension", "/spec", json!([]), "spec", "must be an object, is a list"),
        ("Extension", "/spec/nunber", json!("1"), "spec.nunber", "fields here are callerId, countriesAbroad, credentials"),
        ("Extension", "/spec/tenantRef/namespace", json!("other"), "spec.tenantRef.namespace", "no such field"),
        ("Extension", "/spec/countriesAbroad", json!(["de"]), "spec.countriesAbroad[0]", "two capital letters"),
        ("DialRule", "/spec/match/0/countries", json!(["DEU"]), "spec.match[0].countries[0]", "has 3"),
        ("DialRule", "/spec/match/0/numberTypes", json!(["Premium"]), "spec.match[0].numberTypes[0]", "PremiumRate"),
        // Types and limits.
        ("Extension", "/spec/number", json!(1001), "spec.number", "put it in quotes"),
        ("Extension", "/spec/number", json!("10 01"), "spec.number", "1 to 15 digits"),
        ("Extension", "/spec/number", json!(""), "spec.number", "must have 1 to 15 characters, has 0"),
        ("Extension", "/spec/number", Value::Null, "spec.number", "is required"),
        ("Extension", "/spec/displayName", json!(long), "spec.displayName", "has 65"),
        ("Extension", "/spec/displayName", json!("Ann\nBob"), "spec.displayName", "without control characters"),
        ("Extension", "/spec/displayName", json!("Ann\u{202e}"), "spec.displayName", "direction of writing"),
        ("Extension", "/spec/displayName", json!("  "), "spec.displayName", "not blank"),
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
        ("Tenant", "/spec/domains/0", json!("acme"), "spec.domains[0]", "a DNS name with a dot"),
        ("Tenant", "/spec/domains/0", json!("ac me.example"), "spec.domains[0]", "a DNS name with a dot"),
        ("Tenant", "/spec/domains/0", json!("1.2.3.4"), "spec.domains[0]", "starts with a letter"),
        ("Tenant", "/spec/allowedNumbers/0", json!("0301234"), "spec.allowedNumbers[0]", "the beginning of one"),
        ("Tenant", "/spec/country", json!("Germany"), "spec.country", "2 to 2 characters"),
        ("Tenant", "/spec/country", json!(false), "spec.country", "was read as false: put it in quotes"),
        ("Tenant", "/spec/emergency/numbers/0", json!("+112"), "spec.emergency.numbers[0]", "2 to 8 digits"),
        ("Tenant", "/spec/emergency/locations/0/name", json!("Berlin"), "spec.emergency.locations[0].name", "lower case"),
        ("Tenant", "/spec/emergency/locations/0/callerIdNumber", json!("030123456"), "spec.emergency.locations[0].callerIdNumber", "E.164"),
        ("Tenant", "/spec/emergency/locations/0/address/street", Value::Null, "spec.emergency.locations[0].address.street", "is required"),
        ("Tenant", "/spec/emergency/locations/0/notify/emails/0", json!("security"), "spec.emergency.locations[0].notify.emails[0]", "a mail address"),
        ("TenantProfile", "/spec/emergencyWhenSuspended", json!("Never"), "spec.emergencyWhenSuspended", "Allowed, Denied"),
        ("Tenant", "/spec/deletionPolicy", json!("Keep"), "spec.deletionPolicy", "Retain, Delete"),
        ("TenantProfile", "/spec/maxStorage", json!("20 GB"), "spec.maxStorage", "20Gi"),
        ("TenantProfile", "/spec/maxExtensions", json!(-1), "spec.maxExtensions", "from 0"),
        ("Number", "/spec/number", json!("0301234"), "spec.number", "E.164"),
        ("Device", "/spec/mac", json!("80:5E:C0:12:34:56"), "spec.mac", "lower case"),
        ("Device", "/spec/vendor", json!("Acme"), "spec.vendor", "Yealink"),
        ("Device", "/spec/disabled", json!("yes"), "spec.disabled", "true or false"),
        ("Device", "/spec/keys/0/type", json!("Blf"), "spec.keys[0].type", "BusyLamp"),
        ("Device", "/spec/keys/0/position", json!(0), "spec.keys[0].position", "from 1 to 300"),
        ("Device", "/spec/keys/2/module", json!(7), "spec.keys[2].module", "from 0 to 6"),
        ("Device", "/spec/keys/0/line", json!(33), "spec.keys[0].line", "from 1 to 32"),
        ("Device", "/spec/keys/3/place", json!("*1"), "spec.keys[3].place", "1 to 8 digits"),
        ("Device", "/spec/keys/4/url", json!("http://intranet.example.com/"), "spec.keys[4].url", "https address"),
        ("Device", "/spec/credentials/secretRef/key", json!("password"), "spec.credentials.secretRef.key", "no such field"),
        ("Device", "/spec/transport", json!("WSS"), "spec.transport", "one of UDP, TCP, TLS"),
        ("Device", "/spec/srtp", json!("On"), "spec.srtp", "one of Disabled, Optional, Required"),
        ("Device", "/spec/dtmf", json!("RFC2833"), "spec.dtmf", "one of Rfc2833, Info, Inband"),
        ("Device", "/spec/registerSeconds", json!(3600), "spec.registerSeconds", "from 60 to 600"),
        ("Device", "/spec/timeZone", json!("CET; rm"), "spec.timeZone", "IANA time zone"),
        ("Device", "/spec/language", json!("Deutsch"), "spec.language", "2 to 5 characters"),
        ("Device", "/spec/vlan/id", json!(4095), "spec.vlan.id", "from 1 to 4094"),
        ("Device", "/spec/vlan/priority", json!(8), "spec.vlan.priority", "from 0 to 7"),
        ("Device", "/spec/provisioning/allowedNetworks/0", json!("everywhere"), "spec.provisioning.allowedNetworks[0]", "an IP address or a network"),
        ("Device", "/spec/provisioning/enrollUntil", json!("tomorrow at noon"), "spec.provisioning.enrollUntil", "17 to 25 characters"),
        ("Device", "/spec/provisioning/pollHours", json!(0), "spec.provisioning.pollHours", "from 1 to 168"),
        ("Device", "/spec/alertWhenOffline/minutes", json!(0), "spec.alertWhenOffline.minutes", "from 1 to 10080"),
        ("Device", "/spec/settings", json!({"a": "x\ny"}), "spec.settings.a", "without control characters"),
        ("TenantProfile", "/spec/maxDevicesPerExtension", json!(51), "spec.maxDevicesPerExtension", "from 0 to 50"),
        ("Trunk", "/spec/gateways", json!([]), "spec.gateways", "1 to 8 items"),
        ("Trunk", "/spec/gateways/0/host", json!("sip.example.net;transport=tcp"), "spec.gateways[0].host", "DNS name or an IP"),
        ("Trunk", "/spec/gateways/0/port", json!(70000), "spec.gateways[0].port", "from 1 to 65535"),
        ("Trunk", "/spec/gateways/0/outboundProxy/host", json!("edge.example.net;lr"), "spec.gateways[0].outboundProxy.host", "DNS name or an IP"),
        ("Trunk", "/spec/gateways/0/outboundProxy/transport", json!("TCP"), "spec.gateways[0].outboundProxy.transport", "no such field"),
        ("Trunk", "/spec/domain", json!("carrier.example.net>"), "spec.domain", "DNS name or an IP"),
        ("Trunk", "/spec/registration/authUsername", json!("a b"), "spec.registration.authUsername", "a user name of"),
        ("Trunk", "/spec/registration/contactUser", json!("a;b"), "spec.registration.contactUser", "a user name of"),
        ("Trunk", "/spec/maxCallsPerSecond", json!(0), "spec.maxCallsPerSecond", "from 1 to 1000"),
        ("Trunk", "/spec/inboundNumber", json!("P-Called-Party-ID"), "spec.inboundNumber", "one of RequestUri, To, PCalledPartyId"),
        ("Trunk", "/spec/trustedIdentity", json!("PAI"), "spec.trustedIdentity", "one of PAssertedIdentity"),
        ("Trunk", "/spec/identity", json!("None"), "spec.identity", "one of PAssertedIdentity, RemotePartyId, PPreferredIdentity, FromOnly"),
        ("Trunk", "/spec/from", json!("caller"), "spec.from", "one of Caller, Username"),
        ("Trunk", "/spec/userPhone", json!("phone"), "spec.userPhone", "true or false"),
        ("Number", "/spec/range", json!({"first": "0a", "last": "99"}), "spec.range.first", "1 to 15 digits"),
        ("Number", "/spec/range", json!({"first": "00"}), "spec.range.last", "is required"),
        ("Number", "/spec/internalNumber", json!({"lastDigits": 0}), "spec.internalNumber.lastDigits", "from 1 to 10"),
        ("Extension", "/spec/callerId/privacy", json!("Full"), "spec.callerId.privacy", "one of None, Id"),
        ("Extension", "/spec/callerId/direct", json!("yes"), "spec.callerId.direct", "true or false"),
        ("Trunk", "/spec/allowedNamespaces/selector/matchLabels", json!({"a": "b c"}), "spec.allowedNamespaces.selector.matchLabels.a", "label value"),
        ("RingGroup", "/spec/members", Value::Null, "spec.members", "is required"),
        ("RingGroup", "/spec/members/0/extensionRef/name", json!("A"), "spec.members[0].extensionRef.name", "lower case"),
        ("Queue", "/spec/strategy", json!("Fair"), "spec.strategy", "LongestIdleAgent"),
        ("Schedule", "/spec/weekly/0/from", json!("9:00"), "spec.weekly[0].from", "5 to 5 characters"),
        ("Schedule", "/spec/weekly/0/to", json!("25:00"), "spec.weekly[0].to", "a time of day"),
        ("Schedule", "/spec/weekly/0/days", json!(["Mon", "Mon"]), "spec.weekly[0].days[1]", "already"),
        ("Schedule", "/spec/holidays/0/date", json!("24.12."), "spec.holidays[0].date", "MM-DD for every year"),
        ("Schedule", "/spec/holidays/0/weekday/nth", json!(6), "spec.holidays[0].weekday.nth", "from -5 to 5"),
        ("Schedule", "/spec/holidays/0/weekday/day", json!("Thursday"), "spec.holidays[0].weekday.day", "Mon, Tue"),
        ("Schedule", "/spec/holidays/1/easter/calendar", json!("Julian"), "spec.holidays[1].easter.calendar", "Western, Orthodox"),
        ("Schedule", "/spec/holidays/1/easter/offsetDays", Value::Null, "spec.holidays[1].easter.offsetDays", "is required"),
        ("Schedule", "/spec/override/until", json!("2026-12-24 18:00"), "spec.override.until", "YYYY-MM-DDTHH:MM"),
        ("Schedule", "/spec/override/state", json!("Shut"), "spec.override.state", "Open, Closed, Holiday"),
        ("Queue", "/spec/whenNoAgents", json!({}), "spec.whenNoAgents.waitSeconds", "is required"),
        ("Queue", "/spec/whenNoAgents/waitSeconds", json!(-1), "spec.whenNoAgents.waitSeconds", "from 0 to 86400"),
        ("IvrMenu", "/spec/options", json!([{"digits": "1", "destination": voicemail}, {"digits": "1", "destination": voicemail}]), "spec.options[1].digits", "already"),
        ("FeatureCode", "/spec/code", json!("97"), "spec.code", "such as *97"),
        ("MediaFile", "/spec/source/url/sha256", json!("abc"), "spec.source.url.sha256", "64 to 64 characters"),
        ("RoutingTest", "/spec/at", json!("2027-03-07 02:00:00"), "spec.at", "YYYY-MM-DDTHH:MM:SS"),
        ("Conference", "/spec/maxMembers", json!(1), "spec.maxMembers", "from 2 to 1000"),
        ("OutboundRoute", "/spec/tollClass", json!("national"), "spec.tollClass", "capital"),
        ("DialRule", "/spec/phase", json!("During"), "spec.phase", "Before, After"),
        ("Switch", "/spec/version", json!("1 10"), "spec.version", "a version of"),
        // Kubernetes' own kinds.
        ("Secret", "/data/password", json!("not base64!"), "data[\"password\"]", "stringData"),
        ("Secret", "/stringData/pin", json!(1234), "stringData.pin", "put it in quotes"),
        ("Namespace", "/metadata/namespace", json!("acme"), "metadata.namespace", "belongs to no namespace"),
        ("ConfigMap", "/data", json!(["a"]), "data", "must be an object"),
    ]
}

/// Kind, field to change, and a value that it accepts.
type Accepted = (&'static str, &'static str, Value);

/// What is stricter elsewhere than people, DNS or Kubernetes are.
#[rustfmt::skip]
pub fn accepted() -> Vec<Accepted> {
    let names = [
        "O'Brien", "Smith, John", "Sales: UK", "R&D / Ops", "Q&A; Support", "Accounts @ HQ", "Pat \"The Cat\" Smith",
        "Ann (Front) <Desk> [1] {2}", "Désk 🎧", "山田 太郎", "نور", "A$AP | 50 % \\ ^ = `", "${system(id)}",
    ];
    let text = [
        ("Tenant", "/spec/displayName"), ("Tenant", "/spec/callerId/name"),
        ("Extension", "/spec/displayName"), ("Extension", "/spec/callerId/name"),
        ("RingGroup", "/spec/displayName"), ("Queue", "/spec/displayName"), ("IvrMenu", "/spec/displayName"),
        ("Conference", "/spec/displayName"), ("OutboundRoute", "/spec/callerId/name"),
    ];
    let mut accepted: Vec<Accepted> = text
        .into_iter()
        .flat_map(|(kind, field)| names.into_iter().map(move |name| (kind, field, json!(name))))
        .collect();
    let long = format!("{}.{}", "a".repeat(63), "b".repeat(189));
    accepted.extend([
        // Characters are counted, not bytes.
        ("Extension", "/spec/displayName", json!("🎧".repeat(64))),
        ("Number", "/spec/callerIdPrefix", json!("Acme ")),
        ("Number", "/spec/callerIdPrefix", json!("[Vendas] ")),
        ("Tenant", "/spec/domains/0", json!("Acme.Example.com")),
        ("Tenant", "/spec/domains/0", json!("acme.example.com.")),
        ("Tenant", "/spec/domains/0", json!("müller.example")),
        ("Tenant", "/spec/domains/0", json!("xn--mller-kva.example")),
        ("Extension", "/spec/credentials/secretRef/name", json!(long)),
        ("Extension", "/metadata/annotations", json!({})),
        ("Extension", "/metadata/labels", json!({})),
    ]);
    accepted
}
