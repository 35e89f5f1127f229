//! Applies changes to the switch, one by one, the least harmful first. Whether they took effect shows in
//! the state that is read afterwards (`verify`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::change::{Change, Changes};
use super::read;
use super::read::TENANT_VARIABLE;
use super::state::{Agent, State};
use crate::freeswitch::esl::{AgentNumber, Api, Client, Contact, EslError};
use crate::resources::sip_profile::UpdatePolicy;
use crate::route::legal::Word;
use crate::secrets::signing_key::SigningKey;

/// How long a gateway may take to unregister, and a stream to stop.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often their removal is checked.
const REMOVAL_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// FreeSWITCH's reply, not marked as an error, when a profile shall stop or restart too soon after its
/// start (mod_sofia.c).
const TOO_YOUNG: &str = "must be up for at least";
/// An agent's pauses after a call that was not taken, and their length in seconds; as in
/// `configuration/callcenter.xml`.
const AGENT_DELAYS: [AgentNumber; 3] =
    [AgentNumber::RejectDelayTime, AgentNumber::BusyDelayTime, AgentNumber::NoAnswerDelayTime];
const AGENT_DELAY_SECONDS: i32 = 10;

/// Applies changes to one switch.
#[derive(Clone, Copy, Debug)]
pub struct Applier<'a> {
    /// The switch's event socket.
    pub client: &'a Client,
    /// The desired state.
    pub want: &'a State,
    /// Verifies the signed variable that names a call's tenant.
    pub key: &'a SigningKey,
}

/// The result of applying changes.
#[derive(Debug, Default)]
pub struct ApplyReport {
    /// Changes that were sent to FreeSWITCH.
    pub tried: Changes,
    /// Changes that FreeSWITCH refused, with its reason.
    pub refused: BTreeMap<Change, String>,
    /// Changes that wait for calls to end, or for a manual restart, with the reason.
    pub waiting: BTreeMap<Change, &'static str>,
}

