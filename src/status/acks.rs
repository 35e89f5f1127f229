//! The switches' reports: the revisions that they hold, and the findings of their sidecars.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

pub use crate::plan::heartbeat::{LATE_AFTER, SILENT_AFTER};
pub use crate::plan::report::{Ack, SwitchInfo, SwitchState};
use crate::plan::report::{GatewayState, NotApplied, SwitchReport};

/// Most revisions that a switch may hold past the stored one. A report beyond that is broken and ignored: a
/// write past it could exhaust the numbers.
pub const MAX_AHEAD: i64 = 1 << 32;

/// How many of the counted switches hold a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Number of counted switches: those that report and have a FreeSWITCH.
    pub reporting: usize,
    /// Number of those that hold the revision.
    pub have: usize,
    /// Names of those that lack the revision.
    pub missing: Vec<String>,
}

/// The resources whose status a report may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// All statuses.
    All,
    /// Resources of the platform and of some tenants; perhaps none.
    Some {
        /// Whether the platform's may change.
        platform: bool,
        /// Tenants whose statuses may change.
        tenants: Vec<Uuid>,
    },
}

impl Concerned {
    const NONE: Self = Self::Some { platform: false, tenants: Vec::new() };
}

/// The last report of each switch. A switch that falls silent, or whose FreeSWITCH is absent, delays no
/// resource: only its own Switch object shows that.
#[derive(Debug, Default)]
pub struct AckTable {
    reporting: BTreeMap<String, SwitchState>,
    synced: bool,
}

impl AckTable {
    /// Records a report; returns whose statuses it may change.
    pub fn record(&mut self, ack: Ack) -> Concerned {
        self.synced = true;
        match ack {
            Ack::Reset { reporting, silent: _ } => {
                self.reporting = reporting.into_iter().map(|(info, state)| (info.name, state)).collect();
                Concerned::All
            }
            Ack::Appeared(info, state) => match self.reporting.insert(info.name, state.clone()) {
                Some(before) => differing(&before, &state),
                None => Concerned::All, // one more switch counts
            },
            Ack::Revisions { switch, platform, tenants } => {
                let Some(state) = self.reporting.get_mut(&switch) else { return Concerned::NONE };
                let platform = platform.unwrap_or(state.platform);
                let platform_changed = std::mem::replace(&mut state.platform, platform) != platform;
                let mut apply = |(id, revision): &(Uuid, Option<i64>)| match revision {
                    Some(revision) => state.tenants.insert(*id, *revision) != Some(*revision),
                    None => state.tenants.remove(id).is_some(),
                };
                let changed = tenants.into_iter().filter(|update| apply(update)).map(|(id, _)| id).collect();
                Concerned::Some { platform: platform_changed, tenants: changed }
            }
            Ack::Report { switch, findings } => {
                let Some(state) = self.reporting.get_mut(&switch) else { return Concerned::NONE };
                let before = std::mem::replace(&mut state.findings, findings);
                if before.absent != state.findings.absent {
                    return Concerned::All; // one switch less counts, or one more
                }
                Concerned::Some {
                    platform: platform_differs(&before, &state.findings),
                    tenants: problems_differ(&before, &state.findings).into_iter().collect(),
                }
            }
            Ack::Late(_) => Concerned::NONE, // a late switch still counts
            Ack::Silent(name) | Ack::Gone(name) => match self.reporting.remove(&name) {
                Some(_) => Concerned::All,
                None => Concerned::NONE,
            },
        }
    }

    /// Whether the first report was recorded. Before that, it is unknown whether any switch reports.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The counted switches: those whose FreeSWITCH is reachable. If none is, all count, so that live resources
    /// stay live and new ones do not become live.
    fn counting(&self) -> impl Iterator<Item = (&str, &SwitchState)> {
        let all_absent = self.reporting.values().all(|state| state.findings.absent);
        let counts = move |state: &SwitchState| all_absent || !state.findings.absent;
        let counting = self.reporting.iter().filter(move |(_, state)| counts(state));
        counting.map(|(name, state)| (name.as_str(), state))
    }

    /// Problems of a tenant that switches could not apply: the switch's name and its message.
    pub fn refusals(&self, tenant: Uuid) -> Vec<(&str, &str)> {
        self.counting()
            .filter_map(|(name, state)| Some((name, state.findings.problems.get(&tenant)?.as_str())))
            .collect()
    }

