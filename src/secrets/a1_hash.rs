//! The hash that a phone's password becomes in a realm: all that FreeSWITCH gets of a password.

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::plan::{DeviceRow, DigestAlgorithm, SecretName, Secrets, TenantPlan};

/// HA1 (RFC 2617 §3.2.2.2): MD5 of user, realm and password, in 32 hexadecimal digits.
pub fn a1_hash(user: &str, realm: &str, password: &str) -> String {
    hex::encode(Md5::digest(format!("{user}:{realm}:{password}")))
}

/// The realm in which phones are asked for their credentials. One for all, because FreeSWITCH would ask in the domain
/// as the phone spells it (sofia_reg.c, `auto_from`), and the hash is that of one spelling.
pub const REALM: &str = "centrex";

/// Hashes the passwords of all SIP users of a plan, for [`REALM`] and for each domain of the tenant: a proxy
/// before the switches may ask in the domain.
pub fn hash_passwords(plan: &mut TenantPlan) {
    let realms: Vec<&str> = plan.tenant.domains.iter().map(String::as_str).chain([REALM]).collect();
    for row in plan.extensions.values_mut() {
        hash_for(&mut row.secrets, &[row.number.as_str()], &realms);
    }
    for row in plan.devices.values_mut() {
        let users: Vec<&str> = row.lines.iter().map(|line| line.user.as_str()).collect();
        hash_for(&mut row.secrets, &users, &realms);
        hash_provisioning(row);
    }
}

/// The hash of a provisioning user and password (A1 of RFC 7616 §3.4.2) in [`REALM`], in hexadecimal digits.
pub fn provisioning_hash(algorithm: DigestAlgorithm, user: &[u8], password: &[u8]) -> String {
    let text = [user, REALM.as_bytes(), password].join(&b':');
    match algorithm {
        DigestAlgorithm::Md5 => hex::encode(Md5::digest(text)),
        DigestAlgorithm::Sha256 => hex::encode(Sha256::digest(text)),
    }
}

/// Hashes a phone's provisioning password, by which the server of its configuration knows it. The digest of the phone's
/// own password, which shows that it changed, has the provisioning password in it: it cannot be guessed from.
fn hash_provisioning(row: &mut DeviceRow) {
    let user = row.provisioning_user.as_bytes();
    let password =
        row.secrets.get(SecretName::ProvisioningPassword).map(|password| password.as_bytes().to_vec());
    let admin = row.secrets.get(SecretName::AdminPassword).zip(password.as_ref());
    let admin =
        admin.map(|(admin, password)| hex::encode(Sha256::digest([password, admin.as_bytes()].join(&0))));
    let hashes = password.iter().flat_map(|password| {
        DigestAlgorithm::ALL.map(|algorithm| (algorithm, provisioning_hash(algorithm, user, password)))
    });
    row.secrets.replace_provisioning_hashes(hashes, admin);
}

fn hash_for(secrets: &mut Secrets, users: &[&str], realms: &[&str]) {
    let password = secrets.get(SecretName::Password).map(str::to_owned);
    let of = |user, password| realms.iter().map(move |realm| (user, *realm, a1_hash(user, realm, password)));
    let hashes = password.iter().flat_map(|password| users.iter().flat_map(move |user| of(*user, password)));
    secrets.replace_a1_hashes(hashes);
}

/// Removes the passwords of all phones: hashes are all that a switch needs.
pub fn forget_passwords(plan: &mut TenantPlan) {
    plan.extensions.values_mut().for_each(|row| row.secrets.remove(SecretName::Password));
    for row in plan.devices.values_mut() {
        let all = [SecretName::Password, SecretName::ProvisioningPassword, SecretName::AdminPassword];
        all.into_iter().for_each(|name| row.secrets.remove(name));
    }
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
