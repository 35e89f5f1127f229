//! Resources that have no row: what they refer to is looked for all the same.

use super::compiler::{TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::Kind;

/// Notes what devices and media files refer to that is not there.
pub fn check(draft: &mut TenantCompiler) {
    devices(draft);
    media_files(draft);
}

/// Lines, and keys that show an extension's state: each by itself, for the others of a phone work.
fn devices(draft: &mut TenantCompiler) {
    for device in &draft.snapshot.devices {
        let name = name_of(&**device);
        if draft.refusal(Kind::Device, name).is_some() {
            continue;
        }
        let lines = device.spec.lines.iter().enumerate();
        let lines = lines.map(|(index, line)| (format!("spec.lines[{index}]"), Some(&line.extension_ref)));
        let keys = device.spec.keys.iter().enumerate();
        let keys = keys.map(|(index, key)| (format!("spec.keys[{index}]"), key.extension_ref.as_ref()));
        for (field, reference) in lines.chain(keys) {
            let Some(reference) = reference else { continue };
            if let Err(why) = draft.resolve(Kind::Extension, &reference.name) {
                draft.degrade(Kind::Device, name, format!("{field}.extensionRef.name"), why);
            }
        }
    }
}

fn media_files(draft: &mut TenantCompiler) {
    for file in &draft.snapshot.media_files {
        let Some(reference) = &file.spec.source.config_map_key_ref else { continue };
        let field = "spec.source.configMapKeyRef";
        let missing = match draft.snapshot.config_maps.get(&reference.name) {
            None => Some((format!("{field}.name"), format!("there is no ConfigMap {}", reference.name))),
            Some(map) => {
                let there = map.binary_data.as_ref().is_some_and(|data| data.contains_key(&reference.key));
                let message =
                    format!("ConfigMap {} has no key {} in its binaryData", reference.name, reference.key);
                (!there).then(|| (format!("{field}.key"), message))
            }
        };
        if let Some((field, message)) = missing {
            let map = draft.key(Kind::ConfigMap, &reference.name);
            let why = RefError::of_object(Reason::RefNotFound, map, message);
            draft.degrade(Kind::MediaFile, name_of(&**file), field, why);
        }
    }
}
