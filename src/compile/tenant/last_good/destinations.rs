//! Destinations that exist in a plan, for the references of restored rows.

use crate::compile::Reason;
use crate::compile::tenant::compiler::TenantCompiler;
use crate::numbers::{DialledNumber, E164};
use crate::plan::{MediaPath, Target, TenantPlan};
use crate::resources::Kind;
use crate::resources::common::DestinationKind;
use crate::route::digits;

/// A plan with restored rows.
pub struct Destinations<'a> {
    pub compiler: &'a TenantCompiler<'a>,
    pub plan: &'a TenantPlan,
}

impl Destinations<'_> {
    /// Whether a target exists in the plan.
    pub fn target(&self, target: &Target) -> bool {
        let (plan, name) = (self.plan, &target.name);
        match target.kind {
            DestinationKind::Extension => plan.extensions.contains_key(name),
            DestinationKind::RingGroup => plan.ring_groups.contains_key(name),
            DestinationKind::Queue => plan.queues.contains_key(name),
            DestinationKind::IvrMenu => plan.ivr_menus.contains_key(name),
            DestinationKind::Conference => plan.conferences.contains_key(name),
            DestinationKind::Schedule => plan.schedules.contains_key(name),
            DestinationKind::Voicemail => {
                plan.extensions.get(name).is_some_and(|row| row.voicemail.is_some())
            }
            DestinationKind::ExternalNumber => self.reaches(name),
        }
    }

    /// Removes a link whose target is missing.
    pub fn link(&self, link: &mut Option<Target>) {
        *link = link.take().filter(|target| self.target(target));
    }

    /// Whether an extension exists in the plan.
    pub fn extension(&self, name: &str) -> bool {
        self.plan.extensions.contains_key(name)
    }

    /// Removes a file whose MediaFile is missing.
    pub fn media(&self, path: &mut Option<MediaPath>) {
        *path = path.take().filter(|MediaPath(path)| {
            let name = path.split_once('/').and_then(|(_, file)| file.strip_suffix(".wav"));
            name.is_some_and(|name| self.compiler.resolve(Kind::MediaFile, name).is_ok())
        });
    }

    /// Whether calls reach a public number by the rows of the plan.
    fn reaches(&self, number: &str) -> bool {
        let holds = |number: &E164| self.plan.numbers.values().any(|row| row.holds(number.as_str()));
        let dialled = DialledNumber::new(number, self.compiler.country());
        let is_own = dialled.is_some_and(|dialled| dialled.readings().iter().any(holds));
        let mut matches = self.plan.outbound_routes.values().flat_map(|row| &row.matches);
        let routed = || match matches.any(|matches| digits::reaches(matches, number)) {
            true => Ok(()),
            false => Err((Reason::RefNotFound, String::new()).into()),
        };
        self.compiler.reaches(number, is_own, routed).is_ok()
    }
}
