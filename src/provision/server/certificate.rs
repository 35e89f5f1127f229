//! The MAC address in a phone's certificate, which its maker put there: the common name (Yealink, Snom, Poly), or the
//! state or province of the subject (Cisco).

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::phones::Mac;

/// The MAC address that a certificate's subject names; `None` for one without, or with two different ones.
pub fn mac(der: &[u8]) -> Option<Mac> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let names = subject.iter_common_name().chain(subject.iter_state_or_province());
    let mut macs = names.filter_map(|name| mac_of_name(name.as_str().ok()?));
    let first = macs.next()?;
    macs.all(|other| other == first).then_some(first)
}

/// The MAC address that a name is. Serial numbers and host names are longer or shorter.
fn mac_of_name(name: &str) -> Option<Mac> {
    Mac::parse(name.trim())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (name, value) in names {
            params.distinguished_name.push(name.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_mac_address_is_where_makers_put_it() {
        let mac = |names: &[_]| mac(&certificate(names)).map(Mac::plain);
        let yealink = [(DnType::CommonName, "001565A1B2C3"), (DnType::OrganizationName, "YEALINK")];
        assert_eq!(mac(&yealink).as_deref(), Some("001565a1b2c3"));
        let cisco = [
            (DnType::OrganizationalUnitName, "CP-8841-3PCC"),
            (DnType::CommonName, "CP-8841-3PCC"),
            (DnType::StateOrProvinceName, "00562b043615"),
        ];
        assert_eq!(mac(&cisco).as_deref(), Some("00562b043615"));
        assert_eq!(mac(&[(DnType::StateOrProvinceName, "ciscogeneric")]), None);
        assert_eq!(mac(&[(DnType::CommonName, "phone.example.com")]), None);
        let two = [(DnType::CommonName, "001565a1b2c3"), (DnType::StateOrProvinceName, "00562b043615")];
        assert_eq!(mac(&two), None);
        assert_eq!(super::mac(b"no certificate"), None);
    }
}
