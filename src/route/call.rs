//! A call, and the actions that answer it.

use crate::resources::Kind;
use std::borrow::Cow;

use jiff::Timestamp;

use super::app::{self, Action, Cause, ContinueOnFail, DialplanApp, Variable};
use super::decide::{Decision, Refusal, decide};
use super::explain::{self, End, Tracer};
use super::legal::{DialNumber, Text, Word};
use super::media::MediaRoot;
use super::token::{Caller, Step, sign_call, verify_step};
use super::view::TenantView;
use super::{digits, emergency, features, outbound, targets};
use crate::plan::{ExtensionRow, NumberRow, PlatformPlan, Target, TrunkRow};
use crate::resources::routing_test::EndKind;
use crate::secrets::signing_key::SigningKey;

/// A call to route: whose it is was found out before, from what the switch vouches for.
pub struct Call<'a> {
    /// The tenant.
    pub view: &'a TenantView,
    /// The platform's rows.
    pub platform: &'a PlatformPlan,
    /// Signs what the answer writes.
    pub key: &'a SigningKey,
    /// On whose behalf the call runs.
    pub caller: Caller,
    /// The caller's row, where it is an extension that there is ([`TenantView::caller`]).
    pub extension: Option<&'a ExtensionRow>,
    /// The channel's uuid.
    pub leg: Cow<'a, str>,
    /// Name the caller sent: foreign text.
    pub caller_name: Cow<'a, str>,
    /// Why the last attempt to ring somebody failed, if one did (`originate_disposition`).
    pub disposition: Cow<'a, str>,
    /// How a queue ended, if the call was in one (`cc_cause`).
    pub queue_cause: Cow<'a, str>,
    /// The time.
    pub now: Timestamp,
    /// Where media files are.
    pub media: &'a MediaRoot,
    /// Whether the leg began to be recorded before (`centrex_recording` is set).
    pub is_recorded: bool,
    /// Whether the leg was answered before, by a menu for example.
    pub is_answered: bool,
    /// Who is told why.
    pub listener: Tracer<'a>,
}

/// What the switch is to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which rule it came from, such as `Extension.alice`: the extension's name in the answer.
    pub rule: String,
    /// Actions in order.
    pub actions: Vec<Action>,
}

/// Actions that are being put together; `None` anywhere means that something was not legal where
/// it should have gone, and the call is not placed at all.
pub(super) type Actions = Option<Vec<DialplanApp>>;

impl<'a> Call<'a> {
    /// Answers a call inside the tenant's context: to a number somebody dialled, or to a
    /// destination our own dialplan wrote.
    pub fn dialled(&self, destination: &str) -> Answer {
        match verify_step(self.key, self.view.plan.tenant.id, destination) {
            Some((Step::To, target)) => self.to(&target, false),
            Some((Step::After, target)) => self.answer(rule(&target), targets::after(self, &target)),
            None => self.decision(decide(self.view, self.platform, &self.caller, destination, self.listener)),
        }
    }

