//! Changes made on the switch, one by one, least harm first. Whether they took is not asked here: the
//! state that is read afterwards says it.

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

/// How long a gateway may take to unregister and go, and calls to end.
const GOING: Duration = Duration::from_secs(10);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(200);
/// What FreeSWITCH says, not as an error, of a profile that is to stop or restart too soon (mod_sofia.c).
const TOO_YOUNG: &str = "must be up for at least";
/// Seconds an agent is left alone after a call that was not taken, as `configuration/callcenter.xml`.
const DELAYS: [AgentNumber; 3] =
    [AgentNumber::RejectDelayTime, AgentNumber::BusyDelayTime, AgentNumber::NoAnswerDelayTime];
const DELAY: i32 = 10;

/// What is needed to make changes.
#[derive(Clone, Copy, Debug)]
pub struct Applier<'a> {
    /// Where commands go.
    pub client: &'a Client,
    /// What the switch should have.
    pub want: &'a State,
    /// Reads on whose behalf a call runs.
    pub key: &'a SigningKey,
}

/// What was done.
#[derive(Debug, Default)]
pub struct ApplyReport {
    /// Changes that were tried.
    pub tried: Changes,
    /// What FreeSWITCH refused, in words.
    pub refused: BTreeMap<Change, String>,
    /// Changes that wait: for calls to end, or for a person.
    pub waiting: BTreeMap<Change, &'static str>,
}

