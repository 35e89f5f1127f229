//! Resources without rows (MediaFile): their references are checked too.

use super::compiler::{TenantCompiler, name_of};
use crate::compile::Reason;
use crate::compile::problem::RefError;
use crate::resources::Kind;

/// Reports missing references of media files.
pub fn check(compiler: &mut TenantCompiler) {
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
