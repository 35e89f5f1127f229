//! Extra settings of a Device: keys of the vendor's own configuration, beside those that Centrex writes.
//!
//! A setting must be spelt as the vendor spells keys, so that it can end no line and no element; and it must not be one
//! of those that would point the phone at another server, give it other credentials, or open it to others.
//! Lists of what is denied cannot be complete where the vendor publishes no list: docs/phones.md says so.

mod denied;

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
    if let Some(why) = denied::denied(series, key) {
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
                "dialplan.emergency.server.1.address",
                "phone_setting.emergency.number",
                "static.network.primary_dns",
                "forward.always.target",
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
                "dialplan.routing.server.1.address",
                "dns.cache.A.1.address",
                "voice.qualityMonitoring.collector.server.1.address",
                "feature.E911.HELD.server",
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
                "network.proxy.http",
            ],
        ),
        (
            Vendor::Grandstream,
            "HT801",
            &["P334", "P22000"],
            &[
                "P2", "P34", "P47", "P237", "P212", "P1359", "P1361", "P192", "P402", "P1802", "P51599",
                "P4503", "P207", "P92", "P6767",
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
                "dns_server1",
                "stun_server",
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
                "PRT_Upload_Rule",
                "Voice_Mail_Server_1_",
                "Dial_Plan_1_",
                "Primary_DNS",
                "HTTP_Proxy",
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