impl Applier<'_> {
    /// Makes changes.
    ///
    /// # Errors
    /// The session ended; what was not done then is found again by comparing.
    pub async fn apply(&self, changes: &Changes) -> Result<ApplyReport, EslError> {
        let mut done = ApplyReport::default();
        // Where gateways are changed, which is done to all of them at once.
        let here = Change::ChangeGateway { profile: String::new(), gateway: String::new() };
        let changed = |change: &&Change| matches!(change, Change::ChangeGateway { .. });
        for change in changes.range(..here.clone()) {
            self.one(change, &mut done).await?;
        }
        self.change_gateways(changes.iter().filter(changed).cloned().collect(), &mut done).await?;
        for change in changes.range(here..).filter(|change| !changed(change)) {
            self.one(change, &mut done).await?;
        }
        Ok(done)
    }

    async fn one(&self, change: &Change, done: &mut ApplyReport) -> Result<(), EslError> {
        if let Some(reason) = self.must_wait(change).await? {
            done.waiting.insert(change.clone(), reason);
            return Ok(());
        }
        done.tried.insert(change.clone());
        match self.make(change).await {
            Err(error) if error.ends_session() => Err(error),
            Err(EslError::Failed { reply, .. }) if reply.contains(TOO_YOUNG) => {
                done.tried.remove(change);
                done.waiting.insert(change.clone(), "FreeSWITCH ends none in its first 10 seconds");
                Ok(())
            }
            Err(error) => {
                done.refused.insert(change.clone(), error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Why a change that ends calls is not made now.
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
                    Err(_) => true, // so many that they are not listed
                    Ok(legs) => legs.iter().any(|leg| leg.name.starts_with(&prefix)),
                };
                Ok(busy.then_some("it has calls, and updatePolicy is WhenIdle"))
            }
        }
    }

    async fn make(&self, change: &Change) -> Result<(), EslError> {
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
            Change::DropRegistration { user, domain, .. } => return self.forget(Some(user), domain).await,
            Change::DropDomain { domain, .. } => return self.forget(None, domain).await,
            Change::EndCalls { tenant } => return self.end_calls(*tenant).await,
        };
        let command = api.to_string();
        let reply = self.client.api(api).await?;
        if reply.contains(TOO_YOUNG) {
            return Err(EslError::Failed { command, reply });
        }
        Ok(())
    }

    /// At every profile for phones: FreeSWITCH does not tell where somebody is registered.
    async fn forget(&self, user: Option<&String>, domain: &str) -> Result<(), EslError> {
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

    /// A new one starts when the old one has ended: mod_local_stream knows them by name.
    async fn move_stream(&self, stream: &str) -> Result<(), EslError> {
        self.client.api(Api::StopStream(word(stream)?)).await?;
        let there = |streams: &str| streams.lines().any(|line| line.split(',').next() == Some(stream));
        let deadline = Instant::now() + GOING;
        while there(&self.client.api(Api::Streams).await?) && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        self.client.api(Api::StartStream(word(stream)?)).await.map(drop)
    }

    async fn set_agent(&self, name: &str) -> Result<(), EslError> {
        let Some(Agent { contact, wrap_up }) = self.want.agents.get(name) else { return Ok(()) };
        let agent = word(name)?;
        let contact = Contact::new(contact).ok_or_else(|| unfit(contact))?;
        let new = known(self.client.api(Api::AddAgent(agent.clone())).await, "already exist")?;
        self.client.api(Api::SetAgentContact { agent: agent.clone(), contact }).await?;
        let number = |key, value| Api::SetAgentNumber { agent: agent.clone(), key, value };
        self.client.api(number(AgentNumber::WrapUpTime, *wrap_up)).await?;
        if new {
            for key in DELAYS {
                self.client.api(number(key, DELAY)).await?;
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
        if !known(self.client.api(add).await, "already exist")? {
            let (queue, agent) = (queue.clone(), agent.clone());
            self.client.api(Api::SetTierLevel { queue: queue.clone(), agent: agent.clone(), level }).await?;
            self.client.api(Api::SetTierPosition { queue, agent, position }).await?;
        }
        Ok(())
    }

    /// All of them go, and come again when they are gone: a gateway that is still there is not taken
    /// up again (contract §4.2). Calls through them go on.
    async fn change_gateways(&self, changes: Changes, done: &mut ApplyReport) -> Result<(), EslError> {
        let mut going = Vec::new();
        for change in &changes {
            let Change::ChangeGateway { profile, gateway } = change else { continue };
            let kill = Api::KillGateway { profile: word(profile)?, gateway: word(gateway)? };
            match self.client.api(kill).await {
                Err(error) if error.ends_session() => return Err(error),
                _ => going.push(gateway), // one that is not there has gone
            }
        }
        let deadline = Instant::now() + GOING;
        while !going.is_empty() && Instant::now() < deadline {
            sleep(LOOK).await;
            let names = read::gateway_names(self.client).await?;
            going.retain(|gateway| names.contains(gateway));
        }
        for change in &changes {
            self.one(change, done).await?;
        }
        Ok(())
    }

    /// Ends the calls of a tenant: those of its phones at once, by the directory's variable, and then
    /// the legs that only our signed variable tells, such as a carrier's leg in a queue.
    async fn end_calls(&self, tenant: Uuid) -> Result<(), EslError> {
        let value = word(&tenant.to_string())?;
        self.client.api(Api::EndLegsWith { variable: TENANT_VARIABLE, value }).await?;
        for leg in read::legs(self.client).await? {
            let Ok(leg) = leg.uuid.parse::<Uuid>() else { continue };
            if read::tenant_of(self.client, self.key, leg).await? == Some(tenant) {
                known(self.client.api(Api::EndLeg(leg)).await, "No such channel")?;
            }
        }
        Ok(())
    }
}

/// Whether something was done; what FreeSWITCH says where it was done already is no error.
fn known(answer: Result<String, EslError>, already: &str) -> Result<bool, EslError> {
    match answer {
        Ok(_) => Ok(true),
        Err(EslError::Failed { reply, .. }) if reply.contains(already) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A name as an argument. All names that we give are; one that somebody gave by hand may not be, and
/// then stays as it is.
fn word(text: &str) -> Result<Word, EslError> {
    Word::new(text).ok_or_else(|| unfit(text))
}

fn unfit(text: &str) -> EslError {
    let command: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    EslError::Failed { command, reply: "it is no argument of a command".to_owned() }
}