    /// Answers a call that a trunk (`namespace/name`) brought for what its carrier sent as the number.
    pub fn brought(&self, trunk: &str, row: &TrunkRow, sent: &str) -> Answer {
        let number = digits::from_carrier(sent, row.number_format, row.national.as_ref());
        let answer = number.and_then(|number| self.came_in(trunk, &number));
        answer.unwrap_or_else(|| {
            let why = || format!("no Number of the tenant takes {sent} from it");
            self.listener.hears(|| explain::Step {
                resource: explain::trunk_key(trunk),
                matched: false,
                why: why(),
            });
            self.answer("Unknown".to_owned(), Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]))
        })
    }

    /// Answers a call for a public number in E.164 form, when it is one of the tenant's that this
    /// trunk brings.
    pub fn came_in(&self, trunk: &str, number: &str) -> Option<Answer> {
        let (name, row) = self.view.brought_by(trunk, number)?;
        let why = || format!("it is {number}, and comes in by Trunk {trunk}: {}", row.target);
        self.listener.hears(|| explain::Step {
            resource: self.view.key(Kind::Number, name),
            matched: true,
            why: why(),
        });
        Some(self.by_number(name, row))
    }

    fn by_number(&self, name: &str, number: &NumberRow) -> Answer {
        let mut answer = self.to(&number.target, number.record_calls);
        answer.rule = format!("Number.{name}");
        let seconds = self.view.plan.tenant.max_call_duration_seconds;
        let longest = seconds.map(|seconds| DialplanApp::SchedHangup { seconds });
        let shown = number.caller_id_prefix.as_ref().map(|prefix| {
            let shown = Text::new(&format!("{prefix} {}", self.caller_name));
            DialplanApp::Set(Variable::EffectiveCallerIdName(shown))
        });
        answer.actions.splice(0..0, longest.iter().chain(&shown).map(DialplanApp::action));
        answer
    }

    fn decision(&self, decision: Decision<'_>) -> Answer {
        match decision {
            Decision::Target(target) => self.to(target, false),
            Decision::Emergency { number } => {
                self.answer("Emergency".to_owned(), emergency::call(self, &number))
            }
            Decision::Feature { name, code, digits } => {
                self.listener.ends(|| End { kind: EndKind::FeatureCode, name: name.to_owned() });
                self.answer(format!("FeatureCode.{name}"), features::feature(self, code, &digits))
            }
            Decision::Out(out) => self.answer(format!("Out.{}", out.rule), outbound::dialled(self, &out)),
            Decision::Refused(refusal) => {
                let cause = match refusal {
                    Refusal::Blocked => Cause::CallRejected,
                    Refusal::TollClass | Refusal::Outside => Cause::OutgoingCallBarred,
                };
                self.answer(format!("Refused.{refusal:?}"), Some(vec![DialplanApp::Hangup(cause)]))
            }
            Decision::Unknown => {
                self.answer("Unknown".to_owned(), Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]))
            }
        }
    }

    /// Answers with a destination of the tenant, as it is at this time; by a number whose calls are
    /// recorded, or not.
    fn to(&self, target: &Target, recorded: bool) -> Answer {
        let target = super::decide::settle(self.view, target, self.now, self.listener);
        self.answer(rule(target), targets::to(self, target, recorded))
    }

    /// Puts the answer together: what every call begins with, then its own actions. A call for
    /// which something was not legal ends, rather than doing half of what was meant.
    fn answer(&self, rule: String, actions: Actions) -> Answer {
        let actions = actions.and_then(|actions| {
            if let [DialplanApp::Hangup(cause)] = actions.as_slice() {
                self.listener.ends(|| End::rejected(*cause));
                // The record of a call that was refused is the tenant's, too.
                return Some([vec![self.identity()?], actions].concat());
            }
            let mut all = self.preamble(rule == "Emergency")?;
            all.extend(actions);
            Some(all)
        });
        let actions = actions.unwrap_or_else(|| {
            self.listener.ends(|| End::rejected(Cause::NormalTemporaryFailure));
            vec![DialplanApp::Hangup(Cause::NormalTemporaryFailure)]
        });
        Answer { rule, actions: app::actions(&actions) }
    }

    /// On whose behalf the call runs, for what it comes back with and for its record.
    fn identity(&self) -> Option<DialplanApp> {
        let token = sign_call(self.key, self.view.plan.tenant.id, &self.caller, &self.leg)?;
        Some(DialplanApp::Set(Variable::Call(token)))
    }

    /// What every routed call begins with: who it is, what called parties are shown, the limit.
    fn preamble(&self, emergency: bool) -> Actions {
        let tenant = &self.view.plan.tenant;
        let mut actions = Vec::with_capacity(16);
        actions.extend([
            self.identity()?,
            DialplanApp::Set(Variable::KeepCustomHeaders),
            DialplanApp::Set(Variable::MediaTimeout),
            DialplanApp::Set(Variable::MediaHoldTimeout),
            DialplanApp::Set(Variable::ExportVars),
            DialplanApp::Set(Variable::HangupAfterBridge),
            DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Never)),
            DialplanApp::Set(Variable::TransferRingback),
            DialplanApp::Set(Variable::TimeZone(Word::new(&tenant.time_zone)?)),
        ]);
        if tenant.music_on_hold.is_some() {
            actions.push(DialplanApp::Set(Variable::HoldMusic(Word::new(tenant.id.to_string())?)));
        }
        if let Some(extension) = self.extension {
            // A phone may claim any name and number (P-Asserted-Identity, contract §10.2).
            actions
                .push(DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new(&extension.display_name))));
            let number = DialNumber::new(&extension.number)?;
            actions.push(DialplanApp::Set(Variable::EffectiveCallerIdNumber(number)));
        }
        if let Some(most) = tenant.max_concurrent_calls
            && !emergency
        {
            actions.push(DialplanApp::Limit { realm: Word::new(tenant.id.to_string())?, most });
        }
        Some(actions)
    }
}

/// The name of the rule that a target is.
fn rule(target: &Target) -> String {
    [target.kind.name(), ".", &target.name].concat()
}
