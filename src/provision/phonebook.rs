//! The tenant's phonebook in the formats of the vendors: names and numbers of its extensions.

use serde::Serialize;
use tera::Context;

use super::render::{RenderError, Rendered};
use super::templates::Templates;
use super::vendor;
use crate::phones::Phone;
use crate::phones::models::Series;
use crate::route::view::TenantView;

/// Most entries of a page of Cisco's (its phones show no more).
const CISCO_PAGE: usize = 32;

/// An entry of the phonebook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Contact {
    /// Name for people.
    pub name: String,
    /// Internal number.
    pub number: String,
}

/// The extensions of a tenant, by name.
pub fn contacts(view: &TenantView) -> Vec<Contact> {
    let contact = |row: &crate::plan::ExtensionRow| {
        let name = row.display_name.trim();
        let name = if name.is_empty() { &row.number } else { name };
        Contact { name: name.to_owned(), number: row.number.clone() }
    };
    let mut contacts: Vec<Contact> = view.plan.extensions.values().map(contact).collect();
    contacts.sort_unstable_by_key(|contact| (contact.name.to_lowercase(), contact.number.clone()));
    contacts
}

/// Renders a page of a phonebook, from 1. Only Cisco's has more than one.
///
/// # Errors
/// There is no such page, or a name cannot be escaped.
pub(super) fn render(
    templates: &Templates,
    phone: &Phone,
    contacts: &[Contact],
    page: u16,
) -> Result<Rendered, RenderError> {
    let page = usize::from(page);
    let series = phone.model.series;
    let (template, clean): (_, fn(&str, &str) -> String) = match series {
        Series::Yealink | Series::YealinkDect => ("phonebook/yealink.xml", vendor::plain),
        Series::Poly => ("phonebook/poly.xml", vendor::plain),
        Series::GrandstreamItems | Series::GrandstreamPValues => ("phonebook/grandstream.xml", vendor::plain),
        Series::Snom => ("phonebook/snom.xml", vendor::snom::clean),
        Series::Fanvil => ("phonebook/fanvil.xml", vendor::fanvil::clean),
        Series::CiscoMpp => ("phonebook/cisco.xml", vendor::cisco::clean),
        _ => return Err(RenderError::NotMade),
    };
    let pages = match series {
        Series::CiscoMpp => contacts.len().div_ceil(CISCO_PAGE).max(1),
        _ => 1,
    };
    if page == 0 || page > pages {
        return Err(RenderError::NotMade);
    }
    let of_page = match series {
        Series::CiscoMpp => contacts.chunks(CISCO_PAGE).nth(page - 1).unwrap_or_default(),
        _ => contacts,
    };
    let of_page: Vec<Contact> = of_page
        .iter()
        .map(|of| Contact { name: clean(&of.name, &of.number), number: of.number.clone() })
        .collect();
    let mut context = Context::new();
    context.insert("contacts", &of_page);
    context.insert("speed_dials", &vendor::poly::speed_dials(phone));
    let next = (page < pages)
        .then(|| format!("{}/{}-phonebook-{}.xml", phone.provisioning.url, phone.mac.plain(), page + 1));
    context.insert("next", &next);
    let (body, format) = templates.render(template, &phone.model, &context)?;
    Ok(Rendered { body: body.into_bytes(), content_type: format.content_type() })
}
