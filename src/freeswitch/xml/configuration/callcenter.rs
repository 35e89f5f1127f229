//! callcenter.conf: queues, agents and tiers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::plan::QueueRow;
use crate::resources::queue::QueueStrategy;
use crate::route::dial_string::{DialString, Endpoint, Leg, LegVariable, Order};
use crate::route::legal::Word;
use crate::route::media::MediaRoot;
use crate::route::{TenantView, names};

/// Values of `configuration/callcenter.xml`.
#[derive(Default, Serialize)]
pub(in crate::freeswitch) struct CallCenter {
    pub queues: Vec<Queue>,
    pub agents: Vec<Agent>,
    pub tiers: Vec<Tier>,
}

/// A queue.
#[derive(Serialize)]
pub(in crate::freeswitch) struct Queue {
    pub name: String,
    pub strategy: &'static str,
    /// Empty for the channel's own hold music.
    pub music: String,
    /// Longest wait in seconds.
    pub max_wait: i32,
    /// Seconds for which the queue must have had no agent before a caller leaves it; 0 for never.
    pub no_agent_wait: i32,
    /// Seconds that a caller must have waited beyond these; 0 for any caller.
    pub no_agent_grace: i32,
    /// Whether agents of later levels are called later.
    pub tiered: bool,
}

/// An agent: one extension's phones, for all its queues.
#[derive(Serialize)]
pub(in crate::freeswitch) struct Agent {
    pub name: String,
    pub contact: String,
    /// Seconds without calls after a call.
    pub wrap_up: i32,
}

/// An agent's level and position in a queue.
#[derive(Serialize)]
pub(in crate::freeswitch) struct Tier {
    pub agent: String,
    pub queue: String,
    pub level: i32,
    pub position: i32,
}

/// Answers with the named queue, its agents and tiers, or with those of all queues: FreeSWITCH reloads agents
/// and tiers without naming a queue.
pub(super) fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let mut values = CallCenter::default();
    match form.get(Field::CcQueue) {
        Some(name) => {
            let Some((queue, tenant)) = names::parse_queue(&name) else { return Ok(Answer::NotFound) };
            let Some(tenant) = answers.replica.by_id(tenant) else { return Ok(Answer::NotFound) };
            if !tenant.plan.queues.contains_key(queue) {
                return Ok(Answer::NotFound);
            }
            values.add(&tenant, &answers.media, |name| name == queue);
        }
        None => {
            for tenant in answers.replica.served() {
                values.add(&tenant, &answers.media, |_| true);
            }
        }
    }
    Ok(render::document(&answers.templates, "configuration/callcenter.xml", &values)?)
}

impl CallCenter {
    /// Adds the wanted queues of a tenant, with their agents and tiers.
    pub(in crate::freeswitch) fn add(
        &mut self,
        tenant: &TenantView,
        media: &MediaRoot,
        wanted: impl Fn(&str) -> bool,
    ) {
        let id = tenant.plan.tenant.id;
        let mut numbers = BTreeMap::new();
        for (name, row) in tenant.plan.queues.iter().filter(|(name, _)| wanted(name)) {
            let queue = names::queue(id, name);
            for agent in &row.agents {
                let Some(extension) = tenant.plan.extensions.get(&agent.extension) else { continue };
                numbers.insert(extension.number.as_str(), agent.extension.as_str());
                self.tiers.push(Tier {
                    agent: names::agent(id, &extension.number),
                    queue: queue.clone(),
                    level: agent.level,
                    position: agent.position,
                });
            }
            let (no_agent_wait, no_agent_grace) = without_agents(row);
            self.queues.push(Queue {
                name: queue,
                strategy: strategy(row.strategy),
                music: music(tenant, row, media),
                max_wait: row.max_wait_seconds,
                no_agent_wait,
                no_agent_grace,
                tiered: row.agents.iter().any(|agent| agent.level > 1),
            });
        }
        self.agents
            .extend(numbers.into_iter().filter_map(|(number, extension)| agent(tenant, number, extension)));
    }
}

/// An agent of all the tenant's queues. mod_callcenter has one ring time and one wrap-up time per agent, so
/// the longest of its queues count. `None` if the agent cannot be called.
fn agent(tenant: &TenantView, number: &str, extension: &str) -> Option<Agent> {
    let row = &tenant.plan.tenant;
    let serves = |queue: &&QueueRow| queue.agents.iter().any(|agent| agent.extension == extension);
    let queues = || tenant.plan.queues.values().filter(serves);
    let ring = queues().map(|queue| queue.ring_seconds).max()?;
    let leg = Leg {
        variables: vec![(LegVariable::LegTimeout, Word::from(ring))],
        endpoint: Endpoint::User { user: Word::new(number)?, domain: Word::new(row.main_domain())? },
    };
    Some(Agent {
        name: names::agent(row.id, number),
        contact: DialString { variables: Vec::new(), legs: vec![leg], order: Order::Together }.to_string(),
        wrap_up: queues().map(|queue| queue.wrap_up_seconds).max()?,
    })
}

fn music(tenant: &TenantView, queue: &QueueRow, media: &MediaRoot) -> String {
    let row = &tenant.plan.tenant;
    let own = queue.music_on_hold.as_ref().and_then(|file| media.file(row.id, file));
    let of_tenant =
        || row.music_on_hold.as_ref().map(|_| format!("local_stream://{}", names::music_stream(row.id)));
    own.or_else(of_tenant).unwrap_or_default()
}

/// How long the queue must have had no agent, and for how much longer a caller must have waited, before the
/// caller leaves it. mod_callcenter knows no wait of 0, and ignores the second where it is 0 (`max-wait-time-with-no-agent`
/// and `…-time-reached`; mod_callcenter.c, `cc_member_thread_run`). An agent who is busy, or whose phone is
/// not registered, is an agent.
fn without_agents(queue: &QueueRow) -> (i32, i32) {
    match queue.no_agent_wait_seconds {
        // At the end of each round, mod_callcenter finds no agent for a moment (`members_callback`), and
        // callers would leave.
        _ if queue.strategy == QueueStrategy::TopDown && !queue.agents.is_empty() => (0, 0),
        ..=1 => (1, 0),
        seconds => (seconds - 1, 1),
    }
}

/// The strategy as mod_callcenter names it.
fn strategy(strategy: QueueStrategy) -> &'static str {
    match strategy {
        QueueStrategy::RingAll => "ring-all",
        QueueStrategy::LongestIdleAgent => "longest-idle-agent",
        QueueStrategy::RoundRobin => "round-robin",
        QueueStrategy::TopDown => "top-down",
        QueueStrategy::AgentWithLeastTalkTime => "agent-with-least-talk-time",
        QueueStrategy::AgentWithFewestCalls => "agent-with-fewest-calls",
        QueueStrategy::SequentiallyByAgentOrder => "sequentially-by-agent-order",
        QueueStrategy::Random => "random",
    }
}
