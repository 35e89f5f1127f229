//! Extra settings of a Device: keys of the vendor's own configuration, beside those that Centrex writes.
//!
//! A setting must be spelt as the vendor spells keys, so that it can end no line and no element; and it must not be one
//! of those that would point the phone at another server, give it other credentials, or open it to others.
//! Lists of what is denied cannot be complete where the vendor publishes no list: docs/phones.md says so.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::models::{Model, Series};

/// Most bytes of a key.
pub const MAX_KEY: usize = 128;
/// Most bytes of a value.
pub const MAX_VALUE: usize = 255;

/// Why an extra setting is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The key is not spelt as the vendor spells keys.
    #[error("the key {key:?} must be {allowed}")]
    Key {
        /// The key.
        key: String,
        /// What is allowed, for people.
        allowed: &'static str,
    },
    /// The setting is denied.
    #[error(
        "the setting {key:?} is not allowed: {why}; allowed are settings of display, sound, calls and network"
    )]
    Denied {
        /// The key.
        key: String,
        /// What it would change.
        why: &'static str,
    },
    /// The value holds characters that the file cannot have, or is too long.
    #[error(
        "the value of {key:?} must be at most {MAX_VALUE} bytes, without control characters and without blanks at its ends"
    )]
    Value {
        /// The key.
        key: String,
    },
    /// A key is the beginning of another key, so one of them would be both an element and a value.
    #[error("the key {key:?} names the element that holds {other:?}: only one of them can be set")]
    Nested {
        /// The shorter key.
        key: String,
        /// The longer one.
        other: String,
    },
}

impl SettingError {
    /// The setting that is refused.
    pub fn key(&self) -> &str {
        match self {
            Self::Key { key, .. }
            | Self::Denied { key, .. }
            | Self::Value { key }
            | Self::Nested { key, .. } => key,
        }
    }
}

/// Checks all extra settings of a phone, and returns what is wrong, in the order of the keys.
pub fn check(model: &Model, settings: &BTreeMap<String, String>) -> Vec<SettingError> {
    let alone = settings.iter().filter_map(|(key, value)| check_one(model.series, key, value).err());
    let mut errors: Vec<_> = alone.collect();
    if model.series == Series::Fanvil {
        for key in settings.keys() {
            let inside = format!("{key}.");
            let nested = settings.keys().find(|other| other.starts_with(&inside));
            errors
                .extend(nested.map(|other| SettingError::Nested { key: key.clone(), other: other.clone() }));
        }
    }
    errors
}

fn check_one(series: Series, key: &str, value: &str) -> Result<(), SettingError> {
    let grammar = grammar(series);
    let spelt = grammar.pattern.as_ref().is_some_and(|pattern| pattern.is_match(key));
    if key.len() > MAX_KEY || !spelt {
        return Err(SettingError::Key { key: key.to_owned(), allowed: grammar.allowed });
    }
    if let Some(why) = denied(series, key) {
        return Err(SettingError::Denied { key: key.to_owned(), why });
    }
    let is_printable =
        |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    let empties = matches!(value, "%NULL%" | "%EMPTY%");
    if value.len() > MAX_VALUE || value.trim() != value || empties || !value.chars().all(is_printable) {
        return Err(SettingError::Value { key: key.to_owned() });
    }
    Ok(())
}

/// How keys are spelt.
struct Grammar {
    /// `None` for a phone that takes no extra settings.
    pattern: Option<Regex>,
    allowed: &'static str,
}

impl Grammar {
    fn new(pattern: &str, allowed: &'static str) -> Self {
        Self { pattern: Regex::new(pattern).ok(), allowed }
    }
}