    /// Switches that have not applied a resource of the platform (`SipProfile/name`, `Trunk/namespace/name`), each
    /// with the reason.
    pub fn not_applied(&self, resource: &str) -> Vec<(&str, &NotApplied)> {
        self.counting().filter_map(|(name, state)| Some((name, state.findings.held.get(resource)?))).collect()
    }

    /// The states of a trunk's gateways on each switch with an event socket: empty while the socket is
    /// disconnected, or if the switch lacks the trunk.
    pub fn gateways(&self, trunk: &str) -> BTreeMap<&str, &[GatewayState]> {
        let asked = self.reporting.iter().filter(|(_, state)| state.findings.connected.is_some());
        asked
            .map(|(name, state)| {
                let connected = state.findings.connected == Some(true);
                let gateways = state.findings.gateways.get(trunk).filter(|_| connected);
                (name.as_str(), gateways.map(Vec::as_slice).unwrap_or_default())
            })
            .collect()
    }

    /// How many switches hold a tenant's revision, where `stored` is the last one. A switch with a later
    /// revision does not count as holding it: that one is of the time before Postgres was set back.
    pub fn lagging(&self, tenant: Uuid, revision: i64, stored: i64) -> Lag {
        self.lag(|state| state.tenants.get(&tenant).is_some_and(|held| (revision..=stored).contains(held)))
    }

    /// The same as [`Self::lagging`], for the platform.
    pub fn platform_lagging(&self, revision: i64, stored: i64) -> Lag {
        self.lag(|state| (revision..=stored).contains(&state.platform))
    }

    /// The highest revision past the stored one that a switch holds, of a tenant or (`None`) of the platform.
    pub fn ahead(&self, of: Option<Uuid>, stored: i64) -> Option<i64> {
        let held = |state: &SwitchState| match of {
            Some(tenant) => state.tenants.get(&tenant).copied(),
            None => Some(state.platform),
        };
        let most = stored.saturating_add(MAX_AHEAD);
        self.reporting.values().filter_map(held).filter(|held| *held > stored && *held <= most).max()
    }

    /// All tenants on switches, each with its highest revision.
    pub fn tenants(&self) -> BTreeMap<Uuid, i64> {
        let mut tenants = BTreeMap::new();
        for (id, revision) in self.reporting.values().flat_map(|state| &state.tenants) {
            let highest = tenants.entry(*id).or_insert(*revision);
            *highest = (*revision).max(*highest);
        }
        tenants
    }

    fn lag(&self, has: impl Fn(&SwitchState) -> bool) -> Lag {
        let mut lag = Lag::default();
        for (name, state) in self.counting() {
            lag.reporting += 1;
            match has(state) {
                true => lag.have += 1,
                false => lag.missing.push(name.to_owned()),
            }
        }
        lag
    }
}

/// The resources whose status may change between two states of one switch.
fn differing(before: &SwitchState, after: &SwitchState) -> Concerned {
    if before.findings.absent != after.findings.absent {
        return Concerned::All;
    }
    let ids = before.tenants.keys().chain(after.tenants.keys()).copied().collect::<BTreeSet<Uuid>>();
    let differs = |id: &Uuid| before.tenants.get(id) != after.tenants.get(id);
    let mut tenants: BTreeSet<Uuid> = ids.into_iter().filter(differs).collect();
    tenants.extend(problems_differ(&before.findings, &after.findings));
    Concerned::Some {
        platform: before.platform != after.platform || platform_differs(&before.findings, &after.findings),
        tenants: tenants.into_iter().collect(),
    }
}

fn platform_differs(before: &SwitchReport, after: &SwitchReport) -> bool {
    (before.connected, &before.gateways, &before.held) != (after.connected, &after.gateways, &after.held)
}

