//! Reads the actual state of a FreeSWITCH over its event socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::replies::{Record, count, elements, registrations, rows, table};
use super::state::{Agent, Gateway, Profile, Queue, State, Tier};
use crate::freeswitch::esl::{Api, Client, EslError};
use crate::freeswitch::registrations::{Registration, SipUser};
use crate::plan::report::GatewayState;
use crate::resources::sip_profile::UpdatePolicy;
use crate::route::app::{CALL_VARIABLE, EMERGENCY_VARIABLE};
use crate::route::legal::Word;
use crate::route::token::verify_call;
use crate::secrets::signing_key::SigningKey;

/// Most registrations of a profile that are listed. An answer of more than 8 MB ends the connection, and
/// a registration has about 700 bytes. Beyond the limit, registrations of removed users expire by
/// themselves within ten minutes.
const MAX_REGISTRATIONS: u32 = 8_000;

/// Most legs that are listed; a leg has about a kilobyte of JSON. Our configuration limits a switch to
/// 2,000 by default.
const MAX_LEGS: u32 = 6_000;

/// The variable that the directory sets on every leg of a tenant's phones.
pub const TENANT_VARIABLE: &str = "centrex_tenant";

/// State of a gateway that does not register (sofia_reg.c, `sofia_state_names`).
const NO_REGISTRATION: &str = "NOREG";

/// What was read from a switch.
#[derive(Debug, Default)]
pub struct Observed {
    /// The actual state.
    pub state: State,
    /// States of its gateways, by name.
    pub gateways: BTreeMap<String, GatewayState>,
    /// Users and domains of registrations; without those of a profile that has too many.
    pub registered: Vec<(String, String)>,
    /// Registrations of each running profile; `None` for one that has too many.
    pub registrations: BTreeMap<String, Option<Vec<(SipUser, Registration)>>>,
    /// Why some things were not read: there are too many.
    pub not_compared: Vec<String>,
}

/// Reads everything that can be compared. FreeSWITCH lists running profiles only.
///
/// # Errors
/// The session ended, a command was refused, or an answer cannot be parsed.
pub async fn observe(client: &Client) -> Result<Observed, EslError> {
    let mut found = Observed::default();
    let profiles = xml(client, Api::Profiles, "profile").await?;
    for name in profiles.iter().filter_map(|row| row.get("name")).filter_map(|name| Word::new(name.as_str()))
    {
        // A profile that has just stopped has no details.
        let Some(info) = info(client, name.clone()).await? else { continue };
        if let Some(profile) = profile(&info) {
            found.state.profiles.insert(name.as_str().to_owned(), profile);
        }
        let many = info.get("registrations").and_then(|text| text.parse().ok()).unwrap_or(0);
        let listed = match many {
            0 => Some(Vec::new()),
            1..=MAX_REGISTRATIONS => Some(registered(client, name.clone()).await?),
            _ => {
                found.not_compared.push(format!(
                    "SIP profile {name} has {many} registrations: more than {MAX_REGISTRATIONS} are not compared"
                ));
                None
            }
        };
        let users = listed.iter().flatten().map(|(of, _)| (of.user.clone(), of.host.clone()));
        found.registered.extend(users);
        found.registrations.insert(name.as_str().to_owned(), listed);
    }
    for alias in xml(client, Api::Profiles, "alias").await? {
        found.state.domains.extend(alias.get("name").cloned());
    }
    for row in xml(client, Api::Gateways, "gateway").await? {
        if let Some((name, gateway, state)) = gateway(&row) {
            found.state.gateways.insert(name.clone(), gateway);
            found.gateways.insert(name, state);
        }
    }
    found.state.queues = table(&client.api(Api::Queues).await?).iter().filter_map(queue).collect();
    found.state.agents = table(&client.api(Api::Agents).await?).iter().filter_map(agent).collect();
    found.state.tiers = table(&client.api(Api::Tiers).await?).iter().filter_map(tier).collect();
    let streams = client.api(Api::Streams).await?;
    found.state.streams = streams.lines().filter_map(|line| line.split_once(',')).map(owned).collect();
    Ok(found)
}

