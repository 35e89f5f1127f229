//! Resources without rows (Device, MediaFile): their references are checked too.

use super::compiler::{TenantCompiler, name_of};
use super::emergency;
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::Kind;

/// Reports missing references of devices and media files.
pub fn check(compiler: &mut TenantCompiler) {
    devices(compiler);
    media_files(compiler);
}

/// Checks each line and key of a device on its own: the others keep working.
fn devices(compiler: &mut TenantCompiler) {
    for device in &compiler.snapshot.devices {
        let name = name_of(&**device);
        if compiler.refusal(Kind::Device, name).is_some() {
            continue;
        }
        if let Some(reference) = &device.spec.emergency_location_ref {
            emergency::location(compiler, (Kind::Device, name), "spec.emergencyLocationRef.name", reference);
        }
        let lines = device.spec.lines.iter().enumerate();
        let lines = lines.map(|(index, line)| (format!("spec.lines[{index}]"), Some(&line.extension_ref)));
        let keys = device.spec.keys.iter().enumerate();
        let keys = keys.map(|(index, key)| (format!("spec.keys[{index}]"), key.extension_ref.as_ref()));
        for (field, reference) in lines.chain(keys) {
            let Some(reference) = reference else { continue };
            if let Err(why) = compiler.resolve(Kind::Extension, &reference.name) {
                compiler.degrade(Kind::Device, name, format!("{field}.extensionRef.name"), why);
            }
        }
    }
}

fn media_files(compiler: &mut TenantCompiler) {
    for file in &compiler.snapshot.media_files {
        let Some(reference) = &file.spec.source.config_map_key_ref else { continue };
        let field = "spec.source.configMapKeyRef";
        let missing = match compiler.snapshot.config_maps.get(&reference.name) {
            None => Some((format!("{field}.name"), format!("there is no ConfigMap {}", reference.name))),
            Some(map) => {
                let there = map.binary_data.as_ref().is_some_and(|data| data.contains_key(&reference.key));
                let message =
                    format!("ConfigMap {} has no key {} in its binaryData", reference.name, reference.key);
                (!there).then(|| (format!("{field}.key"), message))
            }
        };
        if let Some((field, message)) = missing {
            let map = compiler.key(Kind::ConfigMap, &reference.name);
            let why = RefError::of_object(Reason::RefNotFound, map, message);
            compiler.degrade(Kind::MediaFile, name_of(&**file), field, why);
        }
    }
}
