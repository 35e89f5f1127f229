//! The names of files that phones ask for. A name says which kind of file and which MAC address, and nothing more:
//! whose phone it is, is decided by its credential.

use crate::phones::Mac;
use crate::phones::models::Series;

/// Most bytes of a name.
const MAX_LENGTH: usize = 64;

/// A name of a file that some phone asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName {
    /// The form of the name.
    pub kind: FileKind,
    /// MAC address in the name. Without one, the credential alone says which phone asks.
    pub mac: Option<Mac>,
}

/// The form of a name; `M` is a MAC address, of 12 digits in any case, or with separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `M.cfg`: Yealink, Fanvil, Poly's master file, Cisco.
    MacCfg,
    /// `M.xml`, also `spaM.xml`: Cisco, Snom, softphones.
    MacXml,
    /// `cx-M.cfg`: Poly's configuration, which the master file names.
    PolyConfig,
    /// `M-directory.xml`: Poly's phonebook.
    PolyDirectory,
    /// `cfgM.xml` and `cfgM`: Grandstream.
    Grandstream,
    /// `snomMODEL-M.htm` and `M.htm`: Snom.
    SnomHtm,
    /// `M-phonebook.xml`, `M-phonebook-2.xml`: a page of the phonebook, from 1.
    Phonebook(u16),
    /// `phonebook.xml` and `gs_phonebook.xml`: what Grandstream adds to the address of its phonebook.
    GrandstreamPhonebook,
    /// `linphone.xml`.
    Linphone,
    /// `acrobits.xml`.
    Acrobits,
    /// `microsip.ini`, `M.ini`.
    MicroSip,
}

/// What a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The phone's settings.
    Settings,
    /// Poly's list of files.
    PolyMaster,
    /// A page of the tenant's phonebook, from 1.
    Phonebook(u16),
}

impl FileName {
    /// Reads a name, in any case; `None` for a name that no phone of these vendors asks for, and for files that Centrex
    /// does not make, such as those common to all phones of a vendor.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > MAX_LENGTH || !name.is_ascii() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let alone = match name.as_str() {
            "linphone.xml" => Some(FileKind::Linphone),
            "acrobits.xml" => Some(FileKind::Acrobits),
            "microsip.ini" => Some(FileKind::MicroSip),
            "phonebook.xml" | "gs_phonebook.xml" => Some(FileKind::GrandstreamPhonebook),
            _ => None,
        };
        match alone {
            Some(kind) => Some(Self { kind, mac: None }),
            None => {
                let (kind, mac) = with_mac(&name)?;
                Some(Self { kind, mac: Some(mac) })
            }
        }
    }

    /// What the file has for a phone of a series; `None` for a file that such a phone does not get.
    pub fn document(self, series: Series) -> Option<Document> {
        let document = match (series, self.kind) {
            (Series::Yealink | Series::YealinkDect | Series::Fanvil, FileKind::MacCfg)
            | (Series::Snom, FileKind::MacXml | FileKind::SnomHtm)
            | (Series::CiscoMpp | Series::CiscoSpa, FileKind::MacXml | FileKind::MacCfg)
            | (Series::GrandstreamItems | Series::GrandstreamPValues, FileKind::Grandstream)
            | (Series::Poly, FileKind::PolyConfig)
            | (Series::Linphone, FileKind::Linphone | FileKind::MacXml)
            | (Series::Acrobits, FileKind::Acrobits | FileKind::MacXml)
            | (Series::MicroSip, FileKind::MicroSip) => Document::Settings,
            (Series::Poly, FileKind::MacCfg) => Document::PolyMaster,
            (Series::Poly, FileKind::PolyDirectory)
            | (Series::GrandstreamItems | Series::GrandstreamPValues, FileKind::GrandstreamPhonebook) => {
                Document::Phonebook(1)
            }
            (
                Series::Yealink | Series::YealinkDect | Series::Fanvil | Series::Snom | Series::CiscoMpp,
                FileKind::Phonebook(page),
            ) => Document::Phonebook(page),
            _ => return None,
        };
        Some(document)
    }
}

