//! The hash that a phone's password becomes in a realm: all that FreeSWITCH gets of a password.

use md5::{Digest, Md5};

use crate::plan::{SecretName, TenantPlan};

/// HA1 (RFC 2617 §3.2.2.2): MD5 of user, realm and password, in 32 hexadecimal digits.
pub fn a1_hash(user: &str, realm: &str, password: &str) -> String {
    hex::encode(Md5::digest(format!("{user}:{realm}:{password}")))
}

/// The realm in which phones are asked for their credentials. One for all, because FreeSWITCH would ask in the domain
/// as the phone spells it (sofia_reg.c, `auto_from`), and the hash is that of one spelling.
pub const REALM: &str = "centrex";

/// Hashes the passwords of all extensions of a plan, for [`REALM`] and for each domain of the tenant: a proxy
/// before the switches may ask in the domain.
pub fn hash_passwords(plan: &mut TenantPlan) {
    let domains = &plan.tenant.domains;
    for row in plan.extensions.values_mut() {
        let password = row.secrets.get(SecretName::Password).map(str::to_owned);
        let number = &row.number;
        let hashes = password.iter().flat_map(|password| {
            let realms = domains.iter().map(String::as_str).chain([REALM]);
            realms.map(move |realm| (realm, a1_hash(number, realm, password)))
        });
        row.secrets.replace_a1_hashes(hashes);
    }
}

/// Removes the passwords of all extensions: a switch needs their hashes only.
pub fn forget_passwords(plan: &mut TenantPlan) {
    plan.extensions.values_mut().for_each(|row| row.secrets.remove(SecretName::Password));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_rfc() {
        // RFC 2617 §3.5.
        let hash = a1_hash("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(hash, "939e7578ed9e3c518a452acee763bce9");
    }
}
