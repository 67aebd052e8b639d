//! Where a gateway's store is: in its directory, or on a Redis.

use std::path::PathBuf;

use anyhow::Result;
use intergroup_redis::Settings;

use super::embedded::EmbeddedStore;
use super::redis::RedisStore;
use super::{Store, StoreError};
use crate::config::{Config, Dir};

/// See the module.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file.
    Embedded(PathBuf),
    /// A Redis, with the component's domain, under which the store is found there.
    Redis(Box<Settings>, String),
}

impl Place {
    /// The one that the configuration names, with what lies in the directory for it.
    ///
    /// # Errors
    /// It is not an address, or a file of it cannot be read.
    pub fn of(dir: &Dir, config: &Config) -> Result<Self> {
        let Some(address) = &config.store else { return Ok(Place::Embedded(dir.store())) };
        Ok(Place::Redis(Box::new(Settings::in_dir(&dir.0, address)?), config.component.clone()))
    }

    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// It cannot be used, or is not ours.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Place::Embedded(path) => Box::new(EmbeddedStore::open(path)?),
            Place::Redis(settings, component) => Box::new(RedisStore::open(settings, component)?),
        })
    }
}
