//! A call, and the dialplan answer to it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::app::{self, Action, Cause, ContinueOnFail, DialplanApp, Variable};
use super::decide::{Decision, Refusal, decide};
use super::emergency::{self, EmergencyCall};
use super::explain::{self, End, Tracer};
use super::legal::{DialNumber, Text, Word};
use super::media::MediaRoot;
use super::token::{Caller, Step, sign_call, verify_step};
use super::view::TenantView;
use super::{features, outbound, targets};
use crate::plan::{DeviceRow, ExtensionRow, NumberRow, PlatformPlan, Target, TrunkRow};
use crate::resources::Kind;
use crate::resources::routing_test::EndKind;
use crate::secrets::signing_key::SigningKey;

/// A call to route. The tenant and the caller were determined before, from what the switch authenticated.
pub struct Call<'a> {
    /// The tenant's plan.
    pub view: &'a TenantView,
    /// The platform's rows.
    pub platform: &'a PlatformPlan,
    /// Signs the identity and the destinations in the answer.
    pub key: &'a SigningKey,
    /// The caller on whose behalf the call runs.
    pub caller: Caller,
    /// The caller's row, if the caller is an existing extension ([`TenantView::caller`]).
    pub extension: Option<&'a ExtensionRow>,
    /// The Device that the call is made from, by name: one whose line FreeSWITCH authenticated.
    pub device: Option<(&'a str, &'a DeviceRow)>,
    /// The channel's uuid.
    pub leg: Cow<'a, str>,
    /// Caller id name as received: untrusted text.
    pub caller_name: Cow<'a, str>,
    /// Caller id number as received: untrusted text.
    pub caller_number: Cow<'a, str>,
    /// Whether the caller wants no called party to see name and number.
    pub is_caller_hidden: bool,
    /// The number that the caller called first: the user of To, untrusted text.
    pub called: Cow<'a, str>,
    /// Why the last bridge failed, if one did (`originate_disposition`).
    pub disposition: Cow<'a, str>,
    /// How the last queue ended, if the call was in one (`cc_cause`).
    pub queue_cause: Cow<'a, str>,
    /// The time of the call, for schedules.
    pub now: Timestamp,
    /// Root directory of media files.
    pub media: &'a MediaRoot,
    /// Whether a recording of the leg started before (`centrex_recording` is set).
    pub is_recorded: bool,
    /// Whether the leg was answered before, for example by a menu.
    pub is_answered: bool,
    /// Records why the call goes where it goes.
    pub tracer: Tracer<'a>,
}

/// The rule of an emergency call's answer.
const EMERGENCY: &str = "Emergency";

/// The dialplan answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The rule that decided, such as `Extension.alice`: name of the `<extension>` in the answer.
    pub rule: String,
    /// Actions in order.
    pub actions: Vec<Action>,
    /// The emergency call, if it is one.
    pub emergency: Option<EmergencyCall>,
}

/// Applications of an answer. `None` means that a value was not legal in its place; the call then fails as
/// a whole.
pub(super) type Actions = Option<Vec<DialplanApp>>;

impl<'a> Call<'a> {
    /// Answers a call in the tenant's context: to a dialled number, or to a signed destination that the
    /// dialplan wrote.
    pub fn dialled(&self, destination: &str) -> Answer {
        if self.view.plan.tenant.suspended {
            return self.while_suspended(destination);
        }
        match verify_step(self.key, self.view.plan.tenant.id, destination) {
            Some((Step::To, target)) => self.to(&target, false),
            Some((Step::After, target)) => self.answer(rule(&target), targets::after(self, &target)),
            None => {
                let parked = features::parking_place(self.view, destination);
                let dialled = parked.as_deref().unwrap_or(destination);
                self.decision(decide(self.view, self.platform, &self.caller, dialled, self.tracer))
            }
        }
    }

    /// Answers a call of a suspended tenant: only emergency calls leave.
    fn while_suspended(&self, destination: &str) -> Answer {
        match decide(self.view, self.platform, &self.caller, destination, self.tracer) {
            emergency @ Decision::Emergency { .. } => self.decision(emergency),
            _ => {
                let why = || "it is suspended: only emergency calls leave".to_owned();
                self.tracer.record(|| explain::Step {
                    resource: self.view.tenant_key(),
                    matched: false,
                    why: why(),
                });
                self.decision(Decision::Refused(Refusal::Suspended))
            }
        }
    }