impl Applier<'_> {
    /// Applies changes in their order.
    ///
    /// # Errors
    /// The session ended. The next comparison finds the changes that were not made.
    pub async fn apply(&self, changes: &Changes) -> Result<ApplyReport, EslError> {
        let mut report = ApplyReport::default();
        // The place of gateway changes in the order: they are made together.
        let here = Change::ChangeGateway { profile: String::new(), gateway: String::new() };
        let changed = |change: &&Change| matches!(change, Change::ChangeGateway { .. });
        for change in changes.range(..here.clone()) {
            self.apply_one(change, &mut report).await?;
        }
        self.change_gateways(changes.iter().filter(changed).cloned().collect(), &mut report).await?;
        for change in changes.range(here..).filter(|change| !changed(change)) {
            self.apply_one(change, &mut report).await?;
        }
        Ok(report)
    }

    async fn apply_one(&self, change: &Change, report: &mut ApplyReport) -> Result<(), EslError> {
        if let Some(reason) = self.must_wait(change).await? {
            report.waiting.insert(change.clone(), reason);
            return Ok(());
        }
        report.tried.insert(change.clone());
        match self.run(change).await {
            Err(error) if error.ends_session() => Err(error),
            Err(EslError::Failed { reply, .. }) if reply.contains(TOO_YOUNG) => {
                report.tried.remove(change);
                report
                    .waiting
                    .insert(change.clone(), "FreeSWITCH does not stop a profile in its first 10 seconds");
                Ok(())
            }
            Err(error) => {
                report.refused.insert(change.clone(), error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Why a change that ends calls must wait, by the profile's update policy.
    async fn must_wait(&self, change: &Change) -> Result<Option<&'static str>, EslError> {
        let Some(profile) = change.ends_calls_of() else { return Ok(None) };
        let policy = self.want.profiles.get(profile).map(|row| row.policy).unwrap_or_default();
        match policy {
            UpdatePolicy::Immediately => Ok(None),
            UpdatePolicy::Manual => Ok(Some("updatePolicy is Manual: restart it by hand")),
            UpdatePolicy::WhenIdle => {
                let prefix = format!("sofia/{profile}/");
                let busy = match read::legs(self.client).await {
                    Err(error) if error.ends_session() => return Err(error),
                    Err(_) => true, // too many legs to list
                    Ok(legs) => legs.iter().any(|leg| leg.name.starts_with(&prefix)),
                };
                Ok(busy.then_some("it has calls, and updatePolicy is WhenIdle"))
            }
        }
    }

    async fn run(&self, change: &Change) -> Result<(), EslError> {
        let api = match change {
            Change::StartStream { stream } => Api::StartStream(word(stream)?),
            Change::StopStream { stream } => Api::StopStream(word(stream)?),
            Change::MoveStream { stream } => return self.move_stream(stream).await,
            Change::StartProfile { profile } => Api::StartProfile(word(profile)?),
            Change::RestartProfile { profile } => Api::RestartProfile(word(profile)?),
            Change::StopProfile { profile } => Api::StopProfile(word(profile)?),
            Change::Rescan { profile } => Api::Rescan(word(profile)?),
            Change::ReloadAcl => Api::ReloadAcl,
            Change::AddGateway { profile, gateway } | Change::ChangeGateway { profile, gateway } => {
                Api::StartGateway { profile: word(profile)?, gateway: word(gateway)? }
            }
            Change::RemoveGateway { profile, gateway } => {
                Api::KillGateway { profile: word(profile)?, gateway: word(gateway)? }
            }
            Change::LoadQueue { queue } => Api::LoadQueue(word(queue)?),
            Change::ReloadQueue { queue } => Api::ReloadQueue(word(queue)?),
            Change::UnloadQueue { queue } => Api::UnloadQueue(word(queue)?),
            Change::SetAgent { agent } => return self.set_agent(agent).await,
            Change::RemoveAgent { agent } => Api::RemoveAgent(word(agent)?),
            Change::SetTier { queue, agent } => return self.set_tier(queue, agent).await,
            Change::RemoveTier { queue, agent } => {
                Api::RemoveTier { queue: word(queue)?, agent: word(agent)? }
            }
            Change::FlushRegistration { user, domain, .. } => return self.flush(Some(user), domain).await,
            Change::FlushDomain { domain, .. } => return self.flush(None, domain).await,
            Change::EndCalls { tenant, but_emergency } => {
                return self.end_calls(*tenant, *but_emergency).await;
            }
        };
        let command = api.to_string();
        let reply = self.client.api(api).await?;
        if reply.contains(TOO_YOUNG) {
            return Err(EslError::Failed { command, reply });
        }
        Ok(())
    }

    /// Flushes registrations at every profile for phones: FreeSWITCH does not say at which one a user is
    /// registered.
    async fn flush(&self, user: Option<&String>, domain: &str) -> Result<(), EslError> {
        for profile in self.want.phones_profiles() {
            let (profile, domain) = (word(profile)?, word(domain)?);
            let api = match user {
                Some(user) => Api::FlushRegistration { profile, user: word(user)?, domain },
                None => Api::FlushDomain { profile, domain },
            };
            self.client.api(api).await?;
        }
        Ok(())
    }

    /// Restarts a stream. mod_local_stream identifies streams by name, so the old one must have ended
    /// before the new one starts.
    async fn move_stream(&self, stream: &str) -> Result<(), EslError> {
        self.client.api(Api::StopStream(word(stream)?)).await?;
        let is_listed = |streams: &str| streams.lines().any(|line| line.split(',').next() == Some(stream));
        let deadline = Instant::now() + REMOVAL_TIMEOUT;
        while is_listed(&self.client.api(Api::Streams).await?) && Instant::now() < deadline {
            sleep(REMOVAL_POLL_INTERVAL).await;
        }
        self.client.api(Api::StartStream(word(stream)?)).await.map(drop)
    }

    async fn set_agent(&self, name: &str) -> Result<(), EslError> {
        let Some(Agent { contact, wrap_up }) = self.want.agents.get(name) else { return Ok(()) };
        let agent = word(name)?;
        let contact = Contact::new(contact).ok_or_else(|| not_an_argument(contact))?;
        let new = unless_already(self.client.api(Api::AddAgent(agent.clone())).await, "already exist")?;
        self.client.api(Api::SetAgentContact { agent: agent.clone(), contact }).await?;
        let number = |key, value| Api::SetAgentNumber { agent: agent.clone(), key, value };
        self.client.api(number(AgentNumber::WrapUpTime, *wrap_up)).await?;
        if new {
            for key in AGENT_DELAYS {
                self.client.api(number(key, AGENT_DELAY_SECONDS)).await?;
            }
            self.client.api(number(AgentNumber::MaxNoAnswer, 0)).await?;
            self.client.api(Api::SetAgentAvailable(agent.clone())).await?;
        }
        Ok(())
    }

    async fn set_tier(&self, queue: &str, agent: &str) -> Result<(), EslError> {
        let place = (queue.to_owned(), agent.to_owned());
        let Some(tier) = self.want.tiers.get(&place).copied() else { return Ok(()) };
        let (queue, agent) = (word(queue)?, word(agent)?);
        let (level, position) = (tier.level, tier.position);
        let add = Api::AddTier { queue: queue.clone(), agent: agent.clone(), level, position };
        if !unless_already(self.client.api(add).await, "already exist")? {
            let (queue, agent) = (queue.clone(), agent.clone());
            self.client.api(Api::SetTierLevel { queue: queue.clone(), agent: agent.clone(), level }).await?;
            self.client.api(Api::SetTierPosition { queue, agent, position }).await?;
        }
        Ok(())
    }

    /// Removes all changed gateways, waits until they are gone, and adds them again: FreeSWITCH ignores a
    /// gateway whose name still exists (contract §4.2). Calls through them continue.
    async fn change_gateways(&self, changes: Changes, report: &mut ApplyReport) -> Result<(), EslError> {
        let mut going = Vec::new();
        for change in &changes {
            let Change::ChangeGateway { profile, gateway } = change else { continue };
            let kill = Api::KillGateway { profile: word(profile)?, gateway: word(gateway)? };
            match self.client.api(kill).await {
                Err(error) if error.ends_session() => return Err(error),
                _ => going.push(gateway), // a gateway that does not exist is refused, and gone
            }
        }
        let deadline = Instant::now() + REMOVAL_TIMEOUT;
        while !going.is_empty() && Instant::now() < deadline {
            sleep(REMOVAL_POLL_INTERVAL).await;
            let names = read::gateway_names(self.client).await?;
            going.retain(|gateway| names.contains(gateway));
        }
        for change in &changes {
            self.apply_one(change, report).await?;
        }
        Ok(())
    }

    /// Ends the calls of a tenant: the legs of its phones together, by the directory's variable, then the
    /// legs that only our signed variable identifies, such as a carrier's leg in a queue.
    async fn end_calls(&self, tenant: Uuid, but_emergency: bool) -> Result<(), EslError> {
        if !but_emergency {
            let value = word(&tenant.to_string())?;
            self.client.api(Api::EndLegsWith { variable: TENANT_VARIABLE, value }).await?;
        }
        for leg in read::legs(self.client).await? {
            let Ok(leg) = leg.uuid.parse::<Uuid>() else { continue };
            if read::tenant_of(self.client, self.key, leg).await? == Some(tenant)
                && !(but_emergency && read::is_emergency(self.client, leg).await?)
            {
                unless_already(self.client.api(Api::EndLeg(leg)).await, "No such channel")?;
            }
        }
        Ok(())
    }
}

/// Whether a command changed something. A refusal that contains `already` means that nothing was left to
/// change, which is not an error.
fn unless_already(answer: Result<String, EslError>, already: &str) -> Result<bool, EslError> {
    match answer {
        Ok(_) => Ok(true),
        Err(EslError::Failed { reply, .. }) if reply.contains(already) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A name as an argument of a command. A name that was made by hand on the switch may not be one; what
/// it names is left alone.
fn word(text: &str) -> Result<Word, EslError> {
    Word::new(text).ok_or_else(|| not_an_argument(text))
}

fn not_an_argument(text: &str) -> EslError {
    let command: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    EslError::Failed { command, reply: "the name cannot be an argument of a command".to_owned() }
}
