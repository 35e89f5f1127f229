//! Directory lookups, by the module that makes them (contract §2.2, §8).

use super::rules::{ask, directory};
use super::tree::Node;
use centrex::freeswitch::xml::Section;

fn user(node: &Node) -> Option<&str> {
    node.one("user").attribute("id")
}

#[test]
fn user_dialling_gets_a_dial_string_without_functions() {
    let answer = directory("tenant-a.test", "as_channel=true&action=user_call&key=id&user=101");
    let dial = answer.value("dial-string").unwrap();
    assert!(dial.ends_with("}sofia/internal/101%tenant-a.test"), "{dial}");
    assert!(dial.contains("outbound_redirect_fatal=true") && dial.contains("presence_id=101@tenant-a.test"));
    assert!(!dial.contains("external") && !dial.contains('$'));
    // FreeSWITCH treats a dial string that contains `user/<id>` as a loop.
    assert!(!dial.contains("user/"));
    assert_eq!(answer.value("user_context"), Some("00000000-0000-4000-8000-a00000000000"));
}

#[test]
fn plain_lookups_get_variables_and_no_secret() {
    for fields in
        ["key=id&user=101", "type=var&key=id&user=101", "action=message-count&key=id:number-alias&user=101"]
    {
        let answer = directory("tenant-a.test", fields);
        assert_eq!(user(&answer), Some("101"));
        assert!(answer.all("param").is_empty(), "{answer:?}");
    }
    assert!(directory("tenant-a.test", "type=param&key=number-alias&user=101").is_not_found());
    assert!(directory("tenant-a.test", "key=id&user=999").is_not_found());
    assert!(directory("tenant-a.test", "key=id&user=600").is_not_found(), "a ring group is no user");
    assert!(directory("tenant-a.test", "key=id&user=").is_not_found());
}

#[test]
fn an_unknown_or_suspended_domain_is_served_nothing() {
    for domain in ["nobody.test", "suspended.test"] {
        for fields in
            ["key=id&user=100", "action=user_call&key=id&user=100", "purpose=gateways&profile=internal", ""]
        {
            assert!(directory(domain, fields).is_not_found(), "{domain} {fields}");
        }
    }
}

#[test]
fn a_voicemail_box_has_its_own_pin_and_directory_and_sends_no_mail() {
    let answer = directory("tenant-a.test", "action=voicemail-lookup&key=id:number-alias&user=100");
    assert_eq!(answer.value("vm-enabled"), Some("true"));
    assert_eq!(answer.value("vm-password"), Some("1234"));
    let own = "/media/tenants/00000000-0000-4000-8000-a00000000000/voicemail/100";
    assert_eq!(answer.value("vm-storage-dir"), Some(own));
    for absent in ["a1-hash", "password", "vm-mailto", "email-addr", "vm-notify-mailto"] {
        assert_eq!(answer.value(absent), None, "the SIP password is no PIN, and mail is not the switch's");
    }
    let other = directory("tenant-b.test", "action=voicemail-lookup&key=id:number-alias&user=100");
    assert_ne!(other.value("vm-storage-dir"), Some(own));
    // Without a PIN there is no password at all, which no digits match.
    let without = directory("tenant-a.test", "action=voicemail-lookup&key=id&user=300");
    assert_eq!((without.value("vm-enabled"), without.value("vm-password")), (Some("false"), None));
}

#[test]
fn message_counts_are_published_to_one_box_only() {
    let answer = directory("tenant-a.test", "purpose=publish-vm&user=101");
    assert!(answer.value("vm-storage-dir").unwrap().ends_with("/voicemail/101"));
    assert!(directory("tenant-a.test", "purpose=publish-vm&user=_all_").is_not_found());
    assert!(directory("tenant-a.test", "purpose=publish-vm&group=sales").is_not_found());
}

#[test]
fn a_phone_that_challenges_us_gets_no_credentials() {
    for domain in ["tenant-a.test", "127.0.0.1"] {
        assert!(directory(domain, "action=reverse-auth-lookup&key=id&user=100").is_not_found());
    }
}

#[test]
fn ring_groups_are_groups_by_name_and_by_number() {
    for group in ["sales", "600"] {
        let answer =
            directory("tenant-a.test", &format!("group={group}&action=group_call&group_name={group}"));
        assert_eq!(answer.one("group").attribute("name"), Some(group));
        let users: Vec<_> =
            answer.all("user").into_iter().map(|user| user.attribute("id").unwrap()).collect();
        assert_eq!(users, ["100", "101"]);
        assert!(
            answer.all("user")[1].value("dial-string").unwrap().contains("sofia/internal/101%tenant-a.test")
        );
    }
    assert!(!directory("tenant-a.test", "user=100&group_name=sales").is_not_found());
    assert!(directory("tenant-a.test", "action=group_call&group_name=100").is_not_found());
}

#[test]
fn a_domain_lookup_returns_users_only_when_they_are_listed() {
    for fields in ["type=var", "purpose=gateways&profile=internal", "purpose=network-list"] {
        let answer = directory("tenant-a.test", fields);
        assert_eq!(answer.one("domain").attribute("name"), Some("tenant-a.test"));
        assert!(answer.all("user").is_empty() && answer.all("gateway").is_empty());
    }
    let listing = "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test";
    let answer = ask(Section::Directory, listing);
    let users: Vec<_> = answer.all("user").into_iter().map(|user| user.attribute("id").unwrap()).collect();
    assert_eq!(users, ["100", "101", "200", "300"]);
}

#[test]
fn an_unauthenticated_call_gets_no_user_data() {
    // With blind authentication a phone's headers are fields: none of them gives access.
    for header in
        ["", "&action=sip_auth", "&action=user_call", "&VM-Action=change-password", "&purpose=publish-vm"]
    {
        let fields = format!("X-Foo=bar{header}&Channel-State=CS_NEW&key=id&user=100");
        assert!(directory("tenant-a.test", &fields).is_not_found(), "{header}");
    }
}

#[test]
fn unknown_users_are_not_found() {
    for fields in ["action=nope&user=100", "purpose=nightmare_xfer&user=100", "action=&user=100"] {
        assert!(directory("tenant-a.test", fields).is_not_found(), "{fields}");
    }
    for basic in [
        "section=directory",
        "section=directory&tag_name=&key_name=&key_value=&purpose=gateways&profile=internal",
        "section=directory&tag_name=user&key_name=name&key_value=tenant-a.test",
        "section=directory&tag_name=domain&key_name=id&key_value=tenant-a.test",
        "section=dialplan&tag_name=domain&key_name=name&key_value=tenant-a.test&domain=tenant-a.test&user=100",
    ] {
        assert!(ask(Section::Directory, basic).is_not_found(), "{basic}");
    }
}