fn grammar(series: Series) -> &'static Grammar {
    static YEALINK: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+$",
            "a key of Yealink's: words of letters, digits and '_' with dots between them, such as phone_setting.ring_type",
        )
    });
    static POLY: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)+$",
            "a parameter of Poly's: words of letters, digits and '_' with dots between them, such as up.backlight.timeout",
        )
    });
    static ITEMS: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^[a-z0-9][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)+$",
            "an item of Grandstream's: words of letters, digits and '_' with dots between them, such as lcd.backlight.active",
        )
    });
    static P_VALUES: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(r"^P[1-9][0-9]{0,5}$", "a P-value of Grandstream's: P and up to 6 digits, such as P334")
    });
    static SNOM: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^[A-Za-z_][A-Za-z0-9_]*(\[(0|[1-9][0-9]{0,2})\])?$",
            "a setting of Snom's: letters, digits and '_', perhaps with an index such as [1], such as ring_sound",
        )
    });
    static FANVIL: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^([A-Za-z_][A-Za-z0-9_-]*(\.[1-9][0-9]{0,2})?\.)+[A-Za-z_][A-Za-z0-9_-]*$",
            "a path of elements below Fanvil's sysConf, with dots between them, such as phone.display.LCDTitle or call.port.1.CallWaiting",
        )
    });
    static CISCO: LazyLock<Grammar> = LazyLock::new(|| {
        Grammar::new(
            r"^[A-Za-z_][A-Za-z0-9_.-]*$",
            "a parameter of Cisco's: letters, digits, '_', '.' and '-', such as Back_Light_Timer",
        )
    });
    static NONE: LazyLock<Grammar> = LazyLock::new(|| Grammar {
        pattern: None,
        allowed: "left out: Centrex writes no extra settings for this vendor or model",
    });
    match series {
        Series::Yealink | Series::YealinkDect => &YEALINK,
        Series::Poly => &POLY,
        Series::GrandstreamItems => &ITEMS,
        Series::GrandstreamPValues => &P_VALUES,
        Series::Snom => &SNOM,
        Series::Fanvil => &FANVIL,
        Series::CiscoMpp | Series::CiscoSpa => &CISCO,
        Series::CiscoEnterprise | Series::Linphone | Series::Acrobits | Series::MicroSip => &NONE,
    }
}

const SERVER: &str = "Centrex decides where the phone reads its configuration and firmware";
const ACCOUNT: &str = "Centrex writes the lines with their servers and credentials";
const KEYS: &str = "the Device's keys decide it";
const LOGIN: &str = "the Device's admin password decides who may log in";
const REMOTE: &str = "it would let others manage the phone";
const TRUST: &str = "it would change which certificates the phone trusts or shows";
const REPORT: &str = "it would make the phone send to or ask another server";

/// What a setting would change that no extra setting may change.
fn denied(series: Series, key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let (starts, contains): (&[Entry], &[Entry]) = match series {
        Series::Yealink | Series::YealinkDect => YEALINK,
        Series::Poly => POLY,
        Series::GrandstreamItems => ITEMS,
        Series::GrandstreamPValues => return denied_p_value(&key),
        Series::Snom => SNOM,
        Series::Fanvil => FANVIL,
        Series::CiscoMpp | Series::CiscoSpa => CISCO,
        Series::CiscoEnterprise | Series::Linphone | Series::Acrobits | Series::MicroSip => return None,
    };
    // Yealink takes most keys with and without `static.`.
    let plain = key.strip_prefix("static.").unwrap_or(&key);
    let start = starts.iter().find(|(start, _)| plain.starts_with(start));
    let inside = || contains.iter().find(|(word, _)| plain.contains(word));
    start.or_else(inside).map(|(_, why)| *why)
}

/// A text in lower case, and the reason.
type Entry = (&'static str, &'static str);