/// Reads a profile; `None` if it does not run.
///
/// # Errors
/// As [`observe`].
pub async fn running_profile(client: &Client, name: Word) -> Result<Option<Profile>, EslError> {
    Ok(info(client, name).await?.as_ref().and_then(profile))
}

async fn info(client: &Client, name: Word) -> Result<Option<Record>, EslError> {
    Ok(xml(client, Api::Profile(name), "profile-info").await?.into_iter().next())
}

/// Reads the names of all gateways.
///
/// # Errors
/// As [`observe`].
pub async fn gateway_names(client: &Client) -> Result<Vec<String>, EslError> {
    let rows = xml(client, Api::Gateways, "gateway").await?;
    Ok(rows.into_iter().filter_map(|mut row| row.remove("name")).collect())
}

/// Reads a count.
///
/// # Errors
/// As [`observe`].
pub async fn read_count(client: &Client, api: Api) -> Result<u32, EslError> {
    let command = api.to_string();
    count(&client.api(api).await?).map_err(|reason| EslError::Unreadable { command, reason })
}

async fn xml(client: &Client, api: Api, name: &str) -> Result<Vec<Record>, EslError> {
    let command = api.to_string();
    elements(&client.api(api).await?, name).map_err(|reason| EslError::Unreadable { command, reason })
}

/// A leg that is up.
#[derive(Deserialize)]
pub struct Leg {
    /// UUID of the channel.
    pub uuid: String,
    /// Name of the channel: `sofia/PROFILE/…` for SIP.
    #[serde(default)]
    pub name: String,
    /// The user whose state busy lamps show: `NUMBER@DOMAIN` of the extension.
    #[serde(default)]
    pub presence_id: String,
}

/// Reads the legs that are up.
///
/// # Errors
/// As [`observe`], or more than 6,000 legs are up.
pub async fn legs(client: &Client) -> Result<Vec<Leg>, EslError> {
    let command = Api::Channels.to_string();
    let count = read_count(client, Api::CountChannels).await?;
    if count > MAX_LEGS {
        let reason = format!("{count} call legs are up: more than {MAX_LEGS} are not listed");
        return Err(EslError::Unreadable { command, reason });
    }
    let text = client.api(Api::Channels).await?;
    rows(&text).map_err(|reason| EslError::Unreadable { command, reason })
}

/// Reads the tenant of a leg: from the variable that our dialplan signed, otherwise from the variable that
/// the directory sets on a phone's leg. `None` if the leg has ended.
///
/// # Errors
/// As [`observe`].
pub async fn tenant_of(client: &Client, key: &SigningKey, leg: Uuid) -> Result<Option<Uuid>, EslError> {
    for variable in [CALL_VARIABLE, TENANT_VARIABLE] {
        let tenant = match client.api(Api::LegVariable { leg, variable }).await {
            Err(error) if error.ends_session() => return Err(error),
            Err(_) => return Ok(None),
            Ok(value) if variable == CALL_VARIABLE => verify_call(key, value.trim()).map(|(of, _)| of),
            Ok(value) => value.trim().parse().ok(),
        };
        if tenant.is_some() {
            return Ok(tenant);
        }
    }
    Ok(None)
}

/// Reads whether a leg belongs to an emergency call.
///
/// # Errors
/// As [`observe`].
pub async fn is_emergency(client: &Client, leg: Uuid) -> Result<bool, EslError> {
    match client.api(Api::LegVariable { leg, variable: EMERGENCY_VARIABLE }).await {
        Err(error) if error.ends_session() => Err(error),
        Err(_) => Ok(false), // it has ended
        Ok(value) => Ok(value.trim() == "true"),
    }
}

/// Reads the tenants whose legs are up.
///
/// # Errors
/// As [`legs`].
pub async fn tenants(client: &Client, key: &SigningKey) -> Result<BTreeSet<Uuid>, EslError> {
    let mut tenants = BTreeSet::new();
    for leg in legs(client).await?.iter().filter_map(|leg| leg.uuid.parse().ok()) {
        tenants.extend(tenant_of(client, key, leg).await?);
    }
    Ok(tenants)
}

