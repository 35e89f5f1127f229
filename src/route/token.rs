//! Signatures by which the dialplan recognises its own calls and destinations.
//!
//! A routed call carries a signed variable that names its caller, and destinations that an answer writes
//! are signed too. A phone can forge neither, so a transferred leg keeps the rights of its original call,
//! and no caller can dial an internal step of a plan.

use uuid::Uuid;

use super::legal::Word;
use crate::plan::Target;
use crate::resources::common::DestinationKind;
use crate::secrets::signing_key::SigningKey;

/// The caller on whose behalf a call runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An extension, by name.
    Extension(String),
    /// A caller from outside, who came in by a public number.
    Outside,
}

/// Signs the variable of a call: `tenant/caller/uuid of its first leg/signature`. `None` when a part is not
/// legal in a [`Word`].
pub fn sign_call(key: &SigningKey, tenant: Uuid, caller: &Caller, leg: &str) -> Option<Word> {
    let (kind, name) = match caller {
        Caller::Extension(name) => ("extension.", name.as_str()),
        Caller::Outside => ("outside", ""),
    };
    let caller = [kind, name].concat();
    let signature = key.sign("call", &[tenant.as_bytes(), caller.as_bytes(), leg.as_bytes()]);
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let tenant = tenant.hyphenated().encode_lower(&mut text);
    Word::new([tenant, "/", &caller, "/", leg, "/", &signature].concat())
}

/// Verifies the signed variable of a call; `None` when the signature is not valid.
pub fn verify_call(key: &SigningKey, token: &str) -> Option<(Uuid, Caller)> {
    let mut parts = token.split('/');
    let (tenant, caller, leg, signature) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let tenant = Uuid::try_parse(tenant).ok()?;
    let signed = [tenant.as_bytes(), caller.as_bytes(), leg.as_bytes()];
    if parts.next().is_some() || !key.verify("call", &signed, signature) {
        return None;
    }
    let who = match caller.strip_prefix("extension.") {
        Some(name) => Caller::Extension(name.to_owned()),
        None if caller == "outside" => Caller::Outside,
        None => return None,
    };
    Some((tenant, who))
}

/// What a call does when it returns to the dialplan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connects to the target.
    To,
    /// Continues after the target did not take the call.
    After,
}

/// Prefix of signed destinations.
const PREFIX: &str = "cx-";

/// Signs a destination: `cx-signature-step-kind-name`.
pub fn sign_step(key: &SigningKey, tenant: Uuid, step: Step, target: &Target) -> Option<Word> {
    let (step, kind) = (step_name(step), kind_name(target.kind));
    let signature = key.sign("step", &signed_step(&tenant, step, kind, &target.name));
    Word::new([PREFIX, &signature, "-", step, "-", kind, "-", &target.name].concat())
}

/// Verifies a signed destination; `None` when the signature is not valid for this tenant.
pub fn verify_step(key: &SigningKey, tenant: Uuid, destination: &str) -> Option<(Step, Target)> {
    let mut parts = destination.strip_prefix(PREFIX)?.splitn(4, '-');
    let (signature, step, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if !key.verify("step", &signed_step(&tenant, step, kind, name), signature) {
        return None;
    }
    let step = [Step::To, Step::After].into_iter().find(|candidate| step_name(*candidate) == step)?;
    let kind = KINDS.into_iter().find(|candidate| kind_name(*candidate) == kind)?;
    Some((step, Target { kind, name: name.to_owned() }))
}

fn signed_step<'a>(tenant: &'a Uuid, step: &'a str, kind: &'a str, name: &'a str) -> [&'a [u8]; 4] {
    [tenant.as_bytes(), step.as_bytes(), kind.as_bytes(), name.as_bytes()]
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::To => "to",
        Step::After => "after",
    }
}

const KINDS: [DestinationKind; 8] = [
    DestinationKind::Extension,
    DestinationKind::RingGroup,
    DestinationKind::Queue,
    DestinationKind::IvrMenu,
    DestinationKind::Conference,
    DestinationKind::Schedule,
    DestinationKind::Voicemail,
    DestinationKind::ExternalNumber,
];

fn kind_name(kind: DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Extension => "extension",
        DestinationKind::RingGroup => "ringgroup",
        DestinationKind::Queue => "queue",
        DestinationKind::IvrMenu => "ivrmenu",
        DestinationKind::Conference => "conference",
        DestinationKind::Schedule => "schedule",
        DestinationKind::Voicemail => "voicemail",
        DestinationKind::ExternalNumber => "external",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::new([7; 32])
    }

    #[test]
    fn a_signed_call_is_recognised_and_a_changed_one_is_not() {
        let tenant = Uuid::from_u128(1);
        for caller in [Caller::Extension("alice.b-c".into()), Caller::Outside] {
            let token = sign_call(&key(), tenant, &caller, "leg-1").unwrap();
            assert_eq!(verify_call(&key(), token.as_str()), Some((tenant, caller)));
            assert_eq!(verify_call(&SigningKey::new([8; 32]), token.as_str()), None);
        }
        let token = sign_call(&key(), tenant, &Caller::Outside, "leg-1").unwrap();
        let forged = token.as_str().replace("outside", "extension.alice");
        assert_eq!(verify_call(&key(), &forged), None);
        assert_eq!(verify_call(&key(), ""), None);
        assert_eq!(verify_call(&key(), &format!("{token}/x")), None);
    }

    #[test]
    fn a_step_belongs_to_one_tenant_and_one_target() {
        let tenant = Uuid::from_u128(1);
        for kind in KINDS {
            let target = Target { kind, name: "night-shift.2".into() };
            let word = sign_step(&key(), tenant, Step::After, &target).unwrap();
            assert_eq!(verify_step(&key(), tenant, word.as_str()), Some((Step::After, target.clone())));
            assert_eq!(verify_step(&key(), Uuid::from_u128(2), word.as_str()), None);
            assert_eq!(verify_step(&key(), tenant, &word.as_str().replace("night", "other")), None);
            assert_eq!(verify_step(&key(), tenant, &word.as_str().replace("-after-", "-to-")), None);
        }
        assert_eq!(verify_step(&key(), tenant, "cx-00-to-extension-alice"), None);
    }
}
