//! Toll classes: which calls an extension may make.

use super::explain::{Step, Tracer};
use super::rules;
use super::view::TenantView;
use crate::numbers::DialledNumber;
use crate::plan::OutboundRouteRow;
use crate::resources::Kind;

/// The route whose toll class a number asks for.
///
/// Every spelling of a number asks for the same class: that of the route for the spelling which people of the country
/// dial, after the same digits for an outside line. `route` matched the number as dialled; its own class counts where
/// no route is about that spelling.
pub fn guard<'a>(
    view: &'a TenantView,
    route: (&'a str, &'a OutboundRouteRow),
    dialled: &DialledNumber,
    stripped: usize,
) -> (&'a str, &'a OutboundRouteRow) {
    let usual = (0..=stripped).find_map(|at| {
        let (line, number) = dialled.as_str().split_at_checked(at)?;
        let usual = dialled.with_text(number)?.usual_spelling()?;
        dialled.with_text(&format!("{line}{usual}"))
    });
    let Some(usual) = usual.filter(|usual| usual.as_str() != dialled.as_str()) else { return route };
    let is_about = |(_, row): &(&str, &OutboundRouteRow)| {
        rules::edited(&row.matches, &usual, Tracer::OFF, || view.tenant_key()).is_some()
    };
    view.routes().find(is_about).unwrap_or(route)
}

/// Whether an extension has the toll class of a route, and may call the country of a number abroad.
pub fn permits(
    view: &TenantView,
    extension: &str,
    (name, route): (&str, &OutboundRouteRow),
    abroad: Option<&DialledNumber>,
    tracer: Tracer<'_>,
) -> bool {
    let Some(class) = &route.toll_class else { return true };
    let row = view.plan.extensions.get(extension);
    let classes = row.map(|row| row.toll_classes.as_slice()).unwrap_or_default();
    let has_class = classes.contains(class);
    tracer.record(|| {
        let has = if classes.is_empty() { "none".to_owned() } else { classes.join(", ") };
        let why = format!("OutboundRoute {name} asks for toll class {class}; the caller has {has}");
        Step { resource: view.key(Kind::Extension, extension), matched: has_class, why }
    });
    let countries = row.map(|row| row.countries_abroad.as_slice()).unwrap_or_default();
    let Some(number) = abroad.filter(|_| has_class && !countries.is_empty()) else { return has_class };
    let country = number.e164().and_then(|number| number.country());
    let may_call = country.is_some_and(|country| countries.iter().any(|code| code == country.code()));
    tracer.record(|| {
        let of = country.map_or("no known country", |country| country.code());
        let why = format!(
            "{} is a number of {of}; the caller may call {} abroad",
            number.as_str(),
            countries.join(", ")
        );
        Step { resource: view.key(Kind::Extension, extension), matched: may_call, why }
    });
    may_call
}