/// What keys of Yealink's may not begin with, and what they may not contain.
static YEALINK: (&[Entry], &[Entry]) = (
    &[
        ("auto_provision.", SERVER),
        ("autoprovision.", SERVER),
        ("firmware.", SERVER),
        ("over_the_air.", SERVER),
        ("dm.", REMOTE),
        ("managementserver.", REMOTE),
        ("tr069.", REMOTE),
        ("rps.", SERVER),
        ("account.", ACCOUNT),
        ("template.", ACCOUNT),
        ("sip.trust_ctrl", REMOTE),
        ("sip.notify_reboot_enable", REMOTE),
        ("sip.listen_mode", REMOTE),
        ("linekey.", KEYS),
        ("memorykey.", KEYS),
        ("programablekey.", KEYS),
        ("expansion_module.", KEYS),
        ("multi_mode", KEYS),
        ("security.", LOGIN),
        ("wui.", LOGIN),
        ("action_url.", REPORT),
        ("push_xml.", REMOTE),
        ("features.action_uri", REMOTE),
        ("features.remote_control", REMOTE),
        ("features.usb_", REMOTE),
        ("features.pcap", REMOTE),
        ("network.vpn", REPORT),
        ("openvpn.", REPORT),
        ("network.802_1x", TRUST),
        ("network.cwmp", REMOTE),
        ("syslog.", REPORT),
        ("local_log.", REPORT),
        ("remote_phonebook.", REPORT),
        ("ldap.", REPORT),
        ("trusted_certificates.", TRUST),
        ("server_certificates.", TRUST),
        ("zero_touch.", SERVER),
        ("redirect.", SERVER),
        ("gui_lang.url", SERVER),
        ("web_lang.url", SERVER),
        ("lang.gui.url", SERVER),
        ("custom_mac_cfg.", SERVER),
        ("custom_factory_config.", SERVER),
        ("web_item_level.", LOGIN),
        ("phone_setting.reserve_certs", TRUST),
        ("network.attendant.pcap", REMOTE),
        ("diagnose.", REMOTE),
    ],
    &[
        ("password", LOGIN),
        ("certificat", TRUST),
        ("telnet", REMOTE),
        ("_ssh", REMOTE),
        ("url", SERVER),
        ("pnp", SERVER),
    ],
);

/// The same of Poly.
static POLY: (&[Entry], &[Entry]) = (
    &[
        ("device.", SERVER),
        ("prov.", SERVER),
        ("app_file_path", SERVER),
        ("config_files", SERVER),
        ("reg.", ACCOUNT),
        ("msg.mwi.", ACCOUNT),
        ("attendant.", KEYS),
        ("linekey.", KEYS),
        ("softkey.", KEYS),
        ("efk.", KEYS),
        ("httpd.", REMOTE),
        ("apps.", REMOTE),
        ("diags.", REMOTE),
        ("log.", REPORT),
        ("lens.", REMOTE),
        ("feature.lens", REMOTE),
        ("feature.obitalk", REMOTE),
        ("feature.da.", REMOTE),
        ("mb.", REPORT),
        ("dir.", REPORT),
        ("exchange.", REPORT),
        ("oai.", REMOTE),
        ("sec.tls.", TRUST),
        ("sec.srtp.", ACCOUNT),
        ("sec.802", TRUST),
        ("sec.uploaddevice", REPORT),
        ("volpprot.", ACCOUNT),
        ("voipprot.server.", ACCOUNT),
        ("voipprot.sip.outboundproxy", ACCOUNT),
        ("voipprot.sip.requestvalidation", REMOTE),
        ("voipprot.sip.specialevent", REMOTE),
        ("voipprot.sip.alertinfo", REMOTE),
    ],
    &[("password", LOGIN), ("userid", ACCOUNT), ("logupload", REPORT), ("tr069", REMOTE), ("cafile", TRUST)],
);

/// The same of Grandstream's items.
static ITEMS: (&[Entry], &[Entry]) = (
    &[
        ("provisioning.", SERVER),
        ("account.", ACCOUNT),
        ("users.", LOGIN),
        ("pks.", KEYS),
        ("tr069.", REMOTE),
        ("gdms.", REMOTE),
        ("security.", TRUST),
        ("sip.validate", REMOTE),
        ("sip.notify", REMOTE),
        ("sip.allowsipreset", REMOTE),
        ("syslog.", REPORT),
        ("maintenance.", REPORT),
        ("network.openvpn", REPORT),
        ("network.vpn", REPORT),
        ("network.802", TRUST),
        ("network.dot1x", TRUST),
        ("vpn.", REPORT),
        ("phonebook.", REPORT),
        ("actionurl.", REPORT),
        ("outboundnotification.", REPORT),
        ("ldap.", REPORT),
        ("xmlapp.", REPORT),
        ("broadsoft.", REPORT),
        ("ucm.", SERVER),
    ],
    &[
        ("password", LOGIN),
        ("certificate", TRUST),
        ("actionurl", REPORT),
        ("action_url", REPORT),
        ("ssh", REMOTE),
        ("telnet", REMOTE),
        ("remotecontrol", REMOTE),
        ("openvpn", REPORT),
        ("capture", REMOTE),
    ],
);