    /// Answers a call from a trunk (`namespace/name`) to the number that its carrier sent.
    pub fn inbound_from_trunk(&self, trunk: &str, row: &TrunkRow, sent: &str) -> Answer {
        let numbers = row.carrier_format().read(sent);
        let answer = numbers.iter().find_map(|number| self.inbound(trunk, number.as_str()));
        answer.unwrap_or_else(|| {
            let why = || format!("no Number of the tenant takes {sent} from it");
            self.tracer.record(|| explain::Step {
                resource: explain::trunk_key(trunk),
                matched: false,
                why: why(),
            });
            self.answer("Unknown".to_owned(), Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]))
        })
    }

    /// Answers a call from a trunk to a public number in E.164 form; `None` when the tenant has no such
    /// Number at this trunk.
    pub fn inbound(&self, trunk: &str, number: &str) -> Option<Answer> {
        let (name, row) = self.view.inbound_number(trunk, number)?;
        let target = self.view.number_target(row, number);
        let why = || format!("it is {number}, and comes in by Trunk {trunk}: {target}");
        self.tracer.record(|| explain::Step {
            resource: self.view.key(Kind::Number, name),
            matched: true,
            why: why(),
        });
        let trunk = self.platform.trunks.get(trunk);
        Some(self.by_number((name, row), number, target, trunk))
    }

    /// Answers a call to a public number that a Number holds.
    fn by_number(
        &self,
        (name, row): (&str, &NumberRow),
        number: &str,
        target: &Target,
        trunk: Option<&TrunkRow>,
    ) -> Answer {
        let mut answer = self.to(target, row.record_calls);
        answer.rule = format!("Number.{name}");
        let mut first = Vec::with_capacity(4);
        let seconds = self.view.plan.tenant.max_call_duration_seconds;
        first.extend(seconds.map(|seconds| DialplanApp::SchedHangup { seconds }));
        // A phone shows a number that it can call back, not the carrier's spelling.
        let caller = trunk.and_then(|trunk| trunk.carrier_format().read_caller(&self.caller_number));
        let shown = match &caller {
            _ if self.is_caller_hidden => Some(Variable::CallerIdNumberHidden),
            Some(caller) => DialNumber::new(caller.as_str()).map(Variable::EffectiveCallerIdNumber),
            // FreeSWITCH has it already, unless the trunk trusts another header.
            None => DialNumber::new(&self.caller_number).map(Variable::EffectiveCallerIdNumber),
        };
        first.extend(shown.map(DialplanApp::Set));
        let caller_name = match &caller {
            _ if self.is_caller_hidden => "Anonymous",
            // Without a name FreeSWITCH takes the number for one.
            Some(caller) if self.caller_name == self.caller_number || self.caller_name.is_empty() => {
                caller.as_str()
            }
            _ => &self.caller_name,
        };
        // Where the trunk trusts another header, FreeSWITCH shows another name than this one.
        let trusts = trunk.is_some_and(|trunk| trunk.trusted_identity.is_some());
        let shown_already = if trusts { "" } else { self.caller_name.as_ref() };
        let shown = shown_outside(row.caller_id_prefix.as_deref(), caller_name, shown_already);
        first.extend(shown.map(|shown| DialplanApp::Set(Variable::EffectiveCallerIdName(shown))));
        first.extend(DialNumber::new(number).map(|number| DialplanApp::Set(Variable::Called(number))));
        answer.actions.splice(0..0, app::actions(&first));
        answer
    }

    fn decision(&self, decision: Decision<'_>) -> Answer {
        match decision {
            Decision::Target(target) => self.to(target, false),
            Decision::Emergency { number } => {
                let emergency = Some(EmergencyCall::new(self, &number));
                Answer { emergency, ..self.answer(EMERGENCY.to_owned(), emergency::call(self, &number)) }
            }
            Decision::Feature { name, code, digits } => {
                self.tracer.record_end(|| End { kind: EndKind::FeatureCode, name: name.to_owned() });
                self.answer(format!("FeatureCode.{name}"), features::feature(self, code, &digits))
            }
            Decision::Out(out) => self.answer(format!("Out.{}", out.rule), outbound::dialled(self, &out)),
            Decision::Refused(refusal) => {
                let cause = match refusal {
                    Refusal::Blocked => Cause::CallRejected,
                    Refusal::TollClass | Refusal::Outside | Refusal::Suspended => Cause::OutgoingCallBarred,
                };
                self.answer(format!("Refused.{refusal:?}"), Some(vec![DialplanApp::Hangup(cause)]))
            }
            Decision::Unknown => {
                self.answer("Unknown".to_owned(), Some(vec![DialplanApp::Hangup(Cause::UnallocatedNumber)]))
            }
        }
    }

    /// Answers with a target of the tenant, after schedules and forwardings. `recorded`: the call came in
    /// by a Number whose calls are recorded.
    fn to(&self, target: &Target, recorded: bool) -> Answer {
        let target = super::decide::resolve_target(self.view, &self.caller, target, self.now, self.tracer);
        self.answer(rule(target), targets::to(self, target, recorded))
    }

    /// Builds the answer: the preamble of every call, then its own applications. If a value was not legal,
    /// the call ends rather than running a part of its actions.
    fn answer(&self, rule: String, actions: Actions) -> Answer {
        let actions = actions.and_then(|actions| {
            if let [DialplanApp::Hangup(cause)] = actions.as_slice() {
                self.tracer.record_end(|| End::rejected(*cause));
                // The call record of a refused call belongs to the tenant too.
                return Some([vec![self.identity()?], actions].concat());
            }
            let mut all = self.preamble(rule == EMERGENCY)?;
            all.extend(actions);
            Some(all)
        });
        let actions = actions.unwrap_or_else(|| {
            self.tracer.record_end(|| End::rejected(Cause::NormalTemporaryFailure));
            vec![DialplanApp::Hangup(Cause::NormalTemporaryFailure)]
        });
        Answer { rule, actions: app::actions(&actions), emergency: None }
    }

    /// Sets the signed identity of the call, for later requests and for its call record.
    fn identity(&self) -> Option<DialplanApp> {
        let token = sign_call(self.key, self.view.plan.tenant.id, &self.caller, &self.leg)?;
        Some(DialplanApp::Set(Variable::Call(token)))
    }

    /// Applications that every routed call begins with: identity, caller id, limit of concurrent calls.
    fn preamble(&self, emergency: bool) -> Actions {
        let tenant = &self.view.plan.tenant;
        let mut actions = Vec::with_capacity(16);
        actions.push(self.identity()?);
        if emergency {
            actions.push(DialplanApp::Set(Variable::Emergency));
        }
        actions.extend([
            DialplanApp::Set(Variable::KeepCustomHeaders),
            DialplanApp::Set(Variable::MediaTimeout),
            DialplanApp::Set(Variable::MediaHoldTimeout),
            DialplanApp::Set(if emergency { Variable::ExportEmergency } else { Variable::ExportVars }),
            DialplanApp::Set(Variable::HangupAfterBridge),
            DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Never)),
            DialplanApp::Set(Variable::TransferRingback),
            DialplanApp::Set(Variable::TimeZone(Word::new(&tenant.time_zone)?)),
        ]);
        if tenant.music_on_hold.is_some() {
            actions.push(DialplanApp::Set(Variable::HoldMusic(Word::new(tenant.id.to_string())?)));
        }
        if let Some(extension) = self.extension {
            // A phone may send any name and number (P-Asserted-Identity, contract §10.2), so both are
            // overwritten.
            let number = DialNumber::new(&extension.number)?;
            let name = Text::or_number(&extension.display_name, &number);
            actions.push(DialplanApp::Set(Variable::EffectiveCallerIdName(name)));
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

/// The name by which an outside caller is shown; `None` if FreeSWITCH shows it already, or nothing of it is legal.
fn shown_outside(prefix: Option<&str>, name: &str, shown_already: &str) -> Option<Text> {
    let name = Text::new(&format!("{} {name}", prefix.unwrap_or_default()));
    (name.as_str() != shown_already && !name.is_empty()).then_some(name)
}

/// The name of the rule for a target, such as `Queue.support`.
fn rule(target: &Target) -> String {
    [target.kind.name(), ".", &target.name].concat()
}
