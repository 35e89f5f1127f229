//! Who gets a file. Every check is made for every request, whatever the ones before it found, and costs the same for a
//! phone that exists and for one that does not.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};

use super::credential::{Credential, Match};
use super::networks::{Client, Networks, admits, is_in};
use super::nonce::Nonces;
use super::outcome::Outcome;
use super::user_agent;
use crate::phones::Mac;
use crate::plan::{DeviceRow, Service};
use crate::provision::FileName;
use crate::replica::tenants::Replica;
use crate::route::TenantView;

/// What every provisioning user begins with, and no MAC address.
const USER_PREFIX: &str = "d-";
/// Longest time before its end that a window is open.
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// A Device and its tenant.
#[derive(Clone, Debug)]
pub struct TenantDevice {
    /// The tenant.
    pub view: Arc<TenantView>,
    /// Name of the Device.
    pub device: String,
}

impl TenantDevice {
    /// The Device of a provisioning user or MAC address, in a tenant that may be suspended.
    fn by(replica: &Replica, identifier: &str) -> Option<Self> {
        let view = replica.by_phone(identifier)?;
        let device = view.device(identifier)?.0.to_owned();
        Some(Self { view, device })
    }

    /// Its row.
    pub fn row(&self) -> Option<&DeviceRow> {
        self.view.plan.devices.get(&self.device)
    }

    /// Why a phone that showed the right credential, or waits to get it, gets nothing.
    fn refusal(&self, attempt: &Attempt<'_>) -> Option<Outcome> {
        let Some(row) = self.row() else { return Some(Outcome::Credential) };
        let Client { address, is_secure } = attempt.client;
        let own = Mac::parse(&row.mac);
        let contradicts = own.is_some_and(|own| user_agent::contradicts(attempt.user_agent, own));
        let reasons = [
            (admits(row, address), Outcome::Network),
            (is_secure || row.allow_http && is_in(&row.allowed_networks, address), Outcome::NeedsTls),
            (self.view.plan.tenant.service() == Service::Full, Outcome::Suspended),
            (!row.disabled, Outcome::Disabled),
            (attempt.file.mac.is_none_or(|mac| Some(mac) == own), Outcome::OtherMac),
            (!contradicts, Outcome::Contradiction),
        ];
        reasons.into_iter().find(|(admitted, _)| !admitted).map(|(_, outcome)| outcome)
    }

    /// The end of its window, if it is open for an address.
    fn open_window(&self, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let row = self.row()?;
        let until: Timestamp = row.enroll_until.as_ref()?.parse().ok()?;
        let rest = until.duration_since(now);
        (rest.is_positive() && rest <= LONGEST_WINDOW && is_in(&row.allowed_networks, address))
            .then_some(until)
    }
}

/// A request for a file.
pub struct Attempt<'a> {
    /// The file.
    pub file: FileName,
    /// Method.
    pub method: &'a Method,
    /// Path and query, as sent.
    pub target: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub client: Client,
    /// The MAC address in the client's certificate.
    pub certificate: Option<Mac>,
    /// What the client calls itself.
    pub user_agent: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Whether a request is granted.
#[derive(Debug)]
pub enum Decision {
    /// The phone gets the file.
    Granted(TenantDevice),
    /// The phone gets its provisioning password, if it has not got it in this window, which ends then.
    /// With it, the wrong credential that was shown.
    Enrolling(TenantDevice, Timestamp, Option<Vec<u8>>),
    /// It gets nothing.
    Refused(Refusal),
}

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub outcome: Outcome,
    /// Whether a new challenge is all that is needed (RFC 7616 §3.3, `stale`).
    pub is_stale: bool,
    /// The wrong credential.
    pub guess: Option<Vec<u8>>,
    /// The Device that the credential, or else the file, is of.
    pub device: Option<TenantDevice>,
}

/// Decides a request, in an installation that admits these networks; every network if there are none.
pub fn decide(
    replica: &Replica,
    nonces: Option<&Nonces>,
    allowed: &Networks,
    attempt: &Attempt<'_>,
) -> Decision {
    let of_file = attempt.file.mac.and_then(|mac| TenantDevice::by(replica, &mac.to_string()));
    let credential = Credential::read(attempt.headers);
    let user = credential.as_ref().and_then(Credential::user).filter(|user| user.starts_with(USER_PREFIX));
    let named = user.and_then(|user| TenantDevice::by(replica, user));
    let secrets = named.as_ref().and_then(TenantDevice::row).map(|row| &row.secrets);
    let compared = credential
        .as_ref()
        .map(|credential| credential.compare(secrets, attempt.method, attempt.target, nonces));
    let shown = match compared {
        Some(Match::Right) => named,
        Some(_) => None,
        // The certificate says which hardware asks: it needs a file that is this hardware's.
        None if attempt.certificate.is_some() && attempt.certificate == attempt.file.mac => of_file.clone(),
        None => None,
    };
    let is_admitted = allowed.is_empty() || allowed.contains(attempt.client.address);
    let refusal = match &shown {
        _ if !is_admitted => Some(Outcome::Network),
        Some(known) => known.refusal(attempt),
        None if matches!(compared, Some(Match::Wrong)) => Some(Outcome::Credential),
        None => Some(Outcome::Challenged),
    };
    let window = of_file.as_ref().and_then(|known| {
        let until = known.open_window(attempt.client.address, attempt.now)?;
        (shown.is_none() && is_admitted && known.refusal(attempt).is_none()).then_some(until)
    });
    let guess = credential.filter(|_| compared == Some(Match::Wrong)).map(|credential| credential.guess());
    match (refusal, shown, of_file, window) {
        (None, Some(known), ..) => Decision::Granted(known),
        (_, None, Some(known), Some(until)) if attempt.method == Method::GET => {
            Decision::Enrolling(known, until, guess)
        }
        (outcome, shown, of_file, _) => Decision::Refused(Refusal {
            outcome: outcome.unwrap_or(Outcome::Credential),
            is_stale: compared == Some(Match::Stale),
            guess,
            device: shown.or(of_file),
        }),
    }
}
