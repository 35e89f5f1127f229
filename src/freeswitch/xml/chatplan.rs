//! The chatplan: a text message is delivered to a phone of the sender's tenant, or dropped.
//!
//! `sip:api+system…@tenant` would make FreeSWITCH run a command, because the text before the plus sign
//! becomes the protocol (contract §10.1). Profiles disable chat; this is the second safeguard.

use tera::Context;

use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers};
use crate::util::domain::canonical;

/// Answers a chatplan lookup. After a miss FreeSWITCH delivers the message to its addressee, so only SIP
/// messages within one tenant are not found; all others get a document that ends them.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    if is_harmless(form, answers) {
        return Ok(Answer::NotFound);
    }
    // The context `global` serves every context, so that nothing posted is echoed.
    Ok(Answer::Document(answers.templates.render("chatplan/final.xml", &Context::new())?))
}

fn is_harmless(form: &Form<'_>, answers: &Answers) -> bool {
    let (user, host) = (form.text(Field::ToUser), form.text(Field::ToHost));
    let Some(domain) = canonical(&host) else { return false };
    [Field::Proto, Field::ToProto, Field::DestProto].into_iter().all(|field| form.is(field, "sip"))
        && canonical(&form.text(Field::FromHost)).is_some_and(|from| from == domain)
        && form.is(Field::To, &format!("{user}@{host}"))
        && answers.replica.by_domain(&domain).is_some_and(|tenant| tenant.extension(&user).is_some())
}