/// Reads mod_sofia's own list of registrations. The core's (`show registrations`) keeps flushed ones
/// until they expire.
async fn registered(client: &Client, profile: Word) -> Result<Vec<(SipUser, Registration)>, EslError> {
    let text = client.api(Api::Registrations(profile)).await?;
    Ok(registrations(&text, Timestamp::now()))
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The port of a URL such as `sip:mod_sofia@192.0.2.1:5060;transport=udp,tcp`.
fn port(url: &str) -> Option<i32> {
    let address = url.split(';').next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// Whether other hosts can reach a listener, because its address is not a loopback address.
fn is_exposed(url: &str) -> bool {
    let host =
        url.split(';').next().and_then(|url| url.rsplit_once(':')?.0.rsplit_once('@')).map(|(_, host)| host);
    let address = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    !address.is_some_and(|address| address.is_loopback())
}

fn profile(row: &Record) -> Option<Profile> {
    Some(Profile {
        address: row.get("sip-ip").cloned(),
        sip_port: port(row.get("bind-url")?)?,
        tls_port: row.get("tls-bind-url").and_then(|url| port(url)),
        ws_port: row.get("ws-bind-url").filter(|url| !is_exposed(url)).and_then(|url| port(url)),
        exposed_web_socket: row.get("ws-bind-url").is_some_and(|url| is_exposed(url))
            || row.contains_key("wss-bind-url"),
        external: row.get("ext-sip-ip").cloned(),
        context: row.get("context")?.clone(),
        codecs: row.get("inbound-codecs").cloned().unwrap_or_default(),
        policy: UpdatePolicy::default(),
    })
}

fn gateway(row: &Record) -> Option<(String, Gateway, GatewayState)> {
    let text = |name: &str| row.get(name).cloned().unwrap_or_default();
    let number = |name: &str| row.get(name).and_then(|text| text.parse().ok());
    let state = text("state");
    let registers = state != NO_REGISTRATION;
    let proxy = text("proxy");
    let contact = text("contact");
    let transport = contact.split_once("transport=").map_or("udp", |(_, rest)| rest);
    let held = Gateway {
        profile: row.get("profile")?.clone(),
        proxy: proxy.trim_start_matches("sip:").split(';').next().unwrap_or_default().to_owned(),
        domain: text("from").rsplit_once('@').map_or("", |(_, host)| host).to_owned(),
        realm: text("realm"),
        transport: transport.split([';', '>']).next().unwrap_or_default().to_owned(),
        username: registers.then(|| text("username")),
        undisclosed: None,
        expiry: if registers { number("expires") } else { None },
        ping: number("pingfreq").unwrap_or(0),
    };
    Some((row.get("name")?.clone(), held, GatewayState { up: text("status") != "DOWN", state }))
}

fn queue(row: &Record) -> Option<(String, Queue)> {
    let queue = Queue {
        strategy: row.get("strategy")?.clone(),
        music: row.get("moh_sound")?.clone(),
        max_wait: row.get("max_wait_time")?.parse().ok()?,
        no_agent_wait: row.get("max_wait_time_with_no_agent")?.parse().ok()?,
        no_agent_grace: row.get("max_wait_time_with_no_agent_time_reached")?.parse().ok()?,
        tiered: row.get("tier_rules_apply")? == "true",
    };
    Some((row.get("name")?.clone(), queue))
}

fn agent(row: &Record) -> Option<(String, Agent)> {
    let wrap_up = row.get("wrap_up_time")?.parse().ok()?;
    Some((row.get("name")?.clone(), Agent { contact: row.get("contact")?.clone(), wrap_up }))
}

fn tier(row: &Record) -> Option<((String, String), Tier)> {
    let tier = Tier { level: row.get("level")?.parse().ok()?, position: row.get("position")?.parse().ok()? };
    Some(((row.get("queue")?.clone(), row.get("agent")?.clone()), tier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_loopback_is_not_reachable_from_other_hosts() {
        for inside in ["sip:mod_sofia@127.0.0.1:5066;transport=ws", "sips:mod_sofia@[::1]:7443;transport=wss"]
        {
            assert!(!is_exposed(inside), "{inside}");
        }
        for outside in
            ["sips:mod_sofia@0.0.0.0:7443;transport=wss", "sip:mod_sofia@[2001:db8::1]:5066", "", "sip:x"]
        {
            assert!(is_exposed(outside), "{outside}");
        }
    }
}