/// The kind and MAC address of a name in lower case that has one.
fn with_mac(name: &str) -> Option<(FileKind, Mac)> {
    let (stem, extension) = match name.rsplit_once('.') {
        // The dot of a MAC address, and no extension.
        Some((_, rest)) if rest.len() == 4 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()) => (name, ""),
        Some(parts) => parts,
        None => (name, ""),
    };
    match extension {
        "cfg" => match stem.strip_prefix("cx-") {
            Some(mac) => Some((FileKind::PolyConfig, Mac::parse(mac)?)),
            None => Some((FileKind::MacCfg, Mac::parse(stem.strip_prefix("spa").unwrap_or(stem))?)),
        },
        "" => Some((FileKind::Grandstream, Mac::parse(stem.strip_prefix("cfg")?)?)),
        "ini" => Some((FileKind::MicroSip, Mac::parse(stem)?)),
        "htm" => {
            let mac = match stem.strip_prefix("snom") {
                Some(rest) => rest.split_once('-')?.1,
                None => stem,
            };
            Some((FileKind::SnomHtm, Mac::parse(mac)?))
        }
        "xml" => {
            if let Some(mac) = stem.strip_suffix("-directory") {
                return Some((FileKind::PolyDirectory, Mac::parse(mac)?));
            }
            if let Some((mac, page)) = stem.split_once("-phonebook") {
                let page = match page {
                    "" => 1,
                    page => {
                        page.strip_prefix('-').filter(|page| !page.starts_with(['0', '+']))?.parse().ok()?
                    }
                };
                return Some((FileKind::Phonebook(page), Mac::parse(mac)?));
            }
            match stem.strip_prefix("cfg") {
                Some(mac) => Some((FileKind::Grandstream, Mac::parse(mac)?)),
                None => Some((FileKind::MacXml, Mac::parse(stem.strip_prefix("spa").unwrap_or(stem))?)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_as_phones_ask_for_them() {
        for (name, kind) in [
            ("805ec01234ab.cfg", FileKind::MacCfg),
            ("805EC01234AB.CFG", FileKind::MacCfg),
            ("80-5E-C0-12-34-AB.cfg", FileKind::MacCfg),
            ("80:5e:c0:12:34:ab.cfg", FileKind::MacCfg),
            ("cx-805ec01234ab.cfg", FileKind::PolyConfig),
            ("805ec01234ab-directory.xml", FileKind::PolyDirectory),
            ("cfg805ec01234ab.xml", FileKind::Grandstream),
            ("cfg805ec01234ab", FileKind::Grandstream),
            ("snomD785-805EC01234AB.htm", FileKind::SnomHtm),
            ("805EC01234AB.htm", FileKind::SnomHtm),
            ("805ec01234ab.xml", FileKind::MacXml),
            ("spa805ec01234ab.xml", FileKind::MacXml),
            ("805ec01234ab-phonebook.xml", FileKind::Phonebook(1)),
            ("805ec01234ab-phonebook-12.xml", FileKind::Phonebook(12)),
            ("805ec01234ab.ini", FileKind::MicroSip),
        ] {
            let parsed = FileName::parse(name);
            assert_eq!(parsed, Some(FileName { kind, mac: Mac::parse("805ec01234ab") }), "{name}");
        }
        for (name, kind) in [
            ("phonebook.xml", FileKind::GrandstreamPhonebook),
            ("gs_phonebook.xml", FileKind::GrandstreamPhonebook),
            ("linphone.xml", FileKind::Linphone),
            ("Acrobits.xml", FileKind::Acrobits),
            ("microsip.ini", FileKind::MicroSip),
        ] {
            assert_eq!(FileName::parse(name), Some(FileName { kind, mac: None }), "{name}");
        }
    }

    #[test]
    fn files_that_are_not_made_have_no_name() {
        for name in [
            "",
            ".",
            "..",
            "805ec01234ab",
            "805ec01234ab.boot",
            "y000000000000.boot",
            "y000000000108.cfg",
            "000000000000.cfgx",
            "805ec01234ab-app.log",
            "805ec01234ab-phone.cfg",
            "805ec01234ab-web.cfg",
            "805ec01234ab-license.cfg",
            "805ec01234ab-phonebook-0.xml",
            "805ec01234ab-phonebook-99999.xml",
            "805ec01234ab-phonebook-+1.xml",
            "cfggxp2130.xml",
            "cfg.xml",
            "snomD785.htm",
            "spa508G.cfg",
            "SEP805EC01234AB.cnf.xml",
            "{mac}.xml",
            "$mac.cfg",
            "../805ec01234ab.cfg",
            "805ec01234ab.cfg/",
            "805ec01234ab.cfg\0",
            "805ec01234äb.cfg",
            "805ec01234ab.cfg.cfg",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_is_that_of_the_vendor() {
        let document = |name, series| FileName::parse(name).unwrap().document(series);
        assert_eq!(document("805ec01234ab.cfg", Series::Yealink), Some(Document::Settings));
        assert_eq!(document("805ec01234ab.cfg", Series::Poly), Some(Document::PolyMaster));
        assert_eq!(document("cx-805ec01234ab.cfg", Series::Poly), Some(Document::Settings));
        assert_eq!(document("cfg805ec01234ab.xml", Series::Yealink), None);
        assert_eq!(document("805ec01234ab.xml", Series::CiscoMpp), Some(Document::Settings));
        assert_eq!(document("phonebook.xml", Series::GrandstreamItems), Some(Document::Phonebook(1)));
        assert_eq!(document("805ec01234ab-phonebook.xml", Series::CiscoSpa), None);
    }

    proptest! {
        #[test]
        fn no_name_panics(name in any::<String>()) {
            let _ = FileName::parse(&name);
        }

        #[test]
        fn no_name_of_letters_panics(name in "[0-9a-fA-F:.-]{0,20}(cfg|-phonebook|snom|cx-|-directory)?[0-9a-fA-F:.-]{0,20}\\.(cfg|xml|htm|ini|)") {
            let _ = FileName::parse(&name);
        }
    }
}
