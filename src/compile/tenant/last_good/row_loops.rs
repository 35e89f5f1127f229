//! Loops that restored rows would close: links of accepted resources take precedence.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::loops;
use super::{Restorable, each_kind};
use crate::compile::tenant::compiler::{ResourceId, TenantCompiler};
use crate::plan::{Rows, Target, TenantPlan};
use crate::resources::Kind;
use crate::resources::common::DestinationKind;
use crate::route::TenantView;

/// A link that calls follow automatically.
struct Link<'a> {
    from: (Kind, &'a str),
    field: &'static str,
    to: (Kind, &'a str),
}

/// The links of restored rows and fields that close a loop. Rows enter the graph before fields, and older
/// resources before younger ones.
pub fn links_to_break(
    compiler: &TenantCompiler,
    plan: &TenantPlan,
    restored_rows: &BTreeSet<ResourceId>,
    restored_fields: &[(ResourceId, String)],
) -> Vec<(ResourceId, &'static str)> {
    if restored_rows.is_empty() && restored_fields.is_empty() {
        return Vec::new();
    }
    let view = TenantView::new(plan.clone());
    let mut links = Vec::new();
    macro_rules! links {
        ($($list:ident $(, $limit:ident)?;)*) => {
            $(links_of(&plan.$list, &view, &mut links);)*
        };
    }
    each_kind!(links);
    let restored_rows: HashSet<(Kind, &str)> =
        restored_rows.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
    let restored_fields: HashSet<(Kind, &str, &str)> =
        restored_fields.iter().map(|((kind, name), field)| (*kind, name.as_str(), field.as_str())).collect();
    let is_new = |link: &Link| {
        let (kind, name) = link.from;
        restored_rows.contains(&link.from)
            || restored_fields.contains(&(kind, name, loops::path(kind, link.field).as_str()))
    };
    let (mut new, existing): (Vec<Link>, Vec<Link>) = links.into_iter().partition(is_new);
    if new.is_empty() {
        return Vec::new();
    }
    let mut graph: HashMap<(Kind, &str), Vec<(Kind, &str)>> = HashMap::new();
    for link in &existing {
        graph.entry(link.from).or_default().push(link.to);
    }
    new.sort_by_key(|link| {
        (!restored_rows.contains(&link.from), compiler.aged(link.from.0, link.from.1), link.field)
    });
    let mut broken = Vec::new();
    for link in new {
        if reaches(&graph, link.to, link.from) {
            broken.push(((link.from.0, link.from.1.to_owned()), link.field));
        } else {
            graph.entry(link.from).or_default().push(link.to);
        }
    }
    broken
}

fn links_of<'a, T: Restorable>(rows: &'a Rows<T>, view: &'a TenantView, links: &mut Vec<Link<'a>>) {
    for (name, row) in rows {
        for (field, target) in row.automatic_links() {
            let Some(to) = end(view, target) else { continue };
            links.push(Link { from: (T::KIND, name), field, to });
        }
    }
}

/// The resource that calls go on to at a target; `None` where they end.
fn end<'a>(view: &'a TenantView, target: &'a Target) -> Option<(Kind, &'a str)> {
    match target.kind {
        DestinationKind::Voicemail => None,
        DestinationKind::ExternalNumber => {
            let (number, name, row) = view.own(&target.name)?;
            let internal = row.internal_number.as_ref().and_then(|internal| internal.of(&number));
            let holder = internal.and_then(|internal| view.number(&internal));
            Some(holder.map_or((Kind::Number, name), |holder| (holder.kind.resource(), &holder.name)))
        }
        kind => Some((kind.resource(), &target.name)),
    }
}

/// Whether calls at one resource reach another.
fn reaches<'a>(
    graph: &HashMap<(Kind, &'a str), Vec<(Kind, &'a str)>>,
    from: (Kind, &'a str),
    to: (Kind, &'a str),
) -> bool {
    let (mut seen, mut open) = (HashSet::from([from]), vec![from]);
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        let further = graph.get(&next).into_iter().flatten().copied();
        open.extend(further.filter(|further| seen.insert(*further)));
    }
    false
}
