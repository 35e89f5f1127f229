//! The files of phones: rendered when they are asked for, and left in memory for some seconds, because a phone that
//! starts may ask several times. No file is written to a disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::access::TenantDevice;
use crate::phones::{Phone, ProvisioningUrls, Site};
use crate::plan::{PlatformPlan, SecretName, Secrets};
use crate::provision::file::Document;
use crate::provision::{FileName, PhoneSecrets, RenderError, Templates, render};
use crate::replica::tenants::Replica;
use crate::route::TenantView;
use crate::store::{Reader, StoreError};

/// How long a file is left in memory.
const LIFETIME: Duration = Duration::from_secs(10);
/// Most Devices whose files are in memory.
const MAX_DEVICES: usize = 4096;

/// A file as it is sent. Its memory is overwritten when it is given back.
#[derive(Clone)]
pub struct File {
    /// The content.
    pub body: Bytes,
    /// Its type.
    pub content_type: &'static str,
    /// `ETag`: the SHA-256 of the content.
    pub etag: HeaderValue,
    /// Fingerprint of the phone, if these are its settings.
    pub fingerprint: Option<[u8; 32]>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Phones of this model get no such file.
    #[error("phones of this model get no such file")]
    NotMade,
    /// The Device was deleted a moment ago.
    #[error("there is no such Device any more")]
    Gone,
    /// The platform has no SIP profile that phones could register at.
    #[error("no SipProfile has the role Phones")]
    NoServer,
    /// The passwords cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be rendered.
    #[error(transparent)]
    Render(RenderError),
}

/// Renders files.
pub struct Files {
    reader: Reader,
    templates: Templates,
    urls: ProvisioningUrls,
    ntp_server: String,
    rendered: Mutex<HashMap<(Uuid, String), Vec<Entry>>>,
}

/// A file in memory, and what it was made of.
struct Entry {
    name: FileName,
    view: Weak<TenantView>,
    platform: Weak<PlatformPlan>,
    until: Instant,
    file: File,
}

impl Files {
    /// Renders with these templates and addresses; passwords come from Postgres.
    pub fn new(reader: Reader, templates: Templates, urls: ProvisioningUrls, ntp_server: String) -> Self {
        Self { reader, templates, urls, ntp_server, rendered: Mutex::default() }
    }

    /// A file of a phone.
    ///
    /// # Errors
    /// There is no such file, or it cannot be made now.
    pub async fn of(
        &self,
        replica: &Replica,
        known: &TenantDevice,
        name: FileName,
    ) -> Result<File, FileError> {
        let platform = replica.platform();
        if let Some(file) = self.in_memory(known, &platform, name) {
            return Ok(file);
        }
        let (phone, document) = self.phone(known, &platform, name)?;
        let secrets = match document {
            Document::Settings => self.secrets(known).await?,
            Document::PolyMaster | Document::Phonebook(_) => PhoneSecrets::default(),
        };
        let file = self.render(known, &phone, secrets, name, document)?;
        let entry = Entry {
            name,
            view: Arc::downgrade(&known.view),
            platform: Arc::downgrade(&platform),
            until: Instant::now() + LIFETIME,
            file: file.clone(),
        };
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if rendered.len() < MAX_DEVICES {
            let entries = rendered.entry((known.view.plan.tenant.id, known.device.clone())).or_default();
            entries.retain(|other| other.name != name);
            entries.push(entry);
        }
        Ok(file)
    }

    /// What a phone gets in its enrollment window: the file with its provisioning password and no other, or a file
    /// without a password. Tells the two apart: `true` with a password.
    ///
    /// # Errors
    /// As [`Files::of`]; phonebooks are not made.
    pub async fn bootstrap(
        &self,
        replica: &Replica,
        known: &TenantDevice,
        name: FileName,
    ) -> Result<(File, bool), FileError> {
        let (phone, document) = self.phone(known, &replica.platform(), name)?;
        let secrets = match document {
            Document::Settings => {
                let all = self.secrets(known).await?;
                PhoneSecrets {
                    provisioning_password: all.provisioning_password.clone(),
                    ..PhoneSecrets::default()
                }
            }
            Document::PolyMaster => PhoneSecrets::default(),
            Document::Phonebook(_) => return Err(FileError::NotMade),
        };
        let mut file = self.render(known, &phone.bootstrap(), secrets, name, document)?;
        file.fingerprint = None;
        Ok((file, document == Document::Settings))
    }

    /// Gives back the memory of files whose time is over.
    pub fn forget_old(&self) {
        let now = Instant::now();
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        rendered.retain(|_, entries| {
            entries.retain(|entry| entry.until > now);
            !entries.is_empty()
        });
    }

    fn in_memory(&self, known: &TenantDevice, platform: &Arc<PlatformPlan>, name: FileName) -> Option<File> {
        let rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = rendered.get(&(known.view.plan.tenant.id, known.device.clone()))?;
        let entry = entries.iter().find(|entry| entry.name == name)?;
        let is_current = entry.until > Instant::now()
            && entry.view.ptr_eq(&Arc::downgrade(&known.view))
            && entry.platform.ptr_eq(&Arc::downgrade(platform));
        is_current.then(|| entry.file.clone())
    }

    fn phone(
        &self,
        known: &TenantDevice,
        platform: &PlatformPlan,
        name: FileName,
    ) -> Result<(Phone, Document), FileError> {
        let site = Site::new(platform, &self.urls, &self.ntp_server, Timestamp::now());
        let site = site.ok_or(FileError::NoServer)?;
        let phone = Phone::of(&known.view, &known.device, &site).ok_or(FileError::Gone)?;
        let document = name.document(phone.model.series).ok_or(FileError::NotMade)?;
        Ok((phone, document))
    }

    async fn secrets(&self, known: &TenantDevice) -> Result<PhoneSecrets, FileError> {
        let secrets: Secrets = self
            .reader
            .device_secrets(known.view.plan.tenant.id, &known.device)
            .await?
            .ok_or(FileError::Gone)?;
        let get = |name| secrets.get(name).map(str::to_owned);
        Ok(PhoneSecrets {
            sip_password: get(SecretName::Password),
            provisioning_password: get(SecretName::ProvisioningPassword),
            admin_password: get(SecretName::AdminPassword),
        })
    }

    fn render(
        &self,
        known: &TenantDevice,
        phone: &Phone,
        mut secrets: PhoneSecrets,
        name: FileName,
        document: Document,
    ) -> Result<File, FileError> {
        let rendered = render(&self.templates, &known.view, phone, &secrets, &name);
        secrets.sip_password.zeroize();
        secrets.provisioning_password.zeroize();
        secrets.admin_password.zeroize();
        let rendered = rendered.map_err(|error| match error {
            RenderError::NotMade => FileError::NotMade,
            error => FileError::Render(error),
        })?;
        let digest = hex::encode(Sha256::digest(&rendered.body));
        // Hexadecimal digits are legal in a header.
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        let fingerprint = (document == Document::Settings).then(|| phone.fingerprint());
        let body = Bytes::from_owner(Zeroizing::new(rendered.body));
        Ok(File { body, content_type: rendered.content_type, etag, fingerprint })
    }
}

/// Without the content.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("urls", &self.urls).finish_non_exhaustive()
    }
}