/// The same of Snom.
static SNOM: (&[Entry], &[Entry]) = (
    &[
        ("setting_server", SERVER),
        ("settings_refresh", SERVER),
        ("settings", SERVER),
        ("http_client_", SERVER),
        ("http_user", LOGIN),
        ("http_pass", LOGIN),
        ("http_scheme", LOGIN),
        ("http_proxy", REPORT),
        ("webserver", LOGIN),
        ("admin_mode", LOGIN),
        ("user_", ACCOUNT),
        ("firmware", SERVER),
        ("update_", SERVER),
        ("uboot", SERVER),
        ("bootloader", SERVER),
        ("pnp_", SERVER),
        ("subscribe_config", SERVER),
        ("checksync_action", REMOTE),
        ("challenge_", REMOTE),
        ("tr69", REMOTE),
        ("tr369", REMOTE),
        ("action_", REPORT),
        ("dkey_", KEYS),
        ("fkey", KEYS),
        ("gui_fkey", KEYS),
        ("syslog", REPORT),
        ("ldap_", REPORT),
        ("vpn", REPORT),
        ("openvpn", REPORT),
        ("dot1x", TRUST),
        ("ieee8021x", TRUST),
        ("cert", TRUST),
        ("tls_", TRUST),
        ("check_fqdn", TRUST),
        ("custom_ca", TRUST),
        ("allow_insecure", TRUST),
        ("mb_trusted", REMOTE),
        ("sip_pcap", REMOTE),
        ("pcap", REMOTE),
        ("network_id_port", REMOTE),
        ("filter_registrar", REMOTE),
        ("xml_notify", REMOTE),
        ("remote_control", REMOTE),
        ("enable_remote", REMOTE),
        ("sraps", SERVER),
        ("provisioning", SERVER),
        ("redirection", SERVER),
    ],
    &[
        ("password", LOGIN),
        ("_pass", LOGIN),
        ("url", REPORT),
        ("telnet", REMOTE),
        ("ssh", REMOTE),
        ("certificate", TRUST),
    ],
);

/// The same of Fanvil.
static FANVIL: (&[Entry], &[Entry]) = (
    &[
        ("ap.", SERVER),
        ("autoupdate", SERVER),
        ("fwcheck.", SERVER),
        ("ota.", REMOTE),
        ("tr069.", REMOTE),
        ("tr069config.", REMOTE),
        ("sip.line.", ACCOUNT),
        ("sip.notifyreboot", REMOTE),
        ("sip.strict", REMOTE),
        ("web.", LOGIN),
        ("dsskey.", KEYS),
        ("cti.", REPORT),
        ("log.", REPORT),
        ("vpn.", REPORT),
        ("net.dot1x", TRUST),
        ("net.802", TRUST),
        ("cert.", TRUST),
        ("trustcert", TRUST),
        ("phone.menupassword", LOGIN),
        ("phone.xmlcontact", REPORT),
        ("phone.ldap", REPORT),
        ("phone.actionurl", REPORT),
        ("mm.capture", REMOTE),
        ("version", SERVER),
    ],
    &[
        ("password", LOGIN),
        ("passwd", LOGIN),
        ("pswd", LOGIN),
        ("url", REPORT),
        ("telnet", REMOTE),
        ("ssh", REMOTE),
        ("cert", TRUST),
        ("pnp", SERVER),
        ("syslog", REPORT),
        ("fdps", REMOTE),
        ("remotecontrol", REMOTE),
        ("xmlcontact", REPORT),
    ],
);

