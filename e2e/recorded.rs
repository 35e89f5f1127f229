//! Requests of a real FreeSWITCH, attacks among them, replayed against the real listener (`e2e/recorded/`;
//! contract §11). Paths and names of objects are replaced by ours.

use std::collections::BTreeMap;
use std::path::Path;

use centrex::route::names;

use crate::hardened::allowlist;
use crate::xml::client::{Listener, post};
use crate::xml::sample::{TENANT_A, TENANT_B, sample_answers};
use crate::xml::tree::Node;

/// Bodies of the recorded requests whose names start with a prefix, by name.
fn recordings(prefix: &str) -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/recorded");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(prefix) && path.extension().is_some_and(|kind| kind == "http") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{name} is not as recorded");
            found.insert(name, ours(body));
        }
    }
    assert!(!found.is_empty(), "no recordings of {prefix}");
    found
}

/// A body with the names of our objects.
fn ours(body: &str) -> String {
    let mut body = body.to_owned();
    for (theirs, name) in [
        ("Menu-Name=main-tenant-a.test", format!("Menu-Name={}", names::menu(TENANT_A, "main"))),
        ("CC-Queue=support%40tenant-b.test", format!("CC-Queue={}", names::queue(TENANT_B, "support"))),
        ("profile_name=tenant_default", format!("profile_name={}", names::room(TENANT_A, "room1"))),
        ("-Context=tenant-a.test", format!("-Context={TENANT_A}")),
        ("variable_user_context=tenant-a.test", format!("variable_user_context={TENANT_A}")),
    ] {
        body = body.replace(theirs, &name);
    }
    // The directory of those recordings did not set it; ours does for every phone that it authenticates.
    if body.contains("variable_sip_authorized=true") {
        body += &format!("&variable_centrex_tenant={TENANT_A}");
    }
    body
}

async fn listener() -> Listener {
    Listener::start(sample_answers()).await
}

async fn answer(section: &str, name: &str) -> Node {
    let recording = recordings(name).remove(name).unwrap_or_else(|| panic!("no {name}"));
    listener().await.lookup(section, &recording).await.document()
}

