//! Traces one call through the code that answers switches.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::state::{State, names};
use super::{TraceArgs, TraceError};
use crate::freeswitch::xml::templates::Templates;
use crate::freeswitch::xml::{NOT_FOUND, render};
use crate::plan::{DeviceRow, Service, Target};
use crate::resources::common::DestinationKind;
use crate::resources::routing_test::EndKind;
use crate::route::explain::{End, Explanation, Step};
use crate::route::media::MediaRoot;
use crate::route::token;
use crate::route::token::{sign_step, verify_step};
use crate::route::{Answer, Call, Caller, SipUser, TenantView, Tracer};
use crate::secrets::signing_key::SigningKey;

/// Identity of the traced leg.
const LEG: &str = "00000000-0000-0000-0000-000000000000";

/// The route of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The rules that were tried, in order.
    pub steps: Vec<Step>,
    /// Where the call ends.
    pub end: Option<End>,
    /// The document that FreeSWITCH gets.
    pub xml: String,
    /// How the call continues when it is not answered there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Then>,
}

impl Trace {
    /// True if the call is placed, not refused.
    pub fn is_placed(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.kind != EndKind::Rejected)
    }
}

/// How an unanswered call continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Then {
    /// The case, in words.
    pub when: &'static str,
    /// The route of the call in this case.
    pub trace: Trace,
}

/// How a call returns to the dialplan: in words, `originate_disposition`, `cc_cause`.
type Return = (&'static str, &'static str, &'static str);

/// The state that all lookups of a trace share.
struct Query<'a> {
    state: &'a State,
    view: &'a TenantView,
    key: &'a SigningKey,
    templates: &'a Templates,
    media: MediaRoot,
    caller: Caller,
    device: Option<(&'a str, &'a DeviceRow)>,
    /// The number that the caller dialled first.
    called: String,
    now: Timestamp,
    /// Returns and destinations that were traced already: each is traced once.
    followed: BTreeSet<(&'static str, Target)>,
}

/// Traces a call under one state.
///
/// # Errors
/// When the caller or the trunk does not exist, or a template fails.
pub fn trace(
    args: &TraceArgs,
    state: &State,
    now: Timestamp,
    templates: &Templates,
) -> Result<Trace, TraceError> {
    let view = TenantView::new(state.plan.clone());
    let phone = match &args.trunk {
        Some(_) => None,
        None => Some(phone(&view, &args.from)?),
    };
    let caller = phone.map_or(Caller::Outside, |phone| Caller::Extension(phone.extension.to_owned()));
    // A suspended tenant gets no calls from outside, and its phones may make emergency calls at most.
    let served = match caller {
        Caller::Extension(_) => view.plan.tenant.service() != Service::None,
        Caller::Outside => view.plan.tenant.service() == Service::Full,
    };
    if !served {
        let why = "it is suspended, and this call is not served".to_owned();
        let steps = vec![Step { resource: view.tenant_key(), matched: false, why }];
        return Ok(Trace { steps, end: None, xml: text(NOT_FOUND), then: Vec::new() });
    }
    let trunk = match &args.trunk {
        Some(name) => {
            let known = || names(state.platform.trunks.keys().cloned());
            let row = state.platform.trunks.get(name);
            let row = row.ok_or_else(|| TraceError::UnknownTrunk { trunk: name.clone(), known: known() })?;
            Some((name.as_str(), row))
        }
        None => None,
    };
    // A fixed key, no secret: the XML can be shown to others, and is equal for equal states. It signs
    // transfers and names gateways.
    let key = SigningKey::dummy();
    let followed = BTreeSet::new();
    let mut query = Query {
        state,
        view: &view,
        key: &key,
        templates,
        media: MediaRoot::new(&args.media_dir)?,
        caller,
        device: phone.and_then(|phone| phone.device),
        called: args.to.clone(),
        now,
        followed,
    };
    query.lookup(("", "", ""), |call| match trunk {
        Some((name, row)) => call.inbound_from_trunk(name, row, &args.to),
        None => call.dialled(&args.to),
    })
}

/// The phone of a caller: an extension's number or name, or the SIP user of a Device.
fn phone<'a>(view: &'a TenantView, from: &str) -> Result<SipUser<'a>, TraceError> {
    let by_name = || {
        let (extension, row) = view.plan.extensions.get_key_value(from)?;
        Some(SipUser { extension, row, device: None })
    };
    let known = || view.plan.extensions.iter().map(|(name, row)| format!("{} ({name})", row.number));
    let unknown = || TraceError::UnknownCaller { from: from.to_owned(), known: names(known()) };
    view.sip_user(from).or_else(by_name).ok_or_else(unknown)
}

