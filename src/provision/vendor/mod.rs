//! What is derived for one vendor: the spelling of codecs, keys, time zones and languages, and text without what that
//! vendor's phones would take for syntax inside a value.

use serde::Serialize;
use tera::Context;

use super::secrets::PhoneSecrets;
use super::settings::Setting;
use crate::phones::Phone;
use crate::phones::models::Series;

pub mod cisco;
pub mod fanvil;
pub mod grandstream;
pub mod poly;
pub mod snom;
pub mod softphones;
pub mod yealink;

/// The template of a phone's settings, and its values.
///
/// # Errors
/// Never: every value can be written as a template's.
pub fn context(
    phone: &Phone,
    secrets: &PhoneSecrets,
    settings: &[Setting],
) -> Result<(&'static str, Context), tera::Error> {
    let of = |template, values| Ok((template, values));
    let with = |values: &dyn erased::Values| values.context(phone, secrets, settings);
    match phone.model.series {
        Series::Yealink | Series::YealinkDect => of("yealink/phone.cfg", with(&yealink::values(phone))?),
        Series::Poly => of("poly/phone.xml", with(&poly::values(phone))?),
        Series::GrandstreamItems => of("grandstream/items.xml", with(&grandstream::items(phone))?),
        Series::GrandstreamPValues => {
            of("grandstream/p-values.xml", with(&grandstream::p_values(phone, secrets))?)
        }
        Series::Snom => of("snom/settings.xml", with(&snom::values(phone))?),
        Series::Fanvil => of("fanvil/sysconf.xml", with(&fanvil::values(phone))?),
        Series::CiscoMpp | Series::CiscoSpa | Series::CiscoEnterprise => {
            of("cisco/flat-profile.xml", with(&cisco::values(phone, secrets))?)
        }
        Series::Linphone => of("linphone/config.xml", with(&softphones::linphone(phone, secrets))?),
        Series::Acrobits => of("acrobits/account.xml", with(&softphones::plain(phone))?),
        Series::MicroSip => of("microsip/microsip.ini", with(&softphones::plain(phone))?),
    }
}

/// Values of any vendor as a context.
mod erased {
    use super::{Context, Phone, PhoneSecrets, Serialize, Setting};

    /// What all templates of settings have, beside a vendor's own values.
    #[derive(Serialize)]
    struct Common<'a, V> {
        phone: &'a Phone,
        /// MAC address of 12 digits.
        mac: String,
        /// The same in upper case.
        mac_upper: String,
        /// The address of the configuration without `https://`.
        url_without_scheme: &'a str,
        /// Whether the address has TLS.
        is_https: bool,
        sip_password: &'a str,
        provisioning_password: &'a str,
        admin_password: Option<&'a str>,
        settings: &'a [Setting],
        #[serde(flatten)]
        values: &'a V,
    }

    pub trait Values {
        fn context(
            &self,
            phone: &Phone,
            secrets: &PhoneSecrets,
            settings: &[Setting],
        ) -> Result<Context, tera::Error>;
    }

    impl<V: Serialize> Values for V {
        fn context(
            &self,
            phone: &Phone,
            secrets: &PhoneSecrets,
            settings: &[Setting],
        ) -> Result<Context, tera::Error> {
            let url = phone.provisioning.url.as_str();
            let without = url.split_once("://").map_or(url, |(_, rest)| rest);
            Context::from_serialize(&Common {
                phone,
                mac: phone.mac.plain(),
                mac_upper: phone.mac.upper(),
                url_without_scheme: without,
                is_https: url.starts_with("https://"),
                sip_password: secrets.sip_password.as_deref().unwrap_or_default(),
                provisioning_password: secrets.provisioning_password.as_deref().unwrap_or_default(),
                admin_password: secrets.admin_password.as_deref(),
                settings,
                values: self,
            })
        }
    }
}

/// A line of a phone for a template, with text that the vendor's phones take as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// Position, from 1.
    pub n: usize,
    /// Whether there is a line.
    pub on: bool,
    /// SIP user.
    pub user: String,
    /// Internal number.
    pub number: String,
    /// Name of the extension.
    pub display_name: String,
    /// Text beside the line.
    pub label: String,
    /// What is dialled for the voicemail box; empty without.
    pub voicemail: String,
    /// Whether there is a voicemail box.
    pub mwi: bool,
}

/// The lines of a phone, as many as the model has. `clean` makes text legal, and has a number in place of text of which
/// nothing is left.
pub fn accounts(phone: &Phone, clean: fn(&str, &str) -> String) -> Vec<Account> {
    let account = |(index, line): (usize, &Option<crate::phones::phone::Line>)| match line {
        None => Account { n: index + 1, ..Account::default() },
        Some(line) => Account {
            n: index + 1,
            on: true,
            user: line.user.clone(),
            number: line.number.clone(),
            display_name: clean(&line.display_name, &line.number),
            label: clean(&line.label, &line.number),
            voicemail: line.voicemail.clone().unwrap_or_default(),
            mwi: line.has_voicemail,
        },
    };
    phone.lines.iter().enumerate().map(account).collect()
}

/// A number, or the user of a parking place, of the characters that mean nothing in any vendor's syntax. Compile admits
/// no other: this is the last lock.
pub fn dialled(number: &str) -> String {
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '*' | '#' | '.' | '_' | '-');
    number.chars().filter(is_legal).collect()
}

/// The emergency numbers that are sent as soon as they are complete.
pub fn at_once(phone: &Phone) -> Vec<String> {
    phone.dial_plan.at_once.iter().map(|number| dialled(number)).collect()
}

/// Text as it is.
pub fn plain(text: &str, _: &str) -> String {
    text.to_owned()
}

/// A codec for a template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Codec {
    /// The vendor's name.
    pub name: &'static str,
    /// Rank from 1; 0 for a codec that is off.
    pub rank: usize,
}

/// All codecs of a vendor, with their ranks. `names` has FreeSWITCH's name and the vendor's.
pub fn codecs(phone: &Phone, names: &[(&str, &'static str)]) -> Vec<Codec> {
    let known: Vec<&str> = in_order(phone, names);
    let rank = |name| known.iter().position(|other| *other == name).map_or(0, |at| at + 1);
    names.iter().map(|(_, name)| Codec { name, rank: rank(*name) }).collect()
}

/// The codecs of a phone in order, by the vendor's names; those that the vendor does not have are left out.
pub fn in_order(phone: &Phone, names: &[(&str, &'static str)]) -> Vec<&'static str> {
    let name =
        |codec: &String| names.iter().find(|(of, _)| of.eq_ignore_ascii_case(codec)).map(|(_, name)| *name);
    phone.codecs.iter().filter_map(name).collect()
}

/// The entry of a table for a key, or the other value.
pub fn pick<T: Copy>(table: &[(&str, T)], key: &str, otherwise: T) -> T {
    table.iter().find(|(of, _)| *of == key).map_or(otherwise, |(_, value)| *value)
}

/// The vendor's name of the phone's language: by language and region, then by language.
pub fn language(phone: &Phone, table: &[(&str, &'static str)], otherwise: &'static str) -> &'static str {
    let language = phone.language.as_str();
    let alone = language.split('-').next().unwrap_or_default();
    pick(table, language, pick(table, alone, otherwise))
}
