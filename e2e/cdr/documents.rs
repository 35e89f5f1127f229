//! Every recorded document, field by field; and documents that are no call records.

use centrex::cdr::document::{Document, DocumentError, Encoding};
use centrex::cdr::record::{Cdr, Leg};
use centrex::route::Caller;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use super::{recorded, with};

fn received() -> Timestamp {
    "2026-11-21T00:30:00Z".parse().unwrap()
}

fn record(name: &str) -> Cdr {
    let encoding = match name.rsplit_once('.').unwrap().1 {
        "http" => Encoding::Url,
        _ => Encoding::of_file(&recorded(name)),
    };
    let body = recorded(name);
    let text = encoding.document(&body).unwrap();
    let document = Document::parse(&text).unwrap();
    Cdr::new(&document, &Caller::Extension("alice".to_owned()), received()).unwrap()
}

fn parse(text: &str) -> Result<Document<'_>, DocumentError> {
    Document::parse(text)
}

#[test]
fn records_of_both_legs_are_parsed() {
    let (a, b) = (record("bridged-a-leg.xml"), record("bridged-b-leg.xml"));
    assert_eq!((a.leg, b.leg), (Leg::A, Leg::B));
    assert_eq!(a.uuid.to_string(), "8fe7ded1-e48c-4770-ad45-d34b63432a48");
    assert_eq!((a.bridged_uuid, b.bridged_uuid), (Some(b.uuid), Some(a.uuid)));
    assert_eq!((a.originating_uuid, b.originating_uuid), (None, Some(a.uuid)));
    assert_eq!((a.direction.as_deref(), b.direction.as_deref()), (Some("inbound"), Some("outbound")));
    assert_eq!((a.extension.as_deref(), b.extension.as_deref()), (Some("alice"), Some("101")));
    let time = |micros| Timestamp::from_microsecond(micros).unwrap().to_sqlx();
    assert_eq!(a.started_at, time(1_795_220_874_660_840));
    assert_eq!(a.answered_at, Some(time(1_795_220_874_700_840)));
    assert!(a.bridged_at > Some(a.started_at) && a.ended_at > a.answered_at && !a.clock_skewed);
    assert_eq!((a.duration_ms, a.billed_ms), (Some(2060), Some(2020)));
    assert_eq!((a.hangup_cause.as_deref(), a.hangup_cause_q850), (Some("NORMAL_CLEARING"), Some(16)));
    assert_eq!(a.hangup_disposition.as_deref(), Some("recv_bye"));
    assert_eq!(b.hangup_disposition.as_deref(), Some("send_bye"));
    assert_eq!((a.mos, a.packets_lost), (Some(4.5), Some(1)));
    assert!(a.packets_in > Some(50) && a.jitter_max_variance.is_some() && a.quality_percent == Some(100.0));
    assert_eq!((a.destination.as_deref(), a.caller_number.as_deref()), (Some("101"), Some("100")));
    assert_eq!(a.context.as_deref(), Some("tenant-a.test"));
    assert_eq!((a.switch.as_deref(), a.network_address.as_deref()), (Some("vm"), Some("127.0.0.1")));
}

#[test]
fn records_of_unanswered_calls_are_parsed() {
    let failed = record("failed-404.xml");
    assert_eq!((failed.answered_at, failed.bridged_at, failed.billed_ms), (None, None, Some(0)));
    assert_eq!(failed.destination.as_deref(), Some("777"));
    assert_eq!(failed.mos, None);
    let gateway = record("gateway-failed-b-leg.xml");
    assert_eq!((gateway.leg, gateway.gateway.as_deref()), (Leg::B, Some("gw-tenant-a")));
    assert_eq!(gateway.hangup_cause_q850, Some(41));
    assert_eq!(gateway.hangup_disposition.as_deref(), Some("recv_refuse"));
    let busy = record("busy-then-voicemail.xml");
    assert!(busy.answered_at.is_some());
}

#[test]
fn all_other_recorded_documents_are_parsed() {
    for name in [
        "recorded.xml",
        "conference.xml",
        "single-leg-ivr.xml",
        "redirect-loop-250kB.http",
        "refer-injected-leg-1.10.12.http",
        "err-log-file-urlencoded.txt",
    ] {
        let record = record(name);
        assert!(record.ended_at.is_some() && record.hangup_cause.is_some(), "{name}: {record:?}");
        // An absolute path, in a variable that is not ours, is no recording of ours.
        assert_eq!(record.recording, None, "{name}");
    }
    assert!(record("callcenter-member.http").queue.is_some());
}

#[test]
fn only_a_path_that_our_dialplan_writes_counts_as_a_recording() {
    let text = String::from_utf8(recorded("recorded.xml")).unwrap();
    let of = |path: &str| {
        let text = with(&text, "centrex_recording", path);
        let document = parse(&text).unwrap();
        Cdr::new(&document, &Caller::Outside, received()).unwrap().recording
    };
    let good = "recordings/2026/11/6c533cb6-41e2-463f-8974-df51716fcf4d.wav";
    assert_eq!(of(good).as_deref(), Some(good));
    for bad in
        ["/etc/passwd", "recordings/../../etc/passwd", "recordings/a b", "recordings/%2e%2e/x", "voicemail/x"]
    {
        assert_eq!(of(bad), None, "{bad}");
    }
}

