//! The programmable keys of a phone.

use serde::Serialize;

use super::models::{Model, Series};
use super::phone::{Line, text};
use crate::plan::{DeviceKeyRow, DeviceRow};
use crate::resources::device::KeyType;
use crate::route::names::PARKING_PRESENCE;
use crate::route::view::TenantView;

pub use crate::resources::device::KeyType as KeyKind;

/// A key of the phone or of one of its modules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slot {
    /// Module, from 1; 0 is the phone.
    pub module: usize,
    /// Position there, from 1.
    pub position: usize,
    /// What the key is; `None` for a key that is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKind>,
    /// Line that the key is, or dials by, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: usize,
    /// What it dials or opens: a number, or an address of a web server. For [`KeyType::Park`] it is the user of the
    /// parking place's presence, `park+701`, which can also be dialled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Text beside it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
}

/// Whether phones of a series have a key of a type that Centrex can set; others stay off.
pub fn has_type(series: Series, key: KeyType) -> bool {
    use Series::{CiscoMpp, Fanvil, Snom, Yealink};
    match key {
        KeyType::Line | KeyType::BusyLamp | KeyType::SpeedDial | KeyType::Park | KeyType::Voicemail => true,
        KeyType::DoNotDisturb | KeyType::Forward => matches!(series, Yealink | Snom | Fanvil | CiscoMpp),
        KeyType::AgentLogin => matches!(series, Yealink | CiscoMpp),
        KeyType::Url => matches!(series, Yealink | Snom),
        KeyType::Pickup => series == Yealink,
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Slot {
    /// A key that is off.
    pub fn off(module: usize, position: usize) -> Self {
        Self { module, position, kind: None, line: 0, value: String::new(), label: String::new() }
    }
}

/// Every key of a model and its modules. A line for which there is no key of that type has the key at its own position,
/// unless that has another function.
pub(super) fn of(view: &TenantView, row: &DeviceRow, model: &Model, lines: &[Option<Line>]) -> Vec<Slot> {
    let on_phone = (1..=model.keys).map(|position| Slot::off(0, position));
    let on_modules = (1..=model.modules)
        .flat_map(|module| (1..=model.module_keys).map(move |position| Slot::off(module, position)));
    let mut slots: Vec<Slot> = on_phone.chain(on_modules).collect();
    for key in &row.keys {
        let line = usize::try_from(key.line).unwrap_or(0);
        let of_line = line.checked_sub(1).and_then(|index| lines.get(index)).and_then(Option::as_ref);
        // A key of a line that is off does nothing.
        let slot = model.key_index(key.module, key.position).and_then(|index| slots.get_mut(index));
        if let (Some(slot), Some(of_line)) = (slot, of_line) {
            fill(slot, view, key, of_line);
        }
    }
    for line in lines.iter().flatten() {
        let has_key = slots.iter().any(|slot| slot.kind == Some(KeyType::Line) && slot.line == line.position);
        let own = slots.get_mut(line.position - 1).filter(|slot| slot.module == 0 && slot.kind.is_none());
        if let (Some(own), false) = (own, has_key) {
            own.kind = Some(KeyType::Line);
            own.line = line.position;
            own.label.clone_from(&line.label);
        }
    }
    slots
}

fn fill(slot: &mut Slot, view: &TenantView, key: &DeviceKeyRow, line: &Line) {
    let number = key.number.clone().unwrap_or_default();
    let (value, label) = match key.key_type {
        KeyType::Line => (String::new(), line.label.clone()),
        KeyType::BusyLamp => {
            let extension = key.extension.as_ref().and_then(|name| view.plan.extensions.get(name));
            let name = extension.map(|extension| text(&extension.display_name, &number));
            (number.clone(), name.unwrap_or_else(|| number.clone()))
        }
        KeyType::SpeedDial | KeyType::Voicemail => (number.clone(), number.clone()),
        KeyType::Park => {
            let place = key.place.clone().unwrap_or_default();
            (format!("{PARKING_PRESENCE}{place}"), place)
        }
        KeyType::Url => (key.url.clone().unwrap_or_default(), String::new()),
        KeyType::Pickup | KeyType::DoNotDisturb | KeyType::Forward | KeyType::AgentLogin => {
            Default::default()
        }
    };
    slot.kind = Some(key.key_type);
    slot.line = line.position;
    slot.value = value;
    slot.label = text(key.label.as_deref().unwrap_or_default(), &label);
}
