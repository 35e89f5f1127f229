//! Dialplan answers to feature codes.

use super::app::Cause;
use super::app::DialplanApp;
use super::call::{Actions, Call};
use super::legal::Word;
use super::names;
use super::view::TenantView;
use crate::plan::FeatureCodeRow;
use crate::plan::SecretName;
use crate::resources::feature_code::FeatureAction;

/// What is dialled for the presence user of a parking place, such as `park+701`: the feature code for Park, of several
/// the first by name, and the place. `None` for other destinations.
pub fn parking_place(view: &TenantView, destination: &str) -> Option<String> {
    let place = destination.strip_prefix(names::PARKING_PRESENCE)?;
    let is_place = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
    let mut codes = view.plan.feature_codes.values();
    let code = codes.find(|code| code.action == FeatureAction::Park).filter(|_| is_place)?;
    Some(format!("{}{place}", code.code))
}

/// Answers a feature code; `digits` are those dialled after it.
pub fn feature(call: &Call, code: &FeatureCodeRow, digits: &str) -> Actions {
    let tenant = &call.view.plan.tenant;
    let domain = Word::new(tenant.main_domain())?;
    match code.action {
        FeatureAction::EchoTest => Some(vec![DialplanApp::Answer, DialplanApp::Echo]),
        FeatureAction::CheckVoicemail => {
            let extension = call.extension?;
            let Some(voicemail) = &extension.voicemail else {
                return Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]);
            };
            if voicemail.asks_pin && extension.secrets.get(SecretName::Pin).is_none() {
                return Some(vec![DialplanApp::Hangup(Cause::NormalTemporaryFailure)]);
            }
            // Without a PIN the box opens only from the extension's own phones, and this caller is one.
            let without_pin = !voicemail.asks_pin;
            let id = Word::new(&extension.number)?;
            Some(vec![
                DialplanApp::Answer,
                DialplanApp::Sleep { milliseconds: 500 },
                DialplanApp::VoicemailCheck { domain, id, without_pin },
            ])
        }
        FeatureAction::LeaveVoicemail => match call.view.extension(digits) {
            Some((_, extension)) if extension.voicemail.is_some() => Some(vec![
                DialplanApp::Answer,
                DialplanApp::Sleep { milliseconds: 500 },
                DialplanApp::VoicemailLeave { domain, id: Word::new(&extension.number)? },
            ]),
            _ => Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]),
        },
        FeatureAction::Park => {
            let lot = Word::new(tenant.id.to_string())?;
            Some(vec![DialplanApp::Answer, DialplanApp::ValetPark { lot, place: Word::new(digits)? }])
        }
    }
}