/// The same of Cisco.
static CISCO: (&[Entry], &[Entry]) = (
    &[
        ("profile_rule", SERVER),
        ("provision_enable", SERVER),
        ("resync", SERVER),
        ("forced_resync", SERVER),
        ("upgrade_", SERVER),
        ("report_", REPORT),
        ("gpp_", SERVER),
        ("downgrade_", SERVER),
        ("http_user_agent", REPORT),
        ("http_report", REPORT),
        ("custom_ca", TRUST),
        ("dhcp_option_to_use", SERVER),
        ("extension_", KEYS),
        ("short_name_", KEYS),
        ("extended_function_", KEYS),
        ("unit_", KEYS),
        ("number_of_units", KEYS),
        ("server_type", KEYS),
        ("proxy_", ACCOUNT),
        ("outbound_proxy", ACCOUNT),
        ("alternate_", ACCOUNT),
        ("auth_", ACCOUNT),
        ("user_id", ACCOUNT),
        ("use_auth_id", ACCOUNT),
        ("register_", ACCOUNT),
        ("display_name", ACCOUNT),
        ("line_enable", ACCOUNT),
        ("sip_transport", ACCOUNT),
        ("tls_name", TRUST),
        ("secure_call", ACCOUNT),
        ("encryption_method", ACCOUNT),
        ("admin_", LOGIN),
        ("enable_web", LOGIN),
        ("enable_protocol", LOGIN),
        ("web_server", LOGIN),
        ("block_nonproxy_sip", REMOTE),
        ("syslog", REPORT),
        ("debug_", REPORT),
        ("log_", REPORT),
        ("sip_debug", REPORT),
        ("pcm_server", REPORT),
        ("xml_", REPORT),
        ("cisco_xml", REPORT),
        ("ldap_", REPORT),
        ("vpn", REPORT),
        ("broadsoft", REPORT),
        ("xsi_", REPORT),
        ("dictionary_server", REPORT),
        ("enable_802", TRUST),
        ("remote_", REMOTE),
        ("enable_ssh", REMOTE),
        ("ssh_", REMOTE),
        ("tr-069", REMOTE),
        ("tr_069", REMOTE),
        ("tr069", REMOTE),
        ("acs_", REMOTE),
        ("cpe_", REMOTE),
        ("connection_request", REMOTE),
        ("webex_", REMOTE),
        ("peer_firmware", SERVER),
        ("activation_code", SERVER),
        ("device_eds", SERVER),
        ("cloud_", SERVER),
    ],
    &[("password", LOGIN), ("passwd", LOGIN), ("_url", REPORT), ("certificate", TRUST), ("_ca_", TRUST)],
);

/// P-values that are denied: first and last number of a range, and the reason. Accounts 2 to 16 are ranges of their
/// own; of account 1, whose values are scattered, and of the others, those are listed that are published.
static P_VALUES: &[(u32, u32, &str)] = &[
    (2, 2, LOGIN),        // admin password
    (3, 3, ACCOUNT),      // display name
    (30, 30, SERVER),     // NTP server
    (33, 36, ACCOUNT),    // voicemail, password, user, authentication user
    (47, 48, ACCOUNT),    // server, outbound proxy
    (64, 64, SERVER),     // time zone
    (130, 130, ACCOUNT),  // transport
    (145, 145, SERVER),   // server from DHCP
    (183, 183, ACCOUNT),  // SRTP
    (192, 194, SERVER),   // firmware server, interval of checks
    (196, 196, LOGIN),    // user password
    (197, 198, ACCOUNT),  // proxy-require, special feature
    (207, 208, REPORT),   // syslog
    (212, 212, SERVER),   // protocol of the server
    (232, 240, SERVER),   // prefixes and postfixes of files, server, when to check
    (246, 246, SERVER),   // time zone
    (270, 271, ACCOUNT),  // name, active
    (276, 277, REMOTE),   // telnet or SSH
    (285, 286, SERVER),   // hours of checks
    (290, 290, ACCOUNT),  // dial plan
    (298, 299, ACCOUNT),  // failover
    (301, 329, KEYS),     // multi-purpose keys
    (330, 333, REPORT),   // phonebook server
    (353, 396, KEYS),     // multi-purpose keys
    (400, 899, ACCOUNT),  // accounts 2 to 4, ports and profiles of adapters
    (901, 904, LOGIN),    // ports and lock of the web server
    (1349, 1362, SERVER), // keys of files, credentials of the server, language
    (1363, 1440, KEYS),   // keys, TR-069, automatic provisioning
    (1650, 1650, LOGIN),  // access to the web server
    (1682, 1683, REMOTE),
    (1700, 1899, ACCOUNT), // accounts 5 and 6
    (2312, 2312, ACCOUNT), // second server
    (2330, 2339, ACCOUNT),
    (2380, 2399, TRUST),
    (2412, 2912, ACCOUNT), // second servers of other accounts
    (4060, 4199, ACCOUNT), // ports of adapters
    (4503, 4512, REMOTE),  // TR-069
    (4518, 4518, REMOTE),  // TR-069
    (4595, 4602, ACCOUNT), // ports of adapters
    (7050, 7070, REPORT),  // OpenVPN
    (7901, 7904, TRUST),   // 802.1X
    (8304, 8316, REPORT),  // action URLs
    (8400, 8499, TRUST),   // certificates, when to check
    (8503, 8510, REPORT),  // action URLs
    (23000, 24999, KEYS),
    (22020, 22039, TRUST),
    (26015, 26015, REMOTE),  // reset by SIP
    (50600, 52199, ACCOUNT), // accounts 7 to 16
];

