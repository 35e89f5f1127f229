//! The settings that a Device may not have, each with the reason.

use crate::phones::models::Series;

const SERVER: &str = "Centrex decides where the phone reads its configuration and firmware";
const ACCOUNT: &str = "Centrex writes the lines with their servers and credentials";
const KEYS: &str = "the Device's keys decide it";
const LOGIN: &str = "the Device's admin password decides who may log in";
const REMOTE: &str = "it would let others manage the phone";
const TRUST: &str = "it would change which certificates the phone trusts or shows";
const CALLS: &str = "Centrex decides where calls go";
const REPORT: &str = "it would make the phone send to or ask another server";

/// What a setting would change that no extra setting may change.
pub(super) fn denied(series: Series, key: &str) -> Option<&'static str> {
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
        ("phone_setting.vq", REPORT),
        ("dialplan.", CALLS),
        ("forward.", CALLS),
        ("network.dns", REPORT),
        ("network.primary_dns", REPORT),
        ("network.secondary_dns", REPORT),
        ("network.static_dns", REPORT),
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
        ("emergency", CALLS),
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
        ("dialplan.routing", CALLS),
        ("divert.", CALLS),
        ("dns.", REPORT),
        ("feature.e911", CALLS),
        ("tcpipapp.ice", REPORT),
        ("voice.qualitymonitoring", REPORT),
        ("xmpp.", REPORT),
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
    &[
        ("password", LOGIN),
        ("userid", ACCOUNT),
        ("logupload", REPORT),
        ("tr069", REMOTE),
        ("cafile", TRUST),
        ("emergency", CALLS),
    ],
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
        ("network.proxy", REPORT),
        ("network.dns", REPORT),
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
        ("emergency", CALLS),
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
        ("dns_server", REPORT),
        ("stun_", REPORT),
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
        ("emergency", CALLS),
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
        ("emergency", CALLS),
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
        ("prt_", REPORT),
        ("voice_mail_server", CALLS),
        ("voice_quality_report", REPORT),
        ("dial_plan", CALLS),
        ("cfwd_", CALLS),
        ("http_proxy", REPORT),
        ("primary_dns", REPORT),
        ("secondary_dns", REPORT),
        ("primary_ntp", SERVER),
        ("secondary_ntp", SERVER),
        ("stun_", REPORT),
    ],
    &[
        ("password", LOGIN),
        ("passwd", LOGIN),
        ("_url", REPORT),
        ("certificate", TRUST),
        ("_ca_", TRUST),
        ("emergency", CALLS),
    ],
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
    (92, 95, REPORT),     // DNS servers
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
    (6767, 6769, SERVER),  // firmware protocol, user, password
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
