//! Paths of media files in file arguments of FreeSWITCH.

use std::path::{Component, Path, PathBuf};

use uuid::Uuid;

use crate::plan::MediaPath;

/// The root directory of all tenants' media: the same path for Centrex and for FreeSWITCH.
#[derive(Clone, Debug)]
pub struct MediaRoot(String);

/// A media root that is not legal in file arguments of FreeSWITCH.
#[derive(Debug, thiserror::Error)]
#[error("media directory {path:?} cannot be used: {why}")]
pub struct MediaRootError {
    /// The path given.
    pub path: PathBuf,
    /// Why the path cannot be used.
    pub why: &'static str,
}

impl MediaRoot {
    /// A placeholder root, for traces and tests that open no file.
    pub fn dummy() -> Self {
        Self("/media".to_owned())
    }

    /// Checks the path of a root: absolute, and only letters, digits and `/._-`, because FreeSWITCH
    /// interprets other characters in file arguments (contract §10.4).
    pub fn new(path: &Path) -> Result<Self, MediaRootError> {
        let error = |why| MediaRootError { path: path.to_owned(), why };
        let text = path.to_str().ok_or_else(|| error("it is not UTF-8"))?;
        if !path.is_absolute() {
            return Err(error("it is not absolute"));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(error("it contains .."));
        }
        if !text.chars().all(is_plain) {
            return Err(error("only letters, digits and the characters / . _ - are allowed"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The path of a tenant's file; `None` for a path that could leave the tenant's directory or contains
    /// illegal characters.
    pub fn file(&self, tenant: Uuid, file: &MediaPath) -> Option<String> {
        let plain = file.0.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
        (plain && file.0.chars().all(is_plain)).then(|| format!("{}/tenants/{tenant}/{}", self.0, file.0))
    }

    /// A directory of no tenant.
    pub fn placeholder(&self) -> String {
        format!("{}/none", self.0)
    }

    /// The directory of a tenant's file; `None` as for [`MediaRoot::file`].
    pub fn directory_of(&self, tenant: Uuid, file: &MediaPath) -> Option<String> {
        let mut path = self.file(tenant, file)?;
        path.truncate(path.rfind('/')?);
        Some(path)
    }

    /// The directory of a voicemail box.
    pub fn voicemail_box(&self, tenant: Uuid, number: &str) -> String {
        format!("{}/tenants/{tenant}/voicemail/{number}", self.0)
    }

    /// Directory for messages that belong to no voicemail box; no such messages exist.
    pub fn stray_voicemail(&self) -> String {
        format!("{}/voicemail", self.0)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_below_their_tenant() {
        let root = MediaRoot::new(Path::new("/srv/media/")).unwrap();
        let id = Uuid::nil();
        let file = |path: &str| root.file(id, &MediaPath(path.to_owned()));
        assert_eq!(file("prompts/a.wav").unwrap(), format!("/srv/media/tenants/{id}/prompts/a.wav"));
        for path in ["", "/etc/passwd", "../x", "a/../../b", "a//b", "say:x", "a b", "${x}", "{a=b}x", "a!b"]
        {
            assert_eq!(file(path), None, "{path}");
        }
        let music = MediaPath("music_on_hold/a.wav".into());
        assert_eq!(root.directory_of(id, &music).unwrap(), format!("/srv/media/tenants/{id}/music_on_hold"));
    }

    #[test]
    fn a_root_with_a_meaning_to_freeswitch_is_refused() {
        for path in ["media", "/srv/../etc", "/srv/a b", "/srv/${x}", "/srv/a:b"] {
            assert!(MediaRoot::new(Path::new(path)).is_err(), "{path}");
        }
    }
}