fn denied_p_value(key: &str) -> Option<&'static str> {
    let number: u32 = key.strip_prefix('p')?.parse().ok()?;
    P_VALUES.iter().find(|(first, last, _)| (*first..=*last).contains(&number)).map(|(_, _, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::models;
    use crate::resources::device::Vendor;

    fn errors(vendor: Vendor, model: &str, settings: &[(&str, &str)]) -> Vec<String> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check(&models::find(vendor, Some(model)), &settings).iter().map(ToString::to_string).collect()
    }

    /// A vendor, a model, settings that are allowed and keys that are denied.
    type Case = (Vendor, &'static str, &'static [&'static str], &'static [&'static str]);

    const CASES: &[Case] = &[
        (
            Vendor::Yealink,
            "T54W",
            &["phone_setting.ring_type", "local_time.date_format", "static.network.vlan.internet_port_vid"],
            &[
                "static.auto_provision.server.url",
                "auto_provision.server.password",
                "static.security.user_password",
                "account.1.sip_server.1.address",
                "action_url.setup_completed",
                "features.action_uri_limit_ip",
                "static.managementserver.url",
                "static.firmware.url",
                "linekey.1.type",
                "static.trusted_certificates.url",
                "Static.Auto_Provision.Server.URL",
                "static.syslog.server",
                "wallpaper_upload.url",
            ],
        ),
        (
            Vendor::Poly,
            "VVX450",
            &["up.backlight.timeout", "call.callWaiting.enable", "voice.volume.persist.handset"],
            &[
                "device.prov.serverName",
                "device.auth.localAdminPassword",
                "reg.1.server.1.address",
                "httpd.enabled",
                "apps.push.password",
                "sec.TLS.customCaCert.1",
                "SEC.tls.SIP.strictCertCommonNameValidation",
                "voIpProt.server.1.address",
                "voIpProt.SIP.requestValidation.1.method",
                "mb.main.home",
            ],
        ),
        (
            Vendor::Grandstream,
            "GRP2614",
            &["lcd.backlight.active", "callFeatures.displayVpkPage.enable"],
            &[
                "provisioning.config.serverPath",
                "account.1.sip.server.1.address",
                "users.admin.password",
                "tr069.url",
                "security.ssh",
                "pks.vpk.1.keyMode",
                "phonebook.download.server",
            ],
        ),
        (
            Vendor::Grandstream,
            "HT801",
            &["P334", "P22000"],
            &[
                "P2", "P34", "P47", "P237", "P212", "P1359", "P1361", "P192", "P402", "P1802", "P51599",
                "P4503", "P207",
            ],
        ),
        (
            Vendor::Snom,
            "D785",
            &["ring_sound", "dim_timer", "vol_ringer", "codec_size[1]"],
            &[
                "setting_server",
                "http_client_user",
                "user_host[1]",
                "user_pass[2]",
                "firmware",
                "tr369_enable[1]",
                "action_setup_url",
                "admin_mode_password",
                "vpn_netcatserver",
                "dkey_directory",
            ],
        ),
        (
            Vendor::Fanvil,
            "X4U",
            &["phone.display.LCDTitle", "call.port.1.CallWaiting", "qos.VLANID"],
            &[
                "ap.FlashServerIP",
                "ap.pnp.PNPEnable",
                "sip.line.1.RegisterAddr",
                "web.account.1.Password",
                "cti.DNDOnUrl",
                "fwCheck.UpgradeServer1",
                "dsskey.internal.1.Fkey.1.Value",
                "phone.xmlContact.1.Addr",
            ],
        ),
        (
            Vendor::Cisco,
            "8851",
            &["Back_Light_Timer", "Screen_Saver_Enable", "G722.2_Enable_1_", "Enable_VLAN"],
            &[
                "Profile_Rule",
                "Profile_Rule_B",
                "Upgrade_Rule",
                "Report_Rule",
                "Custom_CA_Rule",
                "Proxy_1_",
                "Password_1_",
                "Admin_Password",
                "GPP_A",
                "Extended_Function_1_",
                "XML_Directory_Service_URL",
                "profile_rule",
            ],
        ),
    ];

    #[test]
    fn harmless_settings_are_allowed_and_those_that_repoint_a_phone_are_denied() {
        for (vendor, model, allowed, denied) in CASES {
            for key in *allowed {
                assert_eq!(errors(*vendor, model, &[(key, "1")]), [""; 0], "{model}");
            }
            for key in *denied {
                let errors = errors(*vendor, model, &[(key, "1")]);
                let refused =
                    errors.iter().any(|error| error.contains(key) && error.contains("is not allowed"));
                assert!(refused, "{model} {key}: {errors:?}");
            }
        }
    }

    #[test]
    fn a_key_that_is_not_spelt_as_its_vendor_spells_keys_is_refused_with_what_is_allowed() {
        let hostile = [
            "", "a", "a b.c", "a.b\nc.d", "a.b = 1", "a.b\" c", "<a>.b", "a..b", ".a.b", "a.b.", "ä.b", "%.x",
        ];
        for (vendor, model, ..) in CASES {
            for key in hostile {
                // One word is a key of Snom and Cisco.
                if key == "a" && matches!(vendor, Vendor::Snom | Vendor::Cisco) {
                    continue;
                }
                // Cisco's element names may have dots anywhere but at their beginning.
                if matches!(key, "a..b" | "a.b.") && *vendor == Vendor::Cisco {
                    continue;
                }
                let errors = errors(*vendor, model, &[(key, "1")]);
                let named =
                    errors.len() == 1 && errors[0].contains("must be") && errors[0].contains("such as");
                assert!(named, "{model} {key:?}: {errors:?}");
            }
        }
        // Each Grandstream model has one style of keys.
        assert!(errors(Vendor::Grandstream, "GRP2614", &[("P334", "1")])[0].contains("must be an item"));
        assert!(errors(Vendor::Grandstream, "HT801", &[("lcd.x", "1")])[0].contains("must be a P-value"));
        assert!(errors(Vendor::Linphone, "", &[("a.b", "1")])[0].contains("left out"));
    }

    #[test]
    fn a_value_is_printable_and_not_too_long() {
        let long = "x".repeat(MAX_VALUE + 1);
        for value in ["a\nb", "a\rb", "a\u{0}", "a\u{2028}b", " a", "a ", "\u{7f}", "%NULL%", &long] {
            let errors = errors(Vendor::Yealink, "T54W", &[("phone_setting.x", value)]);
            assert!(errors.len() == 1 && errors[0].contains("phone_setting.x"), "{value:?}: {errors:?}");
            assert!(value.len() < 4 || !errors[0].contains(value), "the value is not shown");
        }
        for value in ["", "a&<\"'>b", "Grüße #1", &long[1..]] {
            assert_eq!(errors(Vendor::Yealink, "T54W", &[("phone_setting.x", value)]), [""; 0], "{value:?}");
        }
    }

    #[test]
    fn an_element_of_fanvil_is_not_also_a_value() {
        let errors =
            errors(Vendor::Fanvil, "X4U", &[("phone.display", "1"), ("phone.display.LCDTitle", "x")]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("\"phone.display\"") && errors[0].contains("LCDTitle"), "{errors:?}");
    }
}
