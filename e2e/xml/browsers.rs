//! Credentials of browsers: web passwords at profiles with a WebSocket, and nothing else there.

use centrex::freeswitch::xml::Section;
use centrex::freeswitch::xml::form::Form;
use centrex::secrets::a1_hash::a1_hash;
use centrex::secrets::web_password;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::rules::document;
use super::sample;

const REALM: &str = "tenant-a.test";

/// The hash in the answer to a browser or phone that knows a password, with and without qop; `None` for "not found".
fn hash(profile: &str, user: &str, password: &str, qop: &str) -> Option<String> {
    let mut platform = sample::platform();
    let mut web = platform.sip_profiles["internal"].clone();
    (web.sip_port, web.ws_port) = (5070, Some(5066));
    platform.sip_profiles.insert("browsers".into(), web);
    let answers =
        sample::answers(platform, vec![sample::tenant(sample::TENANT_A, REALM)]);
    let md5 = |text: String| hex::encode(Md5::digest(text));
    let (a1, a2) = (a1_hash(user, REALM, password), md5(format!("REGISTER:sip:{REALM}")));
    let (middle, fields) = match qop {
        "" => (String::new(), String::new()),
        qop => (format!("00000001:c1:{qop}:"), format!("&sip_auth_nc=00000001&sip_auth_cnonce=c1&sip_auth_qop={qop}")),
    };
    let response = md5(format!("{a1}:n1:{middle}{a2}"));
    let form = format!(
        "section=directory&tag_name=domain&key_name=name&key_value={REALM}&action=sip_auth&sip_profile={profile}\
         &sip_auth_username={user}&sip_auth_realm={REALM}&sip_from_host={REALM}&sip_to_user={user}&sip_to_host={REALM}\
         &sip_auth_method=REGISTER&sip_auth_nonce=n1&sip_auth_uri=sip%3A{REALM}&sip_auth_response={response}{fields}\
         &key=id&user={user}&domain={REALM}"
    );
    let answer = answers.answer(Section::Directory, &Form::parse(form.as_bytes())).unwrap();
    document(&answer).value("a1-hash").map(str::to_owned)
}

#[test]
fn a_browser_gets_the_hash_of_the_web_password_that_it_knows() {
    // Of one hour, unless it ends within the test.
    for _ in 0..2 {
        let now = Timestamp::now();
        let [current, previous] = web_password::accepted(&sample::key(), sample::TENANT_A, "user-100", now);
        let of = |password: &str| Some(a1_hash("100", REALM, password));
        let answers = ["auth", ""].map(|qop| {
            [&current, &previous, "pw100", "guess"].map(|password| hash("browsers", "100", password, qop))
        });
        if now.as_second() / web_password::HOUR_SECONDS != Timestamp::now().as_second() / web_password::HOUR_SECONDS {
            continue;
        }
        let expected = [of(&current), of(&previous), of(&current), of(&current)];
        assert_eq!(answers, [expected.clone(), expected], "a wrong password has another digest than this hour's");
        return;
    }
    panic!("two hours ended within a second");
}

#[test]
fn elsewhere_a_web_password_is_nothing_and_an_extension_without_a_password_has_no_browser() {
    let [current, _] = web_password::accepted(&sample::key(), sample::TENANT_A, "user-100", Timestamp::now());
    assert_eq!(hash("internal", "100", &current, "auth"), Some(a1_hash("100", REALM, "pw100")));
    assert_eq!(hash("external", "100", &current, "auth"), None);
    assert_eq!(hash("browsers", "300", &current, "auth"), None);
    assert_eq!(hash("browsers", "999", &current, "auth"), None);
}
