//! What feature codes do.

use super::app::App;
use super::app::Cause;
use super::call::{Actions, Call};
use super::legal::Word;
use crate::plan::FeatureCodeRow;
use crate::resources::feature_code::FeatureAction;

/// Answers a feature code with the digits behind it.
pub fn feature(call: &Call, code: &FeatureCodeRow, digits: &str) -> Actions {
    let tenant = &call.view.plan.tenant;
    let domain = Word::new(tenant.main_domain())?;
    match code.action {
        FeatureAction::EchoTest => Some(vec![App::Answer, App::Echo]),
        FeatureAction::CheckVoicemail => {
            let extension = call.extension?;
            let Some(voicemail) = &extension.voicemail else {
                return Some(vec![App::Hangup(Cause::UnallocatedNumber)]);
            };
            if voicemail.asks_pin && extension.secrets.get("pin").is_none() {
                return Some(vec![App::Hangup(Cause::NormalTemporaryFailure)]);
            }
            // Without a PIN the box opens from its own phones only, which this is.
            let without_pin = !voicemail.asks_pin;
            let id = Word::new(&extension.number)?;
            Some(vec![
                App::Answer,
                App::Sleep { milliseconds: 500 },
                App::VoicemailCheck { domain, id, without_pin },
            ])
        }
        FeatureAction::LeaveVoicemail => match call.view.extension(digits) {
            Some((_, extension)) if extension.voicemail.is_some() => Some(vec![
                App::Answer,
                App::Sleep { milliseconds: 500 },
                App::VoicemailLeave { domain, id: Word::new(&extension.number)? },
            ]),
            _ => Some(vec![App::Hangup(Cause::UnallocatedNumber)]),
        },
        FeatureAction::Park => {
            let lot = Word::new(tenant.id.to_string())?;
            Some(vec![App::Answer, App::ValetPark { lot, place: Word::new(digits)? }])
        }
    }
}
