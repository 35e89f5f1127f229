//! What the switches hold, as they report it.

use std::collections::BTreeMap;

use uuid::Uuid;

pub use crate::store::acks::{Ack, SwitchInfo, SwitchState};

/// How far the switches that report are with a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Switches that report.
    pub reporting: usize,
    /// Those of them that have it.
    pub have: usize,
    /// Names of those that lack it.
    pub missing: Vec<String>,
}

/// Whose answers may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// Everybody's.
    All,
    /// Those of the platform, of some tenants, or of none.
    Some {
        /// The platform's.
        platform: bool,
        /// These tenants'.
        tenants: Vec<Uuid>,
    },
}

#[derive(Debug)]
struct Switch {
    state: SwitchState,
    reporting: bool,
}

/// What every switch holds. One that falls silent holds up nobody: it is named on its own object.
#[derive(Debug, Default)]
pub struct AckTable {
    switches: BTreeMap<String, Switch>,
}

impl AckTable {
    /// Takes a report in.
    pub fn take(&mut self, ack: Ack) -> Concerned {
        match ack {
            Ack::Reset(all) => {
                self.switches = all
                    .into_iter()
                    .map(|(info, state)| (info.name, Switch { state, reporting: true }))
                    .collect();
                Concerned::All
            }
            Ack::Appeared(info, state) => {
                let known = self.switches.insert(info.name, Switch { state: state.clone(), reporting: true });
                match known {
                    Some(known) if known.reporting && known.state == state => {
                        Concerned::Some { platform: false, tenants: Vec::new() }
                    }
                    _ => Concerned::All,
                }
            }
            Ack::Revisions { switch, platform, tenants } => {
                let Some(known) = self.switches.get_mut(&switch) else {
                    return Concerned::Some { platform: false, tenants: Vec::new() };
                };
                known.state.platform = platform.unwrap_or(known.state.platform);
                let ids = tenants.iter().map(|(id, _)| *id).collect();
                for (id, revision) in tenants {
                    match revision {
                        Some(revision) => drop(known.state.tenants.insert(id, revision)),
                        None => drop(known.state.tenants.remove(&id)),
                    }
                }
                Concerned::Some { platform: platform.is_some(), tenants: ids }
            }
            Ack::Silent(name) => match self.switches.get_mut(&name) {
                Some(known) => {
                    known.reporting = false;
                    Concerned::All
                }
                None => Concerned::Some { platform: false, tenants: Vec::new() },
            },
            Ack::Gone(name) => match self.switches.remove(&name) {
                Some(known) if known.reporting => Concerned::All,
                _ => Concerned::Some { platform: false, tenants: Vec::new() },
            },
        }
    }

    /// How far a tenant's revision is.
    pub fn lagging(&self, tenant: Uuid, revision: i64) -> Lag {
        self.lag(|state| state.tenants.get(&tenant).is_some_and(|held| *held >= revision))
    }

    /// How far a revision of the platform is.
    pub fn platform_lagging(&self, revision: i64) -> Lag {
        self.lag(|state| state.platform >= revision)
    }

    fn lag(&self, has: impl Fn(&SwitchState) -> bool) -> Lag {
        let mut lag = Lag::default();
        for (name, switch) in self.switches.iter().filter(|(_, switch)| switch.reporting) {
            lag.reporting += 1;
            match has(&switch.state) {
                true => lag.have += 1,
                false => lag.missing.push(name.clone()),
            }
        }
        lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn info(name: &str) -> SwitchInfo {
        SwitchInfo { name: name.to_owned(), hostname: None, version: None }
    }

    fn report(switch: &str, revision: i64) -> Ack {
        Ack::Revisions { switch: switch.to_owned(), platform: None, tenants: vec![(TENANT, Some(revision))] }
    }

    #[test]
    fn a_revision_is_everywhere_when_the_last_switch_has_it() {
        let mut table = AckTable::default();
        assert_eq!(table.lagging(TENANT, 1), Lag::default());
        for name in ["a", "b"] {
            assert_eq!(table.take(Ack::Appeared(info(name), SwitchState::default())), Concerned::All);
        }
        assert_eq!(table.take(report("a", 3)), Concerned::Some { platform: false, tenants: vec![TENANT] });
        assert_eq!(table.lagging(TENANT, 3), Lag { reporting: 2, have: 1, missing: vec!["b".to_owned()] });
        table.take(report("b", 4));
        assert_eq!(table.lagging(TENANT, 3).have, 2);
    }

    #[test]
    fn a_silent_switch_holds_up_nobody() {
        let mut table = AckTable::default();
        for name in ["a", "b"] {
            table.take(Ack::Appeared(info(name), SwitchState::default()));
        }
        table.take(report("a", 1));
        assert_eq!(table.take(Ack::Silent("b".to_owned())), Concerned::All);
        assert_eq!(table.lagging(TENANT, 1), Lag { reporting: 1, have: 1, missing: Vec::new() });
        table.take(Ack::Appeared(info("b"), SwitchState::default()));
        assert_eq!(table.lagging(TENANT, 1).missing, ["b"]);
        table.take(Ack::Gone("b".to_owned()));
        assert_eq!(table.lagging(TENANT, 1).reporting, 1);
    }

    #[test]
    fn a_tenant_that_is_no_longer_held_is_not_there() {
        let mut table = AckTable::default();
        table.take(Ack::Appeared(info("a"), SwitchState::default()));
        table.take(report("a", 5));
        table.take(Ack::Revisions {
            switch: "a".to_owned(),
            platform: Some(2),
            tenants: vec![(TENANT, None)],
        });
        assert_eq!((table.lagging(TENANT, 1).have, table.platform_lagging(2).have), (0, 1));
    }
}
