//! What a text message does: goes to a phone of its own tenant, or nowhere.
//!
//! `sip:api+system…@tenant` makes FreeSWITCH run a command, since the text before the plus sign
//! becomes the protocol (contract §10.1). Profiles have chat switched off; this is the second bolt.

use tera::Context;

use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers};

/// Answers a chatplan lookup. A miss lets FreeSWITCH deliver the message to where it says, so only
/// SIP messages inside one tenant are missed; everything else ends here.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    if is_harmless(form, answers) {
        return Ok(Answer::NotFound);
    }
    // The context is called `global`, which serves every other: nothing posted is echoed.
    Ok(Answer::Found(answers.templates.render("chatplan/final.xml", &Context::new())?))
}

fn is_harmless(form: &Form<'_>, answers: &Answers) -> bool {
    let (user, domain) = (form.text(Field::ToUser), form.text(Field::ToHost));
    [Field::Proto, Field::ToProto, Field::DestProto].into_iter().all(|field| form.is(field, "sip"))
        && form.is(Field::FromHost, &domain)
        && form.is(Field::To, &format!("{user}@{domain}"))
        && answers.replica.by_domain(&domain).is_some_and(|tenant| tenant.extension(&user).is_some())
}