#[tokio::test]
async fn every_request_is_answered_with_a_document_of_its_section() {
    let listener = listener().await;
    for section in ["directory", "dialplan", "configuration", "chatplan"] {
        for (name, body) in recordings(section).into_iter().chain(recordings("attack")) {
            let reply = listener.lookup(section, &body).await;
            let answered = reply.document().section().to_owned();
            assert!(answered == section || answered == "result", "{name}: {answered}");
            assert!(!reply.body.contains(['\n', '$']), "{name}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn phrases_are_not_served() {
    let listener = listener().await;
    for (name, body) in recordings("languages") {
        assert_eq!(listener.lookup("languages", &body).await.status, 404, "{name}");
        assert!(listener.lookup("configuration", &body).await.document().is_not_found(), "{name}");
    }
}

#[tokio::test]
async fn directory_requests_get_the_answer_their_module_needs() {
    let listener = listener().await;
    for (name, body) in recordings("directory") {
        let answer = listener.lookup("directory", &body).await.document();
        let user = |id| answer.one("user").attribute("id") == Some(id);
        let right = match name.as_str() {
            "directory-sip_auth-REGISTER" | "directory-sip_auth-INVITE" | "directory-sip_auth-MESSAGE" => {
                user("100") && answer.value("a1-hash").is_some()
            }
            "directory-user_call-bridge" => user("101") && answer.value("dial-string").is_some(),
            "directory-user_call-callcenter-agent" => user("100") && answer.value("dial-string").is_some(),
            "directory-user_exists-or-set_user" => user("101") && answer.value("user_context").is_some(),
            "directory-user_data-var-id" | "directory-user_data-attr-id" | "directory-message-count" => {
                user("100")
            }
            "directory-voicemail-lookup-check" => user("100") && answer.value("vm-password").is_some(),
            "directory-voicemail-lookup-leave" | "directory-purpose-publish-vm" => {
                user("101") && answer.value("vm-storage-dir").is_some()
            }
            "directory-group_call" | "directory-in_group" => answer.all("user").len() == 2,
            "directory-list_users" | "directory-mod_directory" | "directory-xml_locate" => {
                answer.all("user").len() == 4 && answer.all("param").is_empty()
            }
            "directory-domain_data"
            | "directory-purpose-gateways-config_sofia"
            | "directory-purpose-gateways-launch_sofia_worker_thread"
            | "directory-purpose-network-list" => {
                answer.one("domain").attribute("name") == Some("tenant-a.test")
                    && answer.all("user").is_empty()
            }
            "directory-user_data-param-id"
            | "directory-user_data-param-number-alias"
            | "directory-domain_exists"
            | "directory-event_socket_auth"
            | "directory-jsonrpc-authenticate"
            | "directory-reverse-auth-lookup"
            | "directory-acl-token-lookup"
            | "directory-purpose-gateways-all-domains" => answer.is_not_found(),
            _ => panic!("{name}: no expected answer"),
        };
        assert!(right, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn configuration_requests_get_their_file_or_not_found() {
    let listener = listener().await;
    for (name, body) in recordings("configuration") {
        let answer = listener.lookup("configuration", &body).await.document();
        let right = match name.as_str() {
            "configuration-sofia" => answer.all("profile").len() == 2,
            "configuration-sofia-rescan"
            | "configuration-sofia-profile-restart"
            | "configuration-sofia-profile-start-gateways" => {
                answer.one("profile").attribute("name") == Some("internal")
                    && !answer.all("settings").is_empty()
            }
            "configuration-sofia-startgw-all" | "configuration-sofia-startgw-nope" => {
                answer.one("profile").children.len() == 1
            }
            "configuration-acl" => answer.one("list").attribute("default") == Some("deny"),
            "configuration-ivr-ivr" => answer.all("menu").len() == 1,
            "configuration-callcenter" => answer.all("queue").len() == 4,
            "configuration-callcenter-load_queue" => answer.all("queue").len() == 1,
            "configuration-conference-conference" => answer.one("profile").value("pin") == Some("4711"),
            "configuration-conference-conference_member_bind_controls"
            | "configuration-conference-send_presence" => answer.all("control").len() > 1,
            "configuration-local_stream" => answer.all("directory").len() == 3,
            "configuration-voicemail" => answer.all("profile").len() == 1,
            "configuration-fifo" => answer.all("fifos").len() == 1,
            _ => answer.is_not_found(),
        };
        assert!(right, "{name}: {answer:?}");
    }
}

/// Rule 3: fields that a realm injects are ignored.
#[tokio::test]
async fn attack_directory_realm_injects_form_fields() {
    assert!(answer("directory", "attack-directory-realm-injects-form-fields").await.is_not_found());
}

/// Rule 3: an ampersand in `key_value` starts no field.
#[tokio::test]
async fn attack_directory_key_value_ampersand() {
    assert!(answer("directory", "attack-directory-key_value-ampersand").await.is_not_found());
    assert!(answer("dialplan", "attack-directory-key_value-ampersand").await.is_not_found());
}

/// §1.3: a name cut at 511 bytes is not the requested domain.
#[tokio::test]
async fn attack_directory_key_value_truncated_512() {
    assert!(answer("directory", "attack-directory-key_value-truncated-512").await.is_not_found());
}

/// Rule 4: credentials of one tenant, registration in another.
#[tokio::test]
async fn attack_directory_cross_tenant_register() {
    assert!(answer("directory", "attack-directory-cross-tenant-register").await.is_not_found());
    let body = recordings("attack-directory-cross-tenant-register").into_values().next().unwrap();
    let honest = body.replace("tenant-b.test", "tenant-a.test");
    let answer = listener().await.lookup("directory", &honest).await.document();
    assert!(!answer.is_not_found(), "only the domain was wrong");
}

/// §2.2: headers of a call that nothing authenticated.
#[tokio::test]
async fn attack_directory_blind_auth_unknown_headers() {
    assert!(answer("directory", "attack-directory-blind-auth-unknown-headers").await.is_not_found());
}

/// Rules 3 and 9: names of login parameters are fields.
#[tokio::test]
async fn attack_verto_loginparams_name_injection() {
    assert!(answer("directory", "attack-verto-loginparams-name-injection").await.is_not_found());
}

/// Rule 7: a message to `api+system …`.
#[tokio::test]
async fn attack_chatplan_api_plus() {
    let answer = answer("chatplan", "attack-chatplan-api-plus").await;
    let actions = answer.all("action");
    assert_eq!(actions.len(), 1);
    assert_eq!(actions[0].attributes, [("application".to_owned(), "final".to_owned())]);
}

#[tokio::test]
async fn dialplan_requests_of_users_are_routed() {
    let inbound = answer("dialplan", "dialplan-sofia-inbound").await;
    assert_eq!(inbound.one("context").attribute("name"), Some(TENANT_A.to_string().as_str()));
    assert_eq!(data(&inbound, "bridge"), ["user/101@tenant-a.test"]);
    // Number 9000 does not exist here; the variables of a loopback leg authenticate nothing.
    let second = answer("dialplan", "dialplan-execute_extension-second-lookup").await;
    assert_eq!(data(&second, "hangup"), ["UNALLOCATED_NUMBER"]);
    assert!(answer("dialplan", "dialplan-loopback-leg").await.is_not_found());
}

/// The data of all actions of an application.
fn data<'a>(answer: &'a Node, application: &str) -> Vec<&'a str> {
    let actions = answer.all("action").into_iter();
    let of = actions.filter(|action| action.attribute("application") == Some(application));
    of.filter_map(|action| action.attribute("data")).collect()
}

/// A recorded request with a dialled number that is routed, so that the answer is not empty.
fn dialling_101(body: &str) -> String {
    body.replace("Destination-Number=777", "Destination-Number=101")
}

/// Every dialplan attack, as recorded and with a number that is routed: no answer contains text of the
/// attacker, runs an application that runs others, or leads to another tenant.
#[tokio::test]
async fn attack_dialplan_answers_contain_no_text_of_the_attacker() {
    let known = allowlist::allowed("app");
    let listener = listener().await;
    let mut bridges = 0;
    for (name, body) in recordings("attack-dialplan") {
        for body in [dialling_101(&body), body] {
            let answer = listener.lookup("dialplan", &body).await.document();
            bridges += data(&answer, "bridge").len();
            for action in answer.all("action") {
                assert!(known.contains(action.attribute("application").unwrap()), "{name}: {action:?}");
            }
            for value in answer.values() {
                assert!(!value.contains(['$', '`', '\n', '\'', '"', '<', '>', '\\']), "{name}: {value}");
                for foreign in ["system", "sofia/", "tenant-b", "touch", "pwned", "l1", "a&b", "Boss", "1555"]
                {
                    assert!(!value.contains(foreign), "{name}: {foreign} in {value}");
                }
            }
        }
    }
    assert_eq!(bridges, 3, "markup, a newline and a spoofed identity are of a phone that may call 101");
}

/// §10.2: the identity that a phone claims is not shown to others.
#[tokio::test]
async fn attack_dialplan_pai_rpid_spoof() {
    let body = recordings("attack-dialplan-pai-rpid-spoof").into_values().next().unwrap();
    let answer = listener().await.lookup("dialplan", &dialling_101(&body)).await.document();
    let set = data(&answer, "multiset");
    let shown: Vec<&str> = set.iter().flat_map(|variables| variables.split(';')).collect();
    for right in ["effective_caller_id_name=User 100", "effective_caller_id_number=100"] {
        assert!(shown.contains(&right), "{shown:?}");
    }
}

/// Rules 8 and 9: a phone that put itself into a gateway's context, and a Verto login with its own variables,
/// are not routed, in any context that they name.
#[tokio::test]
async fn attack_dialplan_of_a_forged_origin_is_not_routed() {
    let listener = listener().await;
    for name in ["attack-dialplan-gw-param-context-switch", "attack-dialplan-verto-uservariables"] {
        let body = dialling_101(&recordings(name).into_values().next().unwrap());
        for context in ["public", "inbound", "global", &TENANT_A.to_string(), &TENANT_B.to_string()] {
            let forged = format!("{body}&Hunt-Context={context}&Caller-Context={context}");
            let answer = listener.lookup("dialplan", &forged).await.document();
            assert!(answer.is_not_found(), "{name} in {context}: {answer:?}");
        }
    }
}

/// A request posted to the path of another section is not found there.
#[tokio::test]
async fn requests_of_one_section_get_no_answer_in_another() {
    let listener = listener().await;
    for (name, body) in recordings("directory") {
        let reply = listener.send(&post("configuration", &body)).await;
        assert!(reply.document().is_not_found(), "{name}");
    }
}