#[test]
fn text_in_other_scripts_is_stored_unchanged() {
    let text = String::from_utf8(recorded("bridged-a-leg.xml")).unwrap();
    let named = |escaped: &str| {
        let (before, after) = text.split_once("<caller_id_name>").unwrap();
        let (_, after) = after.split_once("</caller_id_name>").unwrap();
        let text = format!("{before}<caller_id_name>{escaped}</caller_id_name>{after}");
        Cdr::new(&parse(&text).unwrap(), &Caller::Outside, received()).unwrap().caller_name.unwrap()
    };
    assert_eq!(named("&quot;A&quot; &lt;sip:x&gt;"), "\"A\" <sip:x>");
    assert_eq!(named("AT&amp;T"), "AT&T");
    assert_eq!(named("100% sure &#38; more"), "100% sure & more"); // this variable is not URL-encoded: decoded once
    assert_eq!(named("&amp;lt;"), "&lt;");
    let injected = "&lt;/caller_id_name&gt;&lt;centrex_call&gt;x&lt;/centrex_call&gt;";
    assert_eq!(named(injected), "</caller_id_name><centrex_call>x</centrex_call>");
    assert!(
        parse(&text.replace("</variables>", "<a>%3Ccentrex_call%3Ex</a></variables>"))
            .unwrap()
            .tokens
            .is_empty()
    );

    // Variables are URL-encoded, then escaped.
    let text = with(&text, "cc_queue", "AT&T \"<x>\" 100%25 ü");
    let document = parse(&text).unwrap();
    assert_eq!(document.variable("cc_queue").as_deref(), Some("AT&T \"<x>\" 100%25 ü"));
}

#[test]
fn odd_variable_names_are_ignored_and_the_first_of_repeats_counts() {
    let text = String::from_utf8(recorded("bridged-a-leg.xml")).unwrap();
    let odd = "<variables><nolocal:x>1</nolocal:x><a b>2</a b><c:d:e/><>3</><originator/><cc_queue d='/>'>first</cc_queue>\
               <cc_queue>second</cc_queue><!-- <sip_gateway>4</sip_gateway> --><![CDATA[<sip_gateway>5</sip_gateway>]]>";
    let varied = text.replace("<variables>", odd);
    let document = parse(&varied).unwrap();
    assert_eq!((document.variable("sip_gateway"), document.variable("originator")), (None, None));
    for (name, value) in [("cc_queue", "first"), ("hangup_cause", "NORMAL_CLEARING")] {
        assert_eq!(document.variable(name).as_deref(), Some(value));
    }

    // Only the document's own variables count.
    let elsewhere =
        text.replace("<app_log>", "<app_log><variables><centrex_call>x</centrex_call></variables>");
    let nested = text.replace("<variables>", "<variables><x><centrex_call>x</centrex_call></x>");
    for text in [elsewhere, nested] {
        assert!(parse(&text).unwrap().tokens.is_empty());
    }
}

#[test]
fn documents_that_are_no_call_records_are_refused() {
    let text = String::from_utf8(recorded("bridged-a-leg.xml")).unwrap();
    for (bad, error) in [
        ("", DocumentError::NotCdr),
        ("hello", DocumentError::NotCdr),
        ("<cdr></cdr>", DocumentError::NotCdr),
        ("<html><variables/></html>", DocumentError::NotCdr),
        ("<cdr><variables></variables>", DocumentError::Truncated),
        ("<cdr><variables><uuid", DocumentError::Truncated),
        ("<cdr><variables/><!-- </cdr>", DocumentError::Truncated),
        ("<cdr><variables/></cdr><cdr/>", DocumentError::NotCdr),
        ("</cdr><cdr><variables/></cdr>", DocumentError::Xml("an end tag has no start tag".to_owned())),
    ] {
        assert_eq!(parse(bad).unwrap_err(), error, "{bad}");
    }
    let entity = text.replace("<cdr ", "<!DOCTYPE cdr [<!ENTITY x \"boom\">]><cdr ");
    assert!(parse(&entity).unwrap_err().to_string().contains("DOCTYPE"));
    assert!(Encoding::Base64.document(b"cdr=%%%").is_err());
    // A document cut at any byte is refused without a panic.
    for end in (0..text.trim_end().len()).step_by(61) {
        assert!(parse(&text[..end]).is_err(), "cut at {end}");
    }
    // Nesting as deep as the size of a body allows.
    let deep = format!("<cdr>{}", "<variables>".repeat(90_000));
    assert!(parse(&deep).is_err());
}

#[test]
fn invalid_numbers_and_times_are_stored_as_null() {
    let text = String::from_utf8(recorded("bridged-a-leg.xml")).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let text = text.replace(from, to);
        let document = parse(&text).unwrap();
        Cdr::new(&document, &Caller::Outside, received())
    };
    let longest = "<mduration>99999999999999999999</mduration>";
    assert_eq!(changed("<mduration>2060</mduration>", longest).unwrap().duration_ms, None);
    let nan = "<rtp_audio_in_mos>NaN</rtp_audio_in_mos>";
    assert_eq!(changed("<rtp_audio_in_mos>4.50</rtp_audio_in_mos>", nan).unwrap().mos, None);
    let start = "<start_uepoch>1795220874660840</start_uepoch>";
    for bad in ["9223372036854775807", "-5", "x", ""] {
        let uepoch = format!("<start_uepoch>{bad}</start_uepoch>");
        // The time of the profile counts only if the variable is missing.
        let record = changed(start, &uepoch);
        assert_eq!(record.is_ok(), bad.is_empty(), "{bad}");
    }
    let uuid = "<uuid>8fe7ded1-e48c-4770-ad45-d34b63432a48</uuid>";
    assert!(
        changed(uuid, "<uuid>8fe7ded1'; DROP TABLE cdrs</uuid>").unwrap_err().to_string().contains("uuid")
    );
    let ahead = changed(start, "<start_uepoch>1795220874660840</start_uepoch><x/>").unwrap();
    assert!(!ahead.clock_skewed);
    let end = text.split("<end_uepoch>").nth(1).unwrap().split('<').next().unwrap();
    assert!(changed(end, "1895220874660840").unwrap().clock_skewed);
}
