//! Each leg is stored once, in the schema of its tenant and nowhere else.

use base64::Engine;
use centrex::route::Caller;
use centrex::store::tenant_schema;
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Scene, encoded, find, metric, of_leg, post, recorded, request_of, signed, token_of, with};

const A_LEG: Uuid = Uuid::from_u128(0xa);
const B_LEG: Uuid = Uuid::from_u128(0xb);

#[derive(Deserialize, Debug, PartialEq)]
struct Row {
    uuid: Uuid,
    leg: String,
    originating_uuid: Option<Uuid>,
    extension: Option<String>,
    destination: Option<String>,
    hangup_cause: Option<String>,
    duration_ms: Option<i64>,
    billed_ms: Option<i64>,
    started: i64,
    ended: i64,
    recording: Option<String>,
    mos: Option<f32>,
}

async fn rows(scene: &mut Scene) -> Vec<Row> {
    let sql = format!(
        "SELECT row_to_json(c)::text FROM (
             SELECT *, (extract(epoch FROM started_at) * 1000000)::bigint AS started,
                    (extract(epoch FROM ended_at) * 1000000)::bigint AS ended
             FROM {}.cdrs ORDER BY leg) AS c",
        tenant_schema(scene.a)
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut scene.admin).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[tokio::test]
async fn repeated_posts_store_each_leg_once() {
    let Some(mut scene) = Scene::start("cdr: both legs").await else { return };
    let switch = scene.switch("one", &[]);
    let recording = "recordings/2026/11/0000000a-0000-0000-0000-000000000000.wav";
    let a = with(&scene.document("bridged-a-leg.xml", scene.a, A_LEG), "centrex_recording", recording);
    let b = scene.document("bridged-b-leg.xml", scene.a, B_LEG);
    post(&switch, &b);
    post(&switch, &a);
    scene.counts(scene.a, 2).await;
    let [a_row, b_row] = <[Row; 2]>::try_from(rows(&mut scene).await).unwrap();
    assert_eq!((a_row.leg.as_str(), a_row.uuid, a_row.originating_uuid), ("a", A_LEG, None));
    assert_eq!((b_row.leg.as_str(), b_row.uuid), ("b", B_LEG));
    let caller: Uuid = "8fe7ded1-e48c-4770-ad45-d34b63432a48".parse().unwrap();
    assert_eq!(b_row.originating_uuid, Some(caller));
    assert_eq!((a_row.extension.as_deref(), b_row.extension.as_deref()), (Some("e100"), Some("e101")));
    assert_eq!(a_row.destination.as_deref(), Some("101"));
    assert_eq!(a_row.hangup_cause.as_deref(), Some("NORMAL_CLEARING"));
    assert_eq!((a_row.duration_ms, a_row.billed_ms, a_row.mos), (Some(2060), Some(2020), Some(4.5)));
    assert_eq!(a_row.started, 1_795_220_874_660_840);
    assert!(a_row.ended > a_row.started + 2_000_000 && a_row.recording.as_deref() == Some(recording));

    // Posted again in every encoding of mod_xml_cdr, in either order, and by another switch.
    let base64 = base64::engine::general_purpose::STANDARD.encode(&a);
    let other = scene.switch("two", &[]);
    for (kind, body) in [
        ("text/xml", a.clone()),
        ("application/x-www-form-urlencoded", format!("cdr={}", encoded(&a))),
        ("application/x-www-form-base64-encoded", format!("cdr={base64}")),
        ("application/x-www-form-plaintext", format!("cdr={a}")),
        // With disable-100-continue, 1.11.2 sends this header for a document that is not encoded.
        ("application/x-www-form-urlencoded", a.clone()),
    ] {
        for program in [&switch, &other] {
            let answer = program.send(&request_of(kind, body.as_bytes()));
            assert_eq!(answer, (200, "kept\n".to_owned()), "{kind}");
        }
    }
    // A record of the same leg with another start time is the same record.
    let (before, after) = a.split_once("<start_uepoch>1795").unwrap();
    post(&other, &format!("{before}<start_uepoch>1792{after}"));
    std::thread::scope(|threads| {
        for program in [&switch, &other, &switch, &other] {
            threads.spawn(|| (0..10).for_each(|_| post(program, &b)));
        }
    });
    let settled = |program| metric(program, "centrex_cdrs_total{result=\"repeated\"}");
    let spooled = |program| metric(program, "centrex_cdr_spool_records");
    scene.counts(scene.a, 2).await;
    for _ in 0..600 {
        if spooled(&switch) + spooled(&other) == 0.0 && settled(&switch) + settled(&other) >= 51.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(settled(&switch) + settled(&other), 51.0);
    assert_eq!(rows(&mut scene).await, [a_row, b_row]);
    assert_eq!((scene.count(scene.b).await, scene.reasons().await), (0, vec![]));
}

#[tokio::test]
async fn a_record_belongs_to_the_tenant_of_its_signature_only() {
    let Some(mut scene) = Scene::start("cdr: whose").await else { return };
    let switch = scene.switch("one", &[]);
    let (a, b) = (scene.a, scene.b);
    // All other fields of the record name the other tenant.
    let mut document = scene.document("bridged-a-leg.xml", a, A_LEG);
    for name in ["tenant_uuid", "tenant_id", "accountcode", "domain_name", "sip_h_X-centrex_call"] {
        document = with(&document, name, &scene.token(b));
    }
    let (before, after) = document.split_once("</caller_id_name>").unwrap();
    let injected = format!("&lt;/caller_id_name&gt;&lt;centrex_call&gt;{}", scene.token(b));
    post(&switch, &format!("{before}{injected}</caller_id_name>{after}"));
    scene.counts(a, 1).await;

    let bare = String::from_utf8(recorded("bridged-a-leg.xml")).unwrap();
    let other_key = centrex::secrets::signing_key::SigningKey::new([9; 32]);
    let forged = scene.token(a).replace(&a.to_string(), &b.to_string());
    let gone = scene.token(Uuid::from_u128(99));
    for (leg, token, reason) in [
        (1, None, "no_token"),
        (2, Some(forged), "forged_token"),
        (3, Some(super::token(&other_key, a)), "forged_token"),
        (4, Some(String::new()), "forged_token"),
        (5, Some(gone), "tenant_gone"),
        (6, Some(format!("{} {}", scene.token(a), scene.token(b))), "forged_token"),
    ] {
        let document = of_leg(&bare, Uuid::from_u128(leg));
        let document = token.map_or(document.clone(), |token| with(&document, "centrex_call", &token));
        post(&switch, &document);
        post(&switch, &document);
        let sql = format!(
            "SELECT count(*) FROM public.cdr_quarantine WHERE reason = '{reason}'
             AND convert_from(body, 'UTF8') LIKE '%{}%'",
            Uuid::from_u128(leg)
        );
        scene.becomes(&sql, 1).await;
    }
    post(&switch, &with(&scene.document("bridged-a-leg.xml", a, B_LEG), "centrex_call", &scene.token(b)));
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine WHERE reason = 'ambiguous_token'", 1).await;
    let sql = format!(
        "SELECT count(*) FROM public.cdr_quarantine WHERE tenant_id = '{}' AND uuid = '{}' AND detail <> ''",
        Uuid::from_u128(99),
        Uuid::from_u128(5)
    );
    scene.becomes(&sql, 1).await;
    assert_eq!((scene.count(a).await, scene.count(b).await), (1, 0));
    assert!(metric(&switch, "centrex_cdrs_quarantined_total{reason=\"forged_token\"}") >= 4.0);
}

#[tokio::test]
async fn a_record_that_postgres_refuses_delays_no_other_record() {
    let Some(mut scene) = Scene::start("cdr: refused").await else { return };
    let check =
        format!("ALTER TABLE {}.cdrs ADD CHECK (uuid <> '{}')", tenant_schema(scene.b), Uuid::from_u128(7));
    scene.sql(&check).await;
    scene.postgres_is(false).await;
    let switch = scene.site.start_command(&mut scene.site.command("one"), "one");
    // The records wait together, so they are delivered in one batch.
    for leg in 1..=20u128 {
        let tenant = if leg % 2 == 0 { scene.a } else { scene.b };
        let tenant = if leg == 8 { Uuid::from_u128(99) } else { tenant };
        post(&switch, &scene.document("bridged-a-leg.xml", tenant, Uuid::from_u128(leg)));
    }
    assert_eq!(metric(&switch, "centrex_cdr_spool_records"), 20.0);
    scene.postgres_is(true).await;
    scene.counts(scene.a, 9).await;
    scene.counts(scene.b, 9).await;
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", 2).await;
    assert_eq!(scene.reasons().await, ["refused", "tenant_gone"]);
}

#[tokio::test]
async fn records_name_the_trunk() {
    let Some(mut scene) = Scene::start("cdr: trunks").await else { return };
    let switch = scene.switch("one", &["--cdr-xml"]);
    let gateway = scene.store.signing_key().gateway_name(Uuid::nil(), 0);
    let out = scene.document("gateway-failed-b-leg.xml", scene.a, B_LEG).replace("gw-tenant-a", &gateway);
    post(&switch, &out);
    let unknown = scene.document("gateway-failed-b-leg.xml", scene.b, B_LEG);
    post(&switch, &unknown);
    let outside = token_of(scene.store.signing_key(), scene.a, &Caller::Outside);
    let inbound = of_leg(&signed("bridged-a-leg.xml", &outside), A_LEG);
    let number = "<destination_number>+493023125000</destination_number>";
    let inbound = inbound.replace("<destination_number>101</destination_number>", number);
    assert!(find(inbound.as_bytes(), number.as_bytes()).is_some());
    post(&switch, &inbound);
    scene.counts(scene.a, 2).await;
    scene.counts(scene.b, 1).await;
    let named = |tenant| {
        format!(
            "SELECT count(*) FROM {}.cdrs WHERE trunk = 'carriers/main' AND xml LIKE '<?xml%</cdr>%'",
            tenant_schema(tenant)
        )
    };
    assert_eq!((scene.scalar(&named(scene.a)).await, scene.scalar(&named(scene.b)).await), (2, 0));
}
