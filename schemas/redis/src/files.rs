//! What a store on Redis needs besides its address, as files in the directory of a center or of a gateway.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{Password, Settings};

/// Where the files are; those that are not needed are missing.
#[derive(Debug, Default)]
pub struct Files {
    /// The password, where Redis asks for one.
    pub password: Option<PathBuf>,
    /// Certificates of the authorities that it is trusted by, where those are not the system's (PEM).
    pub authorities: Option<PathBuf>,
}

impl Files {
    /// The password in a directory.
    #[must_use]
    pub fn password_in(dir: &Path) -> PathBuf {
        dir.join("store-password")
    }

    /// The certificates in a directory.
    #[must_use]
    pub fn authorities_in(dir: &Path) -> PathBuf {
        dir.join("store-ca.pem")
    }

    /// Copies them into a directory; `write` makes a file that nobody else can read.
    ///
    /// # Errors
    /// One of them cannot be read, or `write`'s.
    pub fn copy_into(&self, dir: &Path, write: impl Fn(&Path, &[u8]) -> Result<()>) -> Result<()> {
        let places = [(&self.password, Self::password_in(dir)), (&self.authorities, Self::authorities_in(dir))];
        for (from, to) in places {
            if let Some(from) = from {
                let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
                write(&to, &content)?;
            }
        }
        Ok(())
    }
}

impl Settings {
    /// For an address, with what lies in the directory for it.
    ///
    /// # Errors
    /// It is not an address, or a file cannot be read.
    pub fn in_dir(dir: &Path, address: &str) -> Result<Self> {
        let read = |path: PathBuf| match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
        };
        let password = read(Files::password_in(dir))?.map(String::from_utf8).transpose();
        Ok(Self {
            address: address.parse().context("store")?,
            password: password.context("the store's password is not text")?.map(|text| Password::new(&text)),
            authorities: read(Files::authorities_in(dir))?,
        })
    }
}