/// Tenants whose problem on the switch changed.
fn problems_differ(before: &SwitchReport, after: &SwitchReport) -> BTreeSet<Uuid> {
    let ids = before.problems.keys().chain(after.problems.keys());
    ids.filter(|id| before.problems.get(id) != after.problems.get(id)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn info(name: &str) -> SwitchInfo {
        SwitchInfo { name: name.to_owned(), hostname: None }
    }

    fn holding(platform: i64, tenants: &[(Uuid, i64)]) -> SwitchState {
        SwitchState { platform, tenants: tenants.iter().copied().collect(), ..SwitchState::default() }
    }

    fn report(switch: &str, revision: i64) -> Ack {
        Ack::Revisions { switch: switch.to_owned(), platform: None, tenants: vec![(TENANT, Some(revision))] }
    }

    fn table(names: &[&str]) -> AckTable {
        let mut table = AckTable::default();
        for name in names {
            assert_eq!(table.record(Ack::Appeared(info(name), SwitchState::default())), Concerned::All);
        }
        table
    }

    #[test]
    fn a_revision_is_live_when_the_last_switch_has_it() {
        assert_eq!(AckTable::default().lagging(TENANT, 1, i64::MAX), Lag::default());
        let mut table = table(&["a", "b"]);
        assert_eq!(table.record(report("a", 3)), Concerned::Some { platform: false, tenants: vec![TENANT] });
        assert_eq!(
            table.lagging(TENANT, 3, i64::MAX),
            Lag { reporting: 2, have: 1, missing: vec!["b".to_owned()] }
        );
        table.record(report("b", 4));
        assert_eq!(table.lagging(TENANT, 3, i64::MAX).have, 2);
    }

    #[test]
    fn a_revision_later_than_the_stored_one_does_not_count() {
        let mut table = table(&["a", "b"]);
        table.record(report("a", 12));
        table.record(report("b", 9));
        assert_eq!(table.lagging(TENANT, 9, 9).missing, ["a"]);
        assert_eq!((table.ahead(Some(TENANT), 11), table.ahead(Some(OTHER), 0)), (Some(12), None));
        assert_eq!(table.ahead(Some(TENANT), 12), None);
        assert_eq!(table.tenants(), [(TENANT, 12)].into());
        table.record(report("a", 13));
        assert_eq!(table.lagging(TENANT, 9, 13).have, 2);
        // A broken report is ignored, and hides no other.
        let broken = SwitchState { tenants: [(TENANT, i64::MAX)].into(), ..SwitchState::default() };
        table.record(Ack::Appeared(info("z"), broken));
        assert_eq!(table.ahead(Some(TENANT), 11), Some(13));
    }

    #[test]
    fn a_silent_switch_delays_no_resource() {
        let mut table = table(&["a", "b"]);
        table.record(report("a", 1));
        assert_eq!(table.record(Ack::Silent("b".to_owned())), Concerned::All);
        assert_eq!(table.lagging(TENANT, 1, i64::MAX), Lag { reporting: 1, have: 1, missing: Vec::new() });
        assert_eq!(table.record(Ack::Gone("b".to_owned())), Concerned::NONE, "it did not count any more");
        table.record(Ack::Appeared(info("b"), SwitchState::default()));
        assert_eq!(table.lagging(TENANT, 1, i64::MAX).missing, ["b"]);
        assert_eq!(table.record(Ack::Gone("b".to_owned())), Concerned::All);
        assert_eq!(table.lagging(TENANT, 1, i64::MAX).reporting, 1);
        assert_eq!(table.record(report("b", 9)), Concerned::NONE, "of a switch that is not there");
        assert_eq!(table.lagging(TENANT, 1, i64::MAX).reporting, 1);
    }

    #[test]
    fn a_reset_replaces_all_reports() {
        let mut table = table(&["a", "gone"]);
        let reporting = vec![(info("b"), holding(2, &[(TENANT, 7)]))];
        assert_eq!(table.record(Ack::Reset { reporting, silent: vec![info("a")] }), Concerned::All);
        assert_eq!(table.lagging(TENANT, 7, i64::MAX), Lag { reporting: 1, have: 1, missing: Vec::new() });
    }

    #[test]
    fn a_tenant_that_a_switch_dropped_is_not_counted() {
        let mut table = table(&["a"]);
        table.record(report("a", 5));
        let ack = Ack::Revisions { switch: "a".to_owned(), platform: Some(2), tenants: vec![(TENANT, None)] };
        assert_eq!(table.record(ack), Concerned::Some { platform: true, tenants: vec![TENANT] });
        assert_eq!(
            (table.lagging(TENANT, 1, i64::MAX).have, table.platform_lagging(2, i64::MAX).have),
            (0, 1)
        );
    }

    #[test]
    fn a_repeated_report_affects_no_resource() {
        let mut table = table(&["a"]);
        let state = holding(1, &[(TENANT, 1), (OTHER, 1)]);
        let all = Concerned::Some { platform: true, tenants: vec![TENANT, OTHER] };
        assert_eq!(table.record(Ack::Appeared(info("a"), state.clone())), all);
        assert_eq!(table.record(Ack::Appeared(info("a"), state)), Concerned::NONE);
        assert_eq!(table.record(report("a", 1)), Concerned::NONE);
        // Reports again, without one tenant: only that tenant is concerned.
        let state = holding(1, &[(TENANT, 1)]);
        let one = Concerned::Some { platform: false, tenants: vec![OTHER] };
        assert_eq!(table.record(Ack::Appeared(info("a"), state)), one);
    }

    fn found(switch: &str, findings: SwitchReport) -> Ack {
        Ack::Report { switch: switch.to_owned(), findings }
    }

    #[test]
    fn a_problem_concerns_its_tenant_and_a_gateway_the_platform() {
        let mut table = table(&["a", "b"]);
        let problem = |id, text: &str| SwitchReport {
            problems: [(id, text.to_owned())].into(),
            ..SwitchReport::default()
        };
        let tenants = |tenants: &[Uuid]| Concerned::Some { platform: false, tenants: tenants.to_vec() };
        assert_eq!(table.record(found("a", problem(TENANT, "no"))), tenants(&[TENANT]));
        assert_eq!(table.refusals(TENANT), [("a", "no")]);
        assert_eq!(table.record(found("a", problem(TENANT, "no"))), Concerned::NONE, "said twice");
        assert_eq!(table.record(found("a", problem(OTHER, "no"))), tenants(&[TENANT, OTHER]));
        assert_eq!(table.record(found("nobody", problem(TENANT, "no"))), Concerned::NONE);
        let state = SwitchState { findings: problem(TENANT, "still"), ..SwitchState::default() };
        assert_eq!(table.record(Ack::Appeared(info("a"), state)), tenants(&[TENANT, OTHER]), "heard again");

        let registered = GatewayState { state: "REGED".to_owned(), up: true };
        let mut findings = SwitchReport { connected: Some(true), ..SwitchReport::default() };
        findings.gateways.insert("carriers/one".to_owned(), vec![registered.clone()]);
        let platform = Concerned::Some { platform: true, tenants: Vec::new() };
        assert_eq!(table.record(found("b", findings.clone())), platform);
        let gateways = table.gateways("carriers/one");
        assert_eq!(gateways, [("b", &[registered][..])].into(), "a is not asked");
        let waits = NotApplied { waits: true, why: "it has calls".to_owned() };
        findings.held.insert("SipProfile/phones".to_owned(), waits.clone());
        assert_eq!(table.record(found("b", findings.clone())), platform);
        assert_eq!(table.not_applied("SipProfile/phones"), [("b", &waits)]);
        assert!(table.not_applied("SipProfile/trunks").is_empty());
        // The previous report of a disconnected switch may be out of date.
        findings.connected = Some(false);
        assert_eq!(table.record(found("b", findings)), platform);
        assert_eq!(table.gateways("carriers/one"), [("b", &[][..])].into());
    }

    #[test]
    fn a_switch_without_freeswitch_delays_no_resource_unless_all_lack_it() {
        let mut table = table(&["a", "b"]);
        let absent =
            |absent: bool| SwitchReport { connected: Some(!absent), absent, ..SwitchReport::default() };
        table.record(report("a", 2));
        table.record(report("b", 1));
        assert_eq!(table.lagging(TENANT, 2, i64::MAX).missing, ["b"]);
        assert_eq!(table.record(found("b", absent(true))), Concerned::All);
        assert_eq!(table.lagging(TENANT, 2, i64::MAX), Lag { reporting: 1, have: 1, missing: Vec::new() });
        assert_eq!(table.record(found("a", absent(true))), Concerned::All);
        assert_eq!(
            table.lagging(TENANT, 2, i64::MAX),
            Lag { reporting: 2, have: 1, missing: vec!["b".to_owned()] }
        );
        let state = SwitchState { findings: absent(false), ..holding(0, &[(TENANT, 1)]) };
        assert_eq!(table.record(Ack::Appeared(info("b"), state)), Concerned::All);
        assert_eq!(
            table.lagging(TENANT, 2, i64::MAX),
            Lag { reporting: 1, have: 0, missing: vec!["b".to_owned()] }
        );
    }

    #[test]
    fn a_switch_that_is_late_still_counts() {
        let mut table = table(&["a"]);
        table.record(report("a", 1));
        assert_eq!(table.record(Ack::Late("a".to_owned())), Concerned::NONE);
        assert_eq!(table.lagging(TENANT, 2, i64::MAX).missing, ["a"]);
    }
}