impl Query<'_> {
    /// Makes one dialplan lookup, and those that follow when the call is not answered.
    fn lookup(
        &mut self,
        (_, disposition, queue_cause): Return,
        dial: impl Fn(&Call<'_>) -> Answer,
    ) -> Result<Trace, TraceError> {
        let notes = RefCell::new(Explanation::default());
        let answer = dial(&Call {
            view: self.view,
            platform: &self.state.platform,
            key: self.key,
            caller: self.caller.clone(),
            extension: self.view.caller(&self.caller),
            device: self.device,
            leg: Cow::Borrowed(LEG),
            caller_name: Cow::Borrowed(""),
            caller_number: Cow::Borrowed(""),
            is_caller_hidden: false,
            called: Cow::Borrowed(&self.called),
            disposition: Cow::Borrowed(disposition),
            queue_cause: Cow::Borrowed(queue_cause),
            now: self.now,
            media: &self.media,
            is_recorded: false,
            is_answered: false,
            tracer: Tracer::new(&notes),
        });
        let Explanation { steps, end } = notes.into_inner();
        let xml = render::dialplan(self.templates, self.view.context(), &answer.rule, &answer.actions)?;
        let mut then = self.follow(&answer)?;
        if let Some(End { kind: EndKind::IvrMenu, name }) = &end {
            then.extend(self.failed_entries(name)?);
        }
        Ok(Trace { steps, end, xml: text(&xml), then })
    }

    /// Traces the cases in which a menu itself transfers a call that chose nothing.
    fn failed_entries(&mut self, menu: &str) -> Result<Vec<Then>, TraceError> {
        let view = self.view;
        let Some(menu) = view.plan.ivr_menus.get(menu) else { return Ok(Vec::new()) };
        let cases =
            [("nothing was pressed", &menu.no_input), ("what was pressed is no option", &menu.invalid_input)];
        let mut then = Vec::new();
        for (when, target) in cases {
            let Some(target) = target else { continue };
            let Some(step) = sign_step(self.key, view.plan.tenant.id, token::Step::To, target) else {
                continue;
            };
            if self.followed.insert((when, target.clone())) {
                then.push(Then {
                    when,
                    trace: self.lookup(("", "", ""), |call| call.dialled(step.as_str()))?,
                });
            }
        }
        Ok(then)
    }

    /// Traces the cases in which the dialplan transfers a call that was not answered.
    fn follow(&mut self, answer: &Answer) -> Result<Vec<Then>, TraceError> {
        let mut then = Vec::new();
        let transfers = answer.actions.iter().filter(|action| action.application == "transfer");
        for destination in transfers.filter_map(|action| action.data.split(' ').next()) {
            let Some((step, target)) = verify_step(self.key, self.view.plan.tenant.id, destination) else {
                continue;
            };
            for case in returns(step, target.kind) {
                if self.followed.insert((case.0, target.clone())) {
                    let trace = self.lookup(*case, |call| call.dialled(destination))?;
                    then.push(Then { when: case.0, trace });
                }
            }
        }
        Ok(then)
    }
}

/// The cases in which a call returns.
fn returns(step: token::Step, kind: DestinationKind) -> &'static [Return] {
    match (step, kind) {
        (token::Step::To, _) => &[("the call is not answered", "", "")],
        (token::Step::After, DestinationKind::Queue) => &[("the caller waited too long", "", "timeout")],
        (token::Step::After, _) => &[
            ("busy", "USER_BUSY", ""),
            ("no answer", "NO_ANSWER", ""),
            ("no phone is registered", "USER_NOT_REGISTERED", ""),
        ],
    }
}

fn text(document: &[u8]) -> String {
    String::from_utf8_lossy(document).into_owned()
}
